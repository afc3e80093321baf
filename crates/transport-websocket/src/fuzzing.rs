//! What must hold for any bytes at all. The fuzz target calls this function, and so does an ordinary test with the
//! seeds of its corpus.

use bytes::BytesMut;

use crate::frame::{Decoder, Event, Limits, Opcode, Violation};

/// The most that may be left in a buffer when more is needed: one control frame, less a byte.
const LEFT: usize = 2 + 4 + 125;

/// A client's bytes: however they are cut, they mean the same, and nothing beyond the limits comes out or is kept.
/// The first byte says whether compression was agreed upon (bit 7), and how the bytes are cut.
pub fn websocket_frames(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let mut limits = Limits::new(1_000);
    limits.inflated = 3_000;
    limits.deflate = first & 0x80 != 0;
    let whole = decode(limits, stream, stream.len());
    let cut = decode(limits, stream, usize::from(first & 0x7f));
    assert_eq!(whole, cut);
}

/// Everything that a stream amounts to, and the code of what is wrong with it.
fn decode(limits: Limits, stream: &[u8], piece: usize) -> (Vec<Event>, Option<u16>) {
    let mut decoder = Decoder::new(limits);
    let mut buffer = BytesMut::new();
    let mut events = Vec::new();
    for piece in stream.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(event)) => {
                    check(&limits, &event);
                    events.push(event);
                }
                Ok(None) => break,
                Err(Violation { code, .. }) => {
                    assert!(matches!(code, 1002 | 1007 | 1009), "{code}");
                    assert!(matches!(decoder.decode(&mut buffer), Ok(None)), "something follows an error");
                    return (events, Some(code));
                }
            }
            assert!(events.len() <= stream.len(), "more events than bytes");
        }
        assert!(buffer.len() < LEFT, "{} bytes wait", buffer.len());
    }
    (events, None)
}

fn check(limits: &Limits, event: &Event) {
    match event {
        Event::Message { opcode, data } => {
            assert!(data.len() <= limits.inflated.max(limits.message), "a message of {} bytes", data.len());
            assert!(matches!(opcode, Opcode::Text | Opcode::Binary));
            assert!(*opcode == Opcode::Binary || std::str::from_utf8(data).is_ok(), "text that is not UTF-8");
        }
        Event::Ping(payload) => assert!(payload.len() <= 125),
        Event::Pong => {}
        Event::Close(code) => assert!(code.is_none_or(crate::frame::is_close_code)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn seeds_of_the_fuzz_target_pass() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/websocket_frames");
        let seeds = std::fs::read_dir(corpus).expect("the folder of the target");
        let mut count = 0;
        for seed in seeds {
            let path = seed.expect("an entry").path();
            websocket_frames(&std::fs::read(&path).expect("a readable seed"));
            count += 1;
        }
        assert!(count >= 20, "{count} seeds");
    }
}
