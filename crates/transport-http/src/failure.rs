//! Connects that are refused before their stream begins (UNI-09).

use serde::Deserialize;
use tokio::sync::oneshot;
use tourbillon_transport::MessageQueue;

/// Why a connect was refused.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: u32,
    #[serde(default, alias = "reason")]
    pub(crate) message: String,
}

/// What of a first message tells a refusal.
#[derive(Debug, Deserialize)]
struct First {
    error: Option<Refused>,
    disconnect: Option<Refused>,
}

/// Waits for the first message of a connection, which says whether it is accepted.
#[derive(Debug)]
pub(crate) struct Verdict(Option<oneshot::Sender<Option<Refused>>>);

impl Verdict {
    /// One that nobody waits for.
    pub(crate) const NONE: Self = Self(None);

    /// A verdict, and where it comes out: `None` for an accepted connection.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Option<Refused>>) {
        let (verdict, told) = oneshot::channel();
        (Self(Some(verdict)), told)
    }

    /// Looks at the first message. `false`: it told a refusal, and the connection has no stream.
    pub(crate) fn look(&mut self, queue: &MessageQueue) -> bool {
        if self.0.is_none() {
            return true;
        }
        let Some(message) = queue.iter().next() else { return true };
        let Some(verdict) = self.0.take() else { return true };
        let first = serde_json::from_slice::<First>(message.as_bytes()).ok();
        let refused = first.and_then(|first| first.error.or(first.disconnect));
        let accepted = refused.is_none();
        // Nobody waits any more where the client is gone.
        let _ = verdict.send(refused);
        accepted
    }

    /// The connection ends without a message.
    pub(crate) fn end(&mut self, code: u32, reason: &str) {
        if let Some(verdict) = self.0.take() {
            let _ = verdict.send(Some(Refused { code, message: reason.to_owned() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_transport::Message;

    use super::*;

    #[test]
    fn the_first_message_decides() {
        let refusal = |code, message: &str| Some(Refused { code, message: message.to_owned() });
        for (first, expected) in [
            (r#"{"connect":{"client":"a","data":{"error":{"code":5}}}}"#, None),
            (r#"{"id":1,"error":{"code":109,"message":"token expired"}}"#, refusal(109, "token expired")),
            (r#"{"disconnect":{"code":3500,"reason":"invalid token"}}"#, refusal(3500, "invalid token")),
        ] {
            let (mut verdict, mut told) = Verdict::new();
            assert!(verdict.look(&MessageQueue::new()));
            assert!(told.try_recv().is_err(), "nothing is decided yet");
            let mut queue = MessageQueue::new();
            queue.push(Message::new(first.as_bytes()));
            assert_eq!(verdict.look(&queue), expected.is_none());
            assert_eq!(told.try_recv(), Ok(expected));
            assert!(verdict.look(&queue), "only the first");
        }
        let (mut verdict, mut told) = Verdict::new();
        verdict.end(3001, "shutdown");
        assert_eq!(told.try_recv(), Ok(refusal(3001, "shutdown")));
    }
}
