//! Values that are published rather than asked for (SP-16), on their way to all nodes.

use tourbillon_types::{Epoch, Payload};

/// The layout of an [`Update`] in bytes: this byte, the version, the epoch with its length, the key with its length, and
/// what is left is the data. Numbers are in big endian.
const LAYOUT: u8 = 1;

/// A value of a key, published into its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The key.
    pub key: String,
    /// Its version, at least 1. What is not above the version that a node has is ignored there.
    pub version: u64,
    /// To what the version belongs; an unknown epoch says nothing.
    pub epoch: Epoch,
    /// What the key holds now.
    pub data: Payload,
}

/// What came over the broker is not an [`Update`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an update of a polled channel")]
pub struct NotAnUpdate;

impl Update {
    /// The update as the data of a publication, which a broker carries to all nodes.
    #[must_use]
    pub fn to_payload(&self) -> Payload {
        let (epoch, key) = (self.epoch.as_str(), self.key.as_str());
        let mut bytes = Vec::with_capacity(1 + 8 + 4 + epoch.len() + 4 + key.len() + self.data.len());
        bytes.push(LAYOUT);
        bytes.extend_from_slice(&self.version.to_be_bytes());
        for text in [epoch, key] {
            bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(self.data.as_ref());
        Payload::from(bytes)
    }

    /// Reads what [`to_payload`](Self::to_payload) made.
    ///
    /// # Errors
    ///
    /// Whatever else it is.
    pub fn from_payload(payload: &Payload) -> Result<Self, NotAnUpdate> {
        let bytes = payload.bytes();
        let rest = bytes.strip_prefix(&[LAYOUT]).ok_or(NotAnUpdate)?;
        let (version, rest) = rest.split_first_chunk::<8>().ok_or(NotAnUpdate)?;
        let (epoch, rest) = text(rest)?;
        let (key, rest) = text(rest)?;
        Ok(Self {
            key: key.to_owned(),
            version: u64::from_be_bytes(*version),
            epoch: Epoch::from(epoch),
            data: Payload::new(bytes.slice_ref(rest)),
        })
    }
}

/// A text behind its length, and what follows it.
fn text(bytes: &[u8]) -> Result<(&str, &[u8]), NotAnUpdate> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(NotAnUpdate)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| NotAnUpdate)?;
    let (text, rest) = rest.split_at_checked(length).ok_or(NotAnUpdate)?;
    Ok((std::str::from_utf8(text).map_err(|_| NotAnUpdate)?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_update_comes_back(key in ".*", version: u64, epoch in "[a-z]{0,8}", data: Vec<u8>) {
            let update =
                Update { key, version, epoch: Epoch::from(epoch.as_str()), data: Payload::from(data) };
            prop_assert_eq!(Update::from_payload(&update.to_payload()), Ok(update));
        }

        #[test]
        fn damaged_bytes_are_told_apart_without_a_panic(mut bytes: Vec<u8>, valid: bool) {
            if valid {
                bytes.splice(..0, [LAYOUT]);
            }
            let _ = Update::from_payload(&Payload::from(bytes));
        }
    }

    #[test]
    fn what_is_cut_short_is_no_update() {
        let update =
            Update { key: "k".to_owned(), version: 1, epoch: Epoch::from("e"), data: Payload::empty() };
        let whole = update.to_payload();
        for length in 0..whole.len() {
            let cut = Payload::new(whole.bytes().slice(..length));
            assert_eq!(Update::from_payload(&cut), Err(NotAnUpdate), "{length}");
        }
        assert_eq!(Update::from_payload(&"{}".into()), Err(NotAnUpdate));
    }
}
