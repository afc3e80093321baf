//! Byte streams that are lent to an HTTP server and come back.
//!
//! An HTTP library keeps buffers for as long as it has a connection. For a connection that is one long answer they are
//! of no use once the head of that is written. So whoever serves HTTP [lends](Lender::lend) the library the stream,
//! drops the library's connection once [nothing of it is unwritten](Lender::is_flushed), and
//! [has the stream back](Lender::take).

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Whoever lends a stream.
#[derive(Debug)]
pub struct Lender<S>(Arc<Shared<S>>);

/// A stream that is lent. It goes back when this is dropped, with all that was neither read nor written.
#[derive(Debug)]
pub struct Lent<S> {
    /// `None` once it is [kept](Self::into_inner).
    stream: Option<S>,
    shared: Arc<Shared<S>>,
}

#[derive(Debug)]
struct Shared<S> {
    flushed: AtomicBool,
    back: Mutex<Option<S>>,
}

impl<S> Lender<S> {
    /// Lends a stream.
    #[must_use]
    pub fn lend(stream: S) -> (Self, Lent<S>) {
        let shared = Arc::new(Shared { flushed: AtomicBool::new(true), back: Mutex::new(None) });
        (Self(Arc::clone(&shared)), Lent { stream: Some(stream), shared })
    }

    /// Whether the stream has been flushed since the last write to it. The borrower must be one that flushes when it
    /// has no more to write, and not before; hyper is.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.0.flushed.load(Ordering::Relaxed)
    }

    /// The stream, if it has come back.
    #[must_use]
    pub fn take(&self) -> Option<S> {
        self.0.back.lock().take()
    }
}

impl<S> Lent<S> {
    /// Keeps the stream: it does not go back. `None` is not to be seen by anyone who has this.
    #[must_use]
    pub fn into_inner(mut self) -> Option<S> {
        self.stream.take()
    }
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            *self.shared.back.lock() = Some(stream);
        }
    }
}

fn kept<T>() -> Poll<Result<T>> {
    Poll::Ready(Err(std::io::ErrorKind::NotConnected.into()))
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    #[inline]
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.stream.as_mut().map_or_else(kept, |stream| Pin::new(stream).poll_read(cx, into))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.shared.flushed.store(false, Ordering::Relaxed);
        self.stream.as_mut().map_or_else(kept, |stream| Pin::new(stream).poll_write(cx, bytes))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.shared.flushed.store(false, Ordering::Relaxed);
        self.stream.as_mut().map_or_else(kept, |stream| Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = self.stream.as_mut().map_or_else(kept, |stream| Pin::new(stream).poll_flush(cx));
        if let Poll::Ready(Ok(())) = flushed {
            self.shared.flushed.store(true, Ordering::Relaxed);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.stream.as_mut().map_or_else(kept, |stream| Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_stream_comes_back_when_the_borrower_is_done_with_it() {
        let cx = &mut Context::from_waker(Waker::noop());
        let (lender, mut lent) = Lender::lend(std::io::Cursor::new(Vec::new()));
        assert!(lender.is_flushed(), "nothing was written");
        assert!(Pin::new(&mut lent).poll_write(cx, b"abc").is_ready());
        assert!(!lender.is_flushed());
        assert!(Pin::new(&mut lent).poll_flush(cx).is_ready());
        assert!(lender.is_flushed());
        assert!(lender.take().is_none(), "it is lent");
        drop(lent);
        assert_eq!(lender.take().map(std::io::Cursor::into_inner), Some(b"abc".to_vec()));
        assert!(lender.take().is_none());
    }

    #[test]
    fn a_stream_that_is_kept_does_not_come_back() {
        let (lender, lent) = Lender::lend(7);
        assert_eq!(lent.into_inner(), Some(7));
        assert_eq!(lender.take(), None);
    }
}
