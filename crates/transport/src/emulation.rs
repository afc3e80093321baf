//! Clients whose stream goes one way only: what they send comes in requests of its own (EMU-07..09).
//!
//! Such a request names the node and the session. [`Inject`] is the seam to whoever finds them. At the node that
//! holds the session, the connection's reader is [`Mailed`]: beside what comes off its transport it yields what is
//! put into its [`Mailbox`].

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tourbillon_types::{NodeId, SessionId};

use crate::{Received, TransportError, TransportReader};

/// Brings a client's frame to the node and the session that it is for.
pub trait Inject: Clone + Send + Sync + 'static {
    /// Hands the frame, in the session's encoding, to the session's connection. Resolves when the connection has room
    /// for it, which is before the commands in it are carried out.
    ///
    /// # Errors
    ///
    /// See [`InjectError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it resolves takes the frame with it, or not.
    fn inject(
        &self,
        node: NodeId,
        session: SessionId,
        frame: Bytes,
    ) -> impl Future<Output = Result<(), InjectError>> + Send;
}

/// Why a frame did not reach its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InjectError {
    /// There is no such node.
    #[error("no such node")]
    NoNode,
    /// The node has no such session, or no more.
    #[error("no such session")]
    NoSession,
    /// The node did not answer, or its connection took nothing, in time.
    #[error("the session took nothing in time")]
    Unavailable,
    /// So much waits for the session already, or for others of its node, that this does not: it may be tried again.
    #[error("too many requests wait for the session")]
    Busy,
}

/// How many bytes wait for a connection before whoever brings more has to wait too. One frame always fits.
const CAPACITY: usize = 64 * 1024;

/// What a frame counts beside its bytes, so that empty ones are bounded too.
const OVERHEAD: usize = 64;

/// How many may wait for room in one mailbox: a session that takes nothing takes no more of what all share.
const MOST_WAITING: usize = 16;

/// Where frames are put in for a [`Mailed`] reader. Clones lead to the same one. Holds no storage while it is empty.
#[derive(Clone, Debug, Default)]
pub struct Mailbox(Arc<Mutex<Mail>>);

#[derive(Debug, Default)]
struct Mail {
    frames: VecDeque<Bytes>,
    /// The size of the frames, with overhead.
    size: usize,
    reader: Option<Waker>,
    /// How many wait for room.
    waiting: usize,
    /// Whoever waited for room since a frame was taken.
    senders: Vec<Waker>,
    closed: bool,
}

impl Mailbox {
    /// Puts a frame in as soon as there is room.
    ///
    /// # Errors
    ///
    /// [`InjectError::NoSession`] when the reader is gone, and [`InjectError::Busy`] when 16 wait for room already.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it resolves has put nothing in.
    pub async fn deliver(&self, frame: Bytes) -> Result<(), InjectError> {
        let (mut frame, mut place) = (Some(frame), None);
        poll_fn(|cx| self.poll_deliver(cx, &mut frame, &mut place)).await
    }

    fn poll_deliver<'a>(
        &'a self,
        cx: &Context<'_>,
        frame: &mut Option<Bytes>,
        place: &mut Option<Place<'a>>,
    ) -> Poll<Result<(), InjectError>> {
        let mut mail = self.0.lock();
        if mail.closed {
            return Poll::Ready(Err(InjectError::NoSession));
        }
        let size = frame.as_ref().map_or(0, Bytes::len) + OVERHEAD;
        if !mail.frames.is_empty() && mail.size + size > CAPACITY {
            if place.is_none() {
                if mail.waiting >= MOST_WAITING {
                    return Poll::Ready(Err(InjectError::Busy));
                }
                mail.waiting += 1;
                *place = Some(Place(self));
            }
            if !mail.senders.iter().any(|waker| waker.will_wake(cx.waker())) {
                mail.senders.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        mail.frames.extend(frame.take());
        mail.size += size;
        let reader = mail.reader.take();
        drop(mail);
        if let Some(reader) = reader {
            reader.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// The next frame, and who waits for its room.
    fn poll_take(&self, cx: &Context<'_>) -> Poll<Bytes> {
        let mut mail = self.0.lock();
        let Some(frame) = mail.frames.pop_front() else {
            if mail.reader.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                mail.reader = Some(cx.waker().clone());
            }
            return Poll::Pending;
        };
        mail.size -= frame.len() + OVERHEAD;
        if mail.frames.is_empty() {
            mail.frames = VecDeque::new();
        }
        let senders = std::mem::take(&mut mail.senders);
        drop(mail);
        senders.into_iter().for_each(Waker::wake);
        Poll::Ready(frame)
    }

    fn close(&self) {
        let mut mail = self.0.lock();
        let closed = Mail { closed: true, waiting: mail.waiting, ..Mail::default() };
        let Mail { senders, .. } = std::mem::replace(&mut *mail, closed);
        drop(mail);
        senders.into_iter().for_each(Waker::wake);
    }
}

/// One of those who wait for room.
#[derive(Debug)]
struct Place<'a>(&'a Mailbox);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut mail = self.0.0.lock();
        mail.waiting -= 1;
        // With the last one, nobody is left to be woken.
        if mail.waiting == 0 {
            mail.senders = Vec::new();
        }
    }
}

