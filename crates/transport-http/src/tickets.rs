//! Tickets, so that addresses need hold no token.
//!
//! An `EventSource` can only `GET`, and what its address holds ends up in the logs of whatever stands between. So a
//! client may put down what it would have sent as the body of a `POST`, and gets a ticket for it, which is good once
//! and for a short while: `GET /connection/sse?ticket=...` is then what a `POST` with that body would be.
//!
//! A browser's `WebSocket` cannot even do that: servers take [what a ticket stands for](Tickets::in_query) there, too.
//!
//! An extension: clients that do not know it do not meet it.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use parking_lot::Mutex;
use tokio::time::Instant;
use tower_service::Service;

use crate::request::{Answer, Answering, BoxError, Cors, answer, posted, query_value};
use crate::{HttpBody, HttpConfig};

/// What a ticket takes beside what was put down for it, in bytes, generously.
const OVERHEAD: usize = 256;

type Key = [u8; 16];

/// What was put down and not picked up, on this node. Clones are the same store.
#[derive(Clone)]
pub struct Tickets(Arc<Store>);

/// How long tickets are good, and what they may take.
#[derive(Clone, Copy, Debug)]
pub struct TicketLimits {
    /// How long a ticket is good.
    pub life: Duration,
    /// What all of them may take, in bytes, those included that were used and whose time is not over.
    pub max_bytes: usize,
    /// What those of one [`TicketHolder`] may take of it.
    pub max_bytes_of_one: usize,
}

/// Whose room a ticket takes, as an extension of the request for it: the client's address. Requests without one share the
/// room of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TicketHolder(pub IpAddr);

struct Store {
    limits: TicketLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: HashMap<Key, Bytes>,
    /// When tickets end, in order: all live equally long. Those that were used are among them until then.
    ends: VecDeque<(Instant, Key, Taken)>,
    /// What all of them take.
    bytes: usize,
    /// What those of each holder take.
    of: HashMap<Option<TicketHolder>, usize>,
}

/// What a ticket takes, and of whom.
#[derive(Clone, Copy)]
struct Taken {
    bytes: usize,
    by: Option<TicketHolder>,
}

/// Why there is no ticket.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// All that wait take all the room there is.
    Full,
    /// Those of its holder take all that they may.
    Share,
    /// There is no randomness.
    Randomness(getrandom::Error),
}

impl State {
    fn sweep(&mut self, now: Instant) {
        while self.ends.front().is_some_and(|(end, _, _)| *end <= now) {
            let Some((_, key, taken)) = self.ends.pop_front() else { break };
            self.waiting.remove(&key);
            self.bytes -= taken.bytes;
            if let Some(bytes) = self.of.get_mut(&taken.by) {
                *bytes -= taken.bytes;
                if *bytes == 0 {
                    self.of.remove(&taken.by);
                }
            }
        }
        if self.ends.is_empty() {
            *self = Self::default();
        }
    }
}

impl Tickets {
    /// An empty store.
    #[must_use]
    pub fn new(limits: TicketLimits) -> Self {
        Self(Arc::new(Store { limits, state: Mutex::default() }))
    }

    /// A ticket for this.
    fn issue(&self, body: Bytes, by: Option<TicketHolder>) -> Result<String, Refused> {
        let mut key = Key::default();
        getrandom::fill(&mut key).map_err(Refused::Randomness)?;
        let TicketLimits { life, max_bytes, max_bytes_of_one } = self.0.limits;
        let now = Instant::now();
        let bytes = body.len() + OVERHEAD;
        let mut state = self.0.state.lock();
        state.sweep(now);
        let of_one = state.of.get(&by).copied().unwrap_or_default() + bytes;
        if of_one > max_bytes_of_one {
            return Err(Refused::Share);
        }
        if state.bytes + bytes > max_bytes {
            return Err(Refused::Full);
        }
        state.bytes += bytes;
        state.of.insert(by, of_one);
        state.waiting.insert(key, body);
        state.ends.push_back((now + life, key, Taken { bytes, by }));
        Ok(URL_SAFE_NO_PAD.encode(key))
    }

    /// What the `ticket` in a query stands for, which is used with that; `None` where there is none in it.
    #[must_use]
    pub fn in_query(&self, query: Option<&str>) -> Option<Result<Bytes, BadTicket>> {
        let ticket = query_value(query, "ticket").ok()??;
        Some(self.redeem(&ticket).ok_or(BadTicket))
    }

    /// What was put down for a ticket, which is used with that. `None`: there is nothing, or no more.
    fn redeem(&self, ticket: &[u8]) -> Option<Bytes> {
        let key = Key::try_from(URL_SAFE_NO_PAD.decode(ticket).ok()?).ok()?;
        let mut state = self.0.state.lock();
        state.sweep(Instant::now());
        state.waiting.remove(&key)
    }
}

/// A ticket that stands for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTicket;

impl fmt::Display for BadTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this ticket is not known, used, or too old")
    }
}

impl Error for BadTicket {}

impl fmt::Debug for Tickets {
    /// Shows how many there are: what they stand for holds tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("waiting", &self.0.state.lock().waiting.len()).finish_non_exhaustive()
    }
}

