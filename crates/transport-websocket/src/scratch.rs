//! Memory that connections use for a moment and give back: one set a thread, not one a connection.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// How much memory messages are cut off at a time. It is given back when the last message in it is gone, so a message
/// that is kept for long keeps no more than this beside itself.
const ARENA: usize = 4 * 1024;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
    /// Messages that arrive whole are cut off this, so that receiving one allocates nothing.
    static MESSAGES: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(ARENA));
    static WRITE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads what is there and appends it to `buffer`, which becomes a share of the thread's memory. Yields the number
/// of bytes; 0 is the end.
pub(crate) fn poll_read_into<R: AsyncRead + Unpin>(
    io: &mut R,
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<std::io::Result<usize>> {
    READ.with_borrow_mut(|chunk| {
        let mut chunk = ReadBuf::new(chunk);
        ready!(Pin::new(io).poll_read(cx, &mut chunk))?;
        let filled = chunk.filled();
        MESSAGES.with_borrow_mut(|arena| {
            let needed = buffer.len() + filled.len();
            if arena.capacity() < needed {
                // Taken over again if all messages in it are gone, and replaced otherwise.
                arena.reserve(needed.max(ARENA));
            }
            arena.extend_from_slice(buffer);
            arena.extend_from_slice(filled);
            *buffer = arena.split();
        });
        Poll::Ready(Ok(filled.len()))
    })
}

/// Reads and forgets until the stream ends.
pub(crate) fn poll_discard<R: AsyncRead + Unpin>(
    io: &mut R,
    cx: &mut Context<'_>,
) -> Poll<std::io::Result<()>> {
    READ.with_borrow_mut(|chunk| {
        loop {
            let mut chunk = ReadBuf::new(chunk);
            ready!(Pin::new(&mut *io).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    })
}

/// Lends an empty buffer for writes that have to be in one piece.
pub(crate) fn with_write_buffer<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    WRITE.with_borrow_mut(|buffer| {
        buffer.clear();
        work(buffer)
    })
}