/// A reader that yields what its transport receives, and what is put into its mailbox. With it the mailbox ends.
#[derive(Debug)]
pub struct Mailed<R> {
    reader: R,
    mailbox: Mailbox,
    /// The transport yielded an error or its end.
    ended: bool,
}

impl<R: TransportReader> Mailed<R> {
    /// This reader with a mailbox of its own.
    #[must_use]
    pub fn new(reader: R) -> (Self, Mailbox) {
        let mailbox = Mailbox::default();
        (Self { reader, mailbox: mailbox.clone(), ended: false }, mailbox)
    }
}

impl<R: TransportReader> TransportReader for Mailed<R> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        if let Poll::Ready(received) = self.reader.poll_recv(cx) {
            self.ended |= matches!(received, Ok(Received::End) | Err(_));
            return Poll::Ready(received);
        }
        if self.ended {
            return Poll::Pending;
        }
        self.mailbox.poll_take(cx).map(|frame| Ok(Received::Message(frame)))
    }
}

impl<R> Drop for Mailed<R> {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;

    use tourbillon_types::Encoding;

    use super::*;
    use crate::memory::pair;
    use crate::{Transport, TransportInfo};

    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn only_so_many_wait_for_room() {
        let (transport, _peer) = pair(TransportInfo::new("test", Encoding::Json), 1000);
        let (mut reader, mailbox) = Mailed::new(transport.split().0);
        let large = || Bytes::from(vec![b'x'; CAPACITY]);
        let put = |mailbox: &Mailbox| {
            let mailbox = mailbox.clone();
            let mut putting = Box::pin(async move { mailbox.deliver(large()).await });
            let first = putting.as_mut().poll(&mut cx());
            (putting, first)
        };
        assert_eq!(put(&mailbox).1, Poll::Ready(Ok(())));
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| put(&mailbox)).collect();
        assert!(waiting.iter().all(|(_, first)| first.is_pending()));
        assert_eq!(put(&mailbox).1, Poll::Ready(Err(InjectError::Busy)));
        waiting.pop();
        assert!(put(&mailbox).1.is_pending(), "one has given up");
        assert!(reader.poll_recv(&mut cx()).is_ready());
        let (mut first, _) = waiting.remove(0);
        assert_eq!(first.as_mut().poll(&mut cx()), Poll::Ready(Ok(())));
        drop(first);
        waiting.push(put(&mailbox));
        waiting.push(put(&mailbox));
        assert_eq!(put(&mailbox).1, Poll::Ready(Err(InjectError::Busy)));
        drop(reader);
        for (mut putting, _) in waiting {
            assert_eq!(putting.as_mut().poll(&mut cx()), Poll::Ready(Err(InjectError::NoSession)));
        }
        assert_eq!(mailbox.0.lock().waiting, 0);
    }

    #[test]
    fn frames_come_in_order_and_a_full_mailbox_makes_wait() {
        let (transport, _peer) = pair(TransportInfo::new("test", Encoding::Json), 1000);
        let (mut reader, mailbox) = Mailed::new(transport.split().0);
        assert!(reader.poll_recv(&mut cx()).is_pending());
        let large = Bytes::from(vec![b'x'; CAPACITY]);
        assert_eq!(
            pin!(mailbox.deliver(large.clone())).poll(&mut cx()),
            Poll::Ready(Ok(())),
            "one always fits"
        );
        let mut second = pin!(mailbox.deliver(Bytes::from_static(b"2")));
        assert!(second.as_mut().poll(&mut cx()).is_pending());
        {
            let given_up = pin!(mailbox.deliver(Bytes::from_static(b"given up")));
            assert!(given_up.poll(&mut cx()).is_pending());
        }
        let next = |reader: &mut Mailed<_>| match reader.poll_recv(&mut cx()) {
            Poll::Ready(Ok(Received::Message(frame))) => frame,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(next(&mut reader), large);
        assert_eq!(second.poll(&mut cx()), Poll::Ready(Ok(())));
        assert_eq!(next(&mut reader), "2");
        assert!(reader.poll_recv(&mut cx()).is_pending());
        let mail = mailbox.0.lock();
        assert_eq!((mail.frames.capacity(), mail.senders.capacity()), (0, 0), "nothing is held at rest");
        assert_eq!(mail.waiting, 0);
        drop(mail);
        let mut full = Vec::new();
        while pin!(mailbox.deliver(Bytes::new())).poll(&mut cx()).is_ready() {
            full.push(());
        }
        assert_eq!(full.len(), CAPACITY / OVERHEAD, "empty frames are bounded too");
        let mut waiting = pin!(mailbox.deliver(Bytes::new()));
        assert!(waiting.as_mut().poll(&mut cx()).is_pending());
        drop(reader);
        assert_eq!(waiting.poll(&mut cx()), Poll::Ready(Err(InjectError::NoSession)));
    }

    #[test]
    fn nothing_comes_after_the_transports_end() {
        let (transport, peer) = pair(TransportInfo::new("test", Encoding::Json), 1000);
        let (mut reader, mailbox) = Mailed::new(transport.split().0);
        drop(peer);
        assert_eq!(pin!(mailbox.deliver(Bytes::new())).poll(&mut cx()), Poll::Ready(Ok(())));
        assert!(matches!(reader.poll_recv(&mut cx()), Poll::Ready(Ok(Received::End))));
    }
}