/// Takes what a `POST` to one of the endpoints for events would have as its body, or a connect request, and answers with a ticket for it:
/// `{"ticket":"...","ttl":30}`, where `ttl` is in seconds. What is put down is looked at when it is picked up.
///
/// | status | when |
/// |---|---|
/// | 200 | here is the ticket |
/// | 204 | `OPTIONS` |
/// | 405 | another method |
/// | 408 | the body did not arrive in time |
/// | 413 | the body is too large |
/// | 429 | too many tickets of one [`TicketHolder`] wait |
/// | 503 | too many tickets wait |
#[derive(Clone, Debug)]
pub struct TicketService {
    tickets: Tickets,
    config: Arc<HttpConfig>,
}

impl TicketService {
    /// A service that puts down into `tickets`.
    #[must_use]
    pub fn new(tickets: Tickets, config: HttpConfig) -> Self {
        Self { tickets, config: Arc::new(config) }
    }

    async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (head, body) = match posted(&self.config, request).await {
            Ok(posted) => posted,
            Err(refused) => return *refused,
        };
        let holder = head.extensions.get::<TicketHolder>().copied();
        let later = |status, text| {
            let mut full = answer(status, text);
            full.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            full
        };
        let ticket = match self.tickets.issue(body, holder) {
            Ok(ticket) => ticket,
            Err(Refused::Share) => {
                tracing::info!(
                    ?holder,
                    "no more tickets for an address: those that wait take all that they may"
                );
                return later(StatusCode::TOO_MANY_REQUESTS, "too many tickets of this address wait\n");
            }
            Err(Refused::Full) => {
                tracing::info!("no more tickets: those that wait take all the room there is");
                return later(StatusCode::SERVICE_UNAVAILABLE, "too many tickets wait\n");
            }
            Err(Refused::Randomness(error)) => {
                tracing::error!(%error, "no randomness for a ticket");
                return answer(StatusCode::INTERNAL_SERVER_ERROR, "there is no ticket\n");
            }
        };
        let ttl = self.tickets.0.limits.life.as_secs();
        let mut told = answer(StatusCode::OK, format!("{{\"ticket\":\"{ticket}\",\"ttl\":{ttl}}}"));
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        told.headers_mut().insert(CONTENT_TYPE, json);
        told.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        told
    }
}

impl<B> Service<Request<B>> for TicketService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<HttpBody>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        let cors = Cors::new(&self.config.origins, request.headers());
        cors.around(async move { service.answer(request).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(max_bytes: usize, max_bytes_of_one: usize) -> Tickets {
        Tickets::new(TicketLimits { life: Duration::from_secs(30), max_bytes, max_bytes_of_one })
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_once_and_for_a_while() {
        let tickets = tickets(100_000, 100_000);
        let issue = |body: &'static str| tickets.issue(Bytes::from(body), None).expect("room");
        let (first, second) = (issue("a"), issue("b"));
        assert_ne!(first, second);
        assert_eq!(first.len(), 22, "fits into any address");
        assert_eq!(tickets.redeem(second.as_bytes()).as_deref(), Some(&b"b"[..]));
        assert_eq!(tickets.redeem(second.as_bytes()), None, "used");
        for wrong in ["", "a", "!!!!!!!!!!!!!!!!!!!!!!", "AAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(tickets.redeem(wrong.as_bytes()), None, "{wrong}");
        }
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(tickets.redeem(first.as_bytes()).is_some());
        let third = issue("c");
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(tickets.redeem(third.as_bytes()), None, "too late");
        assert_eq!(format!("{tickets:?}"), "Tickets { waiting: 0, .. }");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_bounded() {
        let tickets = tickets(4 * (OVERHEAD + 10), 4 * (OVERHEAD + 10));
        let issue = || tickets.issue(Bytes::from_static(&[b'x'; 10]), None);
        let issued: Vec<String> = std::iter::from_fn(|| issue().ok()).take(100).collect();
        assert_eq!(issued.len(), 4);
        // One that is used has its place until its time is over: nobody goes round the bound.
        assert!(tickets.redeem(issued[0].as_bytes()).is_some());
        assert_eq!(issue(), Err(Refused::Share));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(issue().is_ok());
        assert_eq!(tickets.0.state.lock().ends.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_does_not_take_the_room_of_others() {
        let tickets = tickets(5 * (OVERHEAD + 10), 2 * (OVERHEAD + 10));
        let issue = |by: Option<u8>| {
            let by = by.map(|last| TicketHolder(IpAddr::from([192, 0, 2, last])));
            tickets.issue(Bytes::from_static(&[b'x'; 10]), by).map(drop)
        };
        assert_eq!([1; 3].map(|by| issue(Some(by))), [Ok(()), Ok(()), Err(Refused::Share)]);
        assert_eq!([(); 3].map(|()| issue(None)), [Ok(()), Ok(()), Err(Refused::Share)]);
        assert_eq!([2; 2].map(|by| issue(Some(by))), [Ok(()), Err(Refused::Full)]);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(issue(Some(1)), Ok(()));
        let state = tickets.0.state.lock();
        assert_eq!((state.bytes, state.of.len()), (OVERHEAD + 10, 1), "what is over takes nothing");
    }
}
