//! Memory that connections use for a moment and give back: one set a thread, not one a connection.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// How much is read at once.
const CHUNK: usize = 16 * 1024;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
    /// Small messages are cut off this, so that receiving one allocates nothing.
    static ARENA: RefCell<BytesMut> = RefCell::new(BytesMut::new());
    static WRITE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads what is there and appends it to `buffer`. Yields the number of bytes; 0 is the end.
pub(crate) fn poll_read_into<R: AsyncRead + Unpin>(
    io: &mut R,
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<std::io::Result<usize>> {
    READ.with_borrow_mut(|chunk| {
        let mut chunk = ReadBuf::new(chunk);
        ready!(Pin::new(io).poll_read(cx, &mut chunk))?;
        let filled = chunk.filled();
        if buffer.is_empty() {
            *buffer = ARENA.with_borrow_mut(|arena| {
                arena.reserve(filled.len().max(CHUNK / 8));
                arena.extend_from_slice(filled);
                arena.split()
            });
        } else {
            buffer.extend_from_slice(filled);
        }
        Poll::Ready(Ok(filled.len()))
    })
}

/// Lends an empty buffer for writes that have to be in one piece.
pub(crate) fn with_write_buffer<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    WRITE.with_borrow_mut(|buffer| {
        buffer.clear();
        let result = work(buffer);
        // A giant message must not stay in memory after it is gone.
        if buffer.capacity() > 8 * CHUNK {
            *buffer = Vec::new();
        }
        result
    })
}
