//! Requests over plain TCP that need no HTTP library.
//!
//! Most of what a server is asked there is of two kinds: handshakes of WebSockets and calls of the API. One that came
//! whole and says nothing unusual is read and answered here at a fraction of the cost: without buffers of its own, a
//! channel for its body and futures that wait for each other. Whatever is anything else goes to the HTTP library as it
//! came, with all that follows on its connection. So nothing is refused here for its form: what is not taken for one
//! of the two is judged there.

use std::cell::RefCell;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use httparse::{Header, Status};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::WaitForCancellationFuture;
use tourbillon::node::Node;
use tourbillon::transport::Rewound;
use tourbillon::websocket::TcpUpgrade;
use tourbillon_api::{Call, Plain, Posted};

use super::answer;
use super::http1::{HEAD_LIMIT, converse};
use super::pace::{HEAD_TIMEOUT, WRITE_TIMEOUT};
use super::port::Common;
use crate::router::{Asked, Quick, Routed};

/// The most headers of a request that is looked at here.
const HEADERS: usize = 48;

/// What the wait for a request is counted in.
const TICK: Duration = Duration::from_secs(1);

/// So many are waited for, after the one that is under way.
const TICKS: u64 = HEAD_TIMEOUT.as_secs();

thread_local! {
    /// What is read goes through this: a connection that waits holds no buffer.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; HEAD_LIMIT]);
}

/// What came, and what is to be done about it.
enum Step {
    /// A call of the API, as far as it was understood.
    Call { call: Result<Call, Plain>, last: bool, rest: Bytes, asked: Option<Asked> },
    /// A handshake, as far as it was agreed upon.
    Handshake(Shaken),
    /// What is for the HTTP library.
    Other(Bytes),
    /// Nothing: the peer has left, or takes too long, or the server stops.
    End,
}

/// A handshake that is about to be answered.
struct Shaken {
    answer: Vec<u8>,
    /// `None` where the answer refuses it.
    upgrade: Option<Box<TcpUpgrade<Node>>>,
    /// Whether nothing more is listened to.
    last: bool,
    /// What came behind it.
    rest: Bytes,
}

/// What becomes of a connection.
enum Fate {
    Over,
    Upgraded(Box<TcpUpgrade<Node>>, Bytes),
    Other(Bytes),
}

/// How long a request is waited for.
struct Patience<'a, 'b> {
    /// In ticks, so that a request changes a number and not a timer.
    waited: u64,
    tick: Pin<&'a mut Sleep>,
    stopped: Pin<&'a mut WaitForCancellationFuture<'b>>,
}

impl Patience<'_, '_> {
    /// Waits for the end of the wait.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        while self.tick.as_mut().poll(cx).is_ready() {
            self.waited += 1;
            if self.waited > TICKS {
                return Poll::Ready(Step::End);
            }
            self.tick.set(sleep(TICK));
        }
        self.stopped.as_mut().poll(cx).map(|()| Step::End)
    }
}

/// How a connection goes on.
enum Next {
    /// With this.
    Step(Step),
    /// With what came behind a request, or else with what is to come.
    Rest(Bytes),
    Fate(Fate),
}

/// Serves one connection to its end, or to the end of its request where the server stops.
pub(super) async fn serve(common: Arc<Common>, mut stream: TcpStream, routed: Routed) {
    let next = match first(&common, &mut stream, &routed).await {
        Step::Handshake(shaken) => greet(&mut stream, shaken).await,
        other => Next::Step(other),
    };
    let fate = match next {
        Next::Fate(fate) => fate,
        // Apart: a connection that becomes a WebSocket at once, as most do, has no room for calls of the API.
        next => Box::pin(talk(&common, &mut stream, &routed, next)).await,
    };
    match fate {
        Fate::Over => {}
        Fate::Upgraded(upgrade, early) => upgrade.complete(stream, early),
        Fate::Other(bytes) => {
            let stream = Rewound::new(stream, bytes);
            Box::pin(converse(&common.http1, stream, routed, common.stop.clone())).await;
        }
    }
}

