//! What a message looks like in a stream.

use tourbillon_transport::slot::Form;

/// A byte that says that the message is not compressed, four for its length, and the message.
pub(crate) const PREFIX: usize = 5;

/// Messages of GRPC, of those of the client protocol, which have their length in front as a varint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LengthPrefixed;

impl LengthPrefixed {
    /// A message without the length in front.
    fn content(message: &[u8]) -> &[u8] {
        let prefix = message.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
        message.get(prefix..).unwrap_or_default()
    }
}

impl Form for LengthPrefixed {
    /// Chosen at random.
    fn key(self) -> u32 {
        0x4b70_a91d
    }

    fn length(self, message: &[u8]) -> usize {
        PREFIX + Self::content(message).len()
    }

    fn append(self, message: &[u8], to: &mut Vec<u8>) {
        let content = Self::content(message);
        // A queue is bounded far below what four bytes can state.
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        to.push(0);
        to.extend_from_slice(&length.to_be_bytes());
        to.extend_from_slice(content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_the_protocol_becomes_that_of_grpc() {
        let long = [&[0xac, 0x02][..], &[7; 300]].concat();
        for (message, head, content) in [
            (&[0][..], [0, 0, 0, 0, 0], &[][..]),
            (&[2, 8, 1], [0, 0, 0, 0, 2], &[8, 1]),
            (&long, [0, 0, 0, 1, 44], &[7; 300]),
            (&[], [0, 0, 0, 0, 0], &[]),
        ] {
            let mut written = Vec::new();
            LengthPrefixed.append(message, &mut written);
            assert_eq!(written.len(), LengthPrefixed.length(message));
            assert_eq!(written.split_at(5), (&head[..], content));
        }
    }
}
