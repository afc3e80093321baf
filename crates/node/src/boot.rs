//! What is known of a connection before it is accepted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderMap, HeaderName, HeaderValue};
use tourbillon_protocol::command;
use tourbillon_transport::{ConnContext, Held, TransportInfo};
use tourbillon_types::{Channel, Now, Payload, StreamPosition, UserId};

use crate::conn::Conn;
use crate::hooks::{Client, ClientTerms, ConnectRequest, KeptHeaders, TokenMark};
use crate::shared::Shared;

/// What came with a connection. Given up when it connects, so that an idle connection does not hold it.
#[derive(Debug)]
pub(crate) struct Boot {
    info: TransportInfo,
    context: ConnContext,
    _half_open: HalfOpen,
}

/// Counts a connection among those that have not said who they are. Ends with the value.
#[derive(Debug)]
struct HalfOpen(Arc<Shared>);

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.0.half_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the application said of an accepted connection.
pub(crate) struct Known {
    pub(crate) user: UserId,
    pub(crate) info: Payload,
    pub(crate) meta: Payload,
    pub(crate) terms: ClientTerms,
    pub(crate) token: Option<Box<TokenMark>>,
}

impl Boot {
    pub(crate) fn new(shared: &Arc<Shared>, info: &TransportInfo, context: ConnContext) -> Self {
        shared.half_open.fetch_add(1, Ordering::Relaxed);
        Self { info: info.clone(), context, _half_open: HalfOpen(shared.clone()) }
    }

    /// What is to last as long as the connection.
    pub(crate) fn take_held(&mut self) -> Option<Held> {
        self.context.held.take()
    }

    /// Where the client stood before, as its transport was told.
    pub(crate) fn take_resume(&mut self) -> Vec<(Channel, StreamPosition)> {
        std::mem::take(&mut self.context.resume)
    }

    /// The headers that hooks may want later.
    pub(crate) fn kept_headers(&self, names: &[HeaderName]) -> KeptHeaders {
        let mut kept = HeaderMap::new();
        for name in names {
            for value in self.context.headers.get_all(name) {
                kept.append(name, value.clone());
            }
        }
        kept.into()
    }

    /// The same of those that the client wrote into its connect command. What cannot be a header is none.
    pub(crate) fn kept_emulated(names: &[HeaderName], written: &[(String, String)]) -> KeptHeaders {
        let mut kept = HeaderMap::new();
        for (name, value) in written {
            let name = names.iter().find(|kept| kept.as_str().eq_ignore_ascii_case(name));
            if let (Some(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                kept.insert(name, value);
            }
        }
        kept.into()
    }

    /// The question whether the connection is accepted.
    pub(crate) fn into_request(
        self,
        conn: &Conn,
        connect: command::Connect,
        now: Now,
    ) -> (ConnectRequest, TransportInfo) {
        let info = self.info;
        let request = ConnectRequest {
            client: conn.client,
            transport: info.name,
            encoding: info.encoding,
            direction: info.direction,
            peer: info.peer,
            headers: self.context.headers,
            emulated_headers: connect.headers,
            token: connect.token,
            data: connect.data,
            name: connect.name,
            version: connect.version,
            channels: connect.subs.into_iter().map(|(channel, _)| Channel::from(channel)).collect(),
            unix_seconds: now.unix_seconds(),
            instant: now.instant,
        };
        (request, info)
    }
}

impl Known {
    pub(crate) fn into_client(
        self,
        conn: &Conn,
        transport: &TransportInfo,
        (headers, emulated_headers): (KeptHeaders, KeptHeaders),
    ) -> Client {
        let Self { user, info, meta, terms, token } = self;
        Client {
            id: conn.client,
            session: conn.session,
            user,
            // Kept for as long as the connection lasts, so it must not pin a read buffer.
            info: info.detached().into(),
            meta: meta.detached().into(),
            terms,
            transport: transport.name,
            encoding: transport.encoding,
            direction: transport.direction,
            peer: transport.peer,
            suppressed: transport.suppressed,
            headers,
            emulated_headers,
            token,
        }
    }
}