/// The first request, which waits for its turn once it is there.
async fn first(common: &Common, stream: &mut TcpStream, routed: &Routed) -> Step {
    let mut patience =
        Patience { waited: 0, tick: pin!(sleep(TICK)), stopped: pin!(common.stop.cancelled()) };
    let mut turn = Some(pin!(common.turns.turn()));
    poll_fn(|cx| {
        if let Some(waits) = &mut turn
            && stream.poll_read_ready(cx).is_ready()
            && waits.as_mut().poll(cx).is_ready()
        {
            turn = None;
        }
        if turn.is_none()
            && let Poll::Ready(step) = poll_step(cx, stream, routed)
        {
            return Poll::Ready(step);
        }
        patience.poll(cx)
    })
    .await
}

/// Goes on with a connection for as long as requests follow that can be answered here.
async fn talk(common: &Common, stream: &mut TcpStream, routed: &Routed, mut next: Next) -> Fate {
    let mut patience =
        Patience { waited: 0, tick: pin!(sleep(TICK)), stopped: pin!(common.stop.cancelled()) };
    loop {
        let step = match next {
            Next::Step(step) => step,
            Next::Rest(rest) if rest.is_empty() => {
                poll_fn(|cx| {
                    let came = poll_step(cx, stream, routed);
                    if came.is_pending() { patience.poll(cx) } else { came }
                })
                .await
            }
            Next::Rest(rest) => look(&rest, routed),
            Next::Fate(fate) => return fate,
        };
        next = match step {
            Step::Call { call, last, rest, asked } => {
                routed.pace.asked();
                let plain = match (call, routed.router().api()) {
                    (Ok(call), Some(api)) => api.carry_out(call).await,
                    (Ok(_), None) => return Fate::Over,
                    (Err(refused), _) => refused,
                };
                Asked::log(asked, routed.router(), routed.peer, plain.status);
                let last = last || common.stop.is_cancelled();
                if !write(stream, &answer::of_plain(&plain, last)).await || last {
                    // Whoever was told that it is the last waits for the end.
                    let _ = stream.shutdown().await;
                    return Fate::Over;
                }
                Next::Rest(rest)
            }
            Step::Handshake(shaken) => greet(stream, shaken).await,
            Step::Other(bytes) => return Fate::Other(bytes),
            Step::End => return Fate::Over,
        };
        patience.waited = 0;
    }
}

/// Answers a handshake.
async fn greet(stream: &mut TcpStream, shaken: Shaken) -> Next {
    let Shaken { answer, upgrade, last, rest } = shaken;
    if !write(stream, &answer).await || last {
        return Next::Fate(Fate::Over);
    }
    match upgrade {
        Some(upgrade) => Next::Fate(Fate::Upgraded(upgrade, rest)),
        None => Next::Rest(rest),
    }
}

/// Reads what is there. Nothing is kept of it: what is no whole request is not for this module.
fn poll_step(cx: &mut Context<'_>, stream: &mut TcpStream, routed: &Routed) -> Poll<Step> {
    READ.with_borrow_mut(|chunk| {
        let mut chunk = ReadBuf::new(chunk);
        match ready!(Pin::new(stream).poll_read(cx, &mut chunk)) {
            Ok(()) if !chunk.filled().is_empty() => Poll::Ready(look(chunk.filled(), routed)),
            Ok(()) | Err(_) => Poll::Ready(Step::End),
        }
    })
}

/// Takes apart what came.
fn look(bytes: &[u8], routed: &Routed) -> Step {
    take_apart(bytes, routed).unwrap_or_else(|| Step::Other(Bytes::copy_from_slice(bytes)))
}

fn take_apart(bytes: &[u8], routed: &Routed) -> Option<Step> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS];
    let mut head = httparse::Request::new(&mut []);
    let Ok(Status::Complete(length)) = head.parse_with_uninit_headers(bytes, &mut headers) else {
        return None;
    };
    let (method, target) = (head.method?, head.path?);
    // Whole addresses and what http::Uri would cut off are unusual.
    if head.version != Some(1) || !target.starts_with('/') || target.contains('#') {
        return None;
    }
    let behind = bytes.get(length..)?;
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    match (method, routed.router().quick(path)?) {
        ("POST", Quick::Api(api)) => {
            let ask = Ask::of(target, head.headers)?;
            let (body, rest) = behind.split_at_checked(ask.length)?;
            let call = api.read(&ask.posted, &Bytes::copy_from_slice(body));
            let asked = Asked::new(routed.router(), &Method::POST, path);
            Some(Step::Call { call, last: ask.last, rest: Bytes::copy_from_slice(rest), asked })
        }
        ("GET", Quick::WebSocket) => {
            let request = handshake(bytes.get(..length)?, target, head.headers)?;
            Some(Step::Handshake(shake(routed, request, Bytes::copy_from_slice(behind))))
        }
        _ => None,
    }
}

/// What the head of a call says.
struct Ask<'a> {
    posted: Posted<'a>,
    /// Of the body.
    length: usize,
    /// Whether it is the last request of its connection.
    last: bool,
}

impl<'a> Ask<'a> {
    /// `None`: it says something unusual.
    fn of(target: &'a str, headers: &[Header<'a>]) -> Option<Self> {
        let mut posted = Posted::to(target);
        let (mut length, mut last) = (None, false);
        for Header { name, value } in headers {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            // By length, which tells most of them apart.
            match name.len() {
                14 if is("content-length") => {
                    if length.is_some() {
                        return None;
                    }
                    length = Some(number(value)?);
                }
                10 if is("connection") => match value {
                    value if value.eq_ignore_ascii_case(b"close") => last = true,
                    value if value.eq_ignore_ascii_case(b"keep-alive") => {}
                    _ => return None,
                },
                17 if is("transfer-encoding") => return None,
                7 if is("upgrade") || is("trailer") => return None,
                6 if is("expect") => return None,
                2 if is("te") => return None,
                _ => posted = posted.with_header(name, value),
            }
        }
        Some(Self { posted, length: length?, last })
    }
}

/// Digits alone, and few.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 6 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

/// Agrees upon a handshake, or refuses it.
fn shake(routed: &Routed, request: Request<()>, rest: Bytes) -> Shaken {
    routed.pace.asked();
    let asked = Asked::new(routed.router(), request.method(), request.uri().path());
    let agreed = routed.router().handshake(routed.peer, request);
    let status = agreed.as_ref().map_or_else(|refused| refused.status(), |_| StatusCode::SWITCHING_PROTOCOLS);
    Asked::log(asked, routed.router(), routed.peer, status);
    // Whoever is one too many has nothing more to ask for, and of those there are many.
    let last = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
    match agreed {
        Ok(upgrade) => Shaken { answer: answer::of_upgrade(&upgrade), upgrade: Some(upgrade), last, rest },
        Err(mut refused) => {
            if last {
                refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Shaken { answer: answer::of_response(*refused), upgrade: None, last, rest }
        }
    }
}

/// The request of a handshake. `None`: it has a body, or does not ask for an upgrade and nothing else.
fn handshake(head: &[u8], target: &str, headers: &[Header<'_>]) -> Option<Request<()>> {
    let whole = Bytes::copy_from_slice(head);
    let start = head.as_ptr().addr();
    // The values are shares of one copy.
    let share = |part: &[u8]| {
        let at = part.as_ptr().addr().checked_sub(start)?;
        let end = at.checked_add(part.len()).filter(|end| *end <= whole.len())?;
        Some(whole.slice(at..end))
    };
    let mut map = HeaderMap::with_capacity(headers.len());
    let mut upgrades = false;
    for Header { name, value } in headers {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            10 if is("connection") => {
                let mut usual = [&b"upgrade"[..], b"keep-alive, upgrade"].into_iter();
                if !usual.any(|usual| value.eq_ignore_ascii_case(usual)) {
                    return None;
                }
            }
            14 if is("content-length") => return None,
            17 if is("transfer-encoding") => return None,
            6 if is("expect") => return None,
            7 => upgrades |= is("upgrade"),
            _ => {}
        }
        let value = if value.is_empty() { Bytes::new() } else { share(value)? };
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        map.append(name, HeaderValue::from_maybe_shared(value).ok()?);
    }
    let uri = Uri::from_maybe_shared(share(target.as_bytes())?).ok()?;
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri;
    *request.headers_mut() = map;
    upgrades.then_some(request)
}

/// Whether all of it was taken in time.
async fn write(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    // As a rule the system takes it at once. An error comes again.
    let written = stream.try_write(bytes).unwrap_or_default();
    match bytes.get(written..) {
        None | Some([]) => true,
        Some(left) => matches!(timeout(WRITE_TIMEOUT, stream.write_all(left)).await, Ok(Ok(()))),
    }
}
