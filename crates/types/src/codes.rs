//! The numeric codes of the client protocol: reply errors, disconnects and unsubscribes.
//!
//! Numbers and texts are those of Centrifugo v6, and part of the wire contract.

use std::borrow::Cow;
use std::fmt;

/// The code of an error reply. 100 to 399 are the protocol's own; applications use 400 to 1999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub u32);

/// An error sent in answer to a command. The connection goes on, except after `connect`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplyError {
    /// What went wrong.
    pub code: ErrorCode,
    /// Text for people; clients must not match on it.
    pub message: Cow<'static, str>,
    /// Whether the same command may succeed later.
    pub temporary: bool,
}

macro_rules! reply_errors {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal, $temporary:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*
        }

        impl ReplyError {
            $($(#[$doc])* pub const $name: Self = Self {
                code: ErrorCode::$name,
                message: Cow::Borrowed($message),
                temporary: $temporary,
            };)*

            /// Every error the protocol itself defines, by ascending code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

reply_errors! {
    /// The server failed; the client may try again.
    INTERNAL = 100, "internal server error", true;
    /// No valid identity.
    UNAUTHORIZED = 101, "unauthorized", false;
    /// The channel's namespace does not exist.
    UNKNOWN_CHANNEL = 102, "unknown channel", false;
    /// The rules of the channel forbid this.
    PERMISSION_DENIED = 103, "permission denied", false;
    /// No such RPC or API method.
    METHOD_NOT_FOUND = 104, "method not found", false;
    /// The connection has this subscription already.
    ALREADY_SUBSCRIBED = 105, "already subscribed", false;
    /// A limit of the connection is reached.
    LIMIT_EXCEEDED = 106, "limit exceeded", false;
    /// The command contradicts itself or the rules of the channel.
    BAD_REQUEST = 107, "bad request", false;
    /// The feature is not enabled.
    NOT_AVAILABLE = 108, "not available", false;
    /// The token expired: the client asks its backend for another.
    TOKEN_EXPIRED = 109, "token expired", false;
    /// What the command names expired.
    EXPIRED = 110, "expired", false;
    /// A rate limit is reached.
    TOO_MANY_REQUESTS = 111, "too many requests", true;
    /// The history does not reach back to the requested position.
    UNRECOVERABLE_POSITION = 112, "unrecoverable position", false;
    /// Another page of the same subscription is being read.
    CONCURRENT_PAGINATION = 113, "concurrent pagination", true;
}

impl ReplyError {
    /// An error of the application's own; codes 400 to 1999 are meant for it.
    pub fn custom(code: u32, message: impl Into<Cow<'static, str>>, temporary: bool) -> Self {
        Self { code: ErrorCode(code), message: message.into(), temporary }
    }

    /// The same error with another text, such as one that names the offending option.
    #[must_use]
    pub fn with_message(self, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..self }
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code.0)
    }
}

impl std::error::Error for ReplyError {}

/// Why the server ends a connection. The code decides whether SDKs reconnect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Disconnect {
    /// 3000 to 4999. See [`Disconnect::is_reconnect`].
    pub code: u32,
    /// Text for people, at most [`Disconnect::MAX_REASON`] bytes on the wire.
    pub reason: Cow<'static, str>,
}

macro_rules! disconnects {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $reason:literal;)*) => {
        impl Disconnect {
            $($(#[$doc])* pub const $name: Self = Self { code: $code, reason: Cow::Borrowed($reason) };)*

            /// Every disconnect the protocol itself defines, by ascending code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

disconnects! {
    /// The peer went away. Never written to the wire (HID-14).
    CONNECTION_CLOSED = 3000, "connection closed";
    /// The node stops.
    SHUTDOWN = 3001, "shutdown";
    /// The server failed.
    INTERNAL_SERVER_ERROR = 3004, "internal server error";
    /// The connection's token expired and was not refreshed in time.
    CONNECTION_EXPIRED = 3005, "connection expired";
    /// A server-side subscription expired.
    SUBSCRIPTION_EXPIRED = 3006, "subscription expired";
    /// The client reads slower than messages arrive.
    SLOW = 3008, "slow";
    /// A write failed or took too long.
    WRITE_ERROR = 3009, "write error";
    /// Publications of a positioned server-side subscription were missed.
    INSUFFICIENT_STATE = 3010, "insufficient state";
    /// The application asks the client to come again.
    FORCE_RECONNECT = 3011, "force reconnect";
    /// No answer to a ping.
    NO_PONG = 3012, "no pong";
    /// A rate limit is reached.
    TOO_MANY_REQUESTS = 3013, "too many requests";
    /// The client must drop its token and its map state.
    STATE_INVALIDATED = 3014, "state invalidated";
    /// The token is not valid.
    INVALID_TOKEN = 3500, "invalid token";
    /// The client broke the protocol.
    BAD_REQUEST = 3501, "bad request";
    /// No successful connect in time.
    STALE = 3502, "stale";
    /// The application threw the client out.
    FORCE_DISCONNECT = 3503, "force disconnect";
    /// The user has too many connections.
    CONNECTION_LIMIT = 3504, "connection limit";
    /// The connection has too many channels.
    CHANNEL_LIMIT = 3505, "channel limit";
    /// A payload cannot be expressed in the connection's encoding.
    INAPPROPRIATE_PROTOCOL = 3506, "inappropriate protocol";
    /// The rules forbid this connection.
    PERMISSION_DENIED = 3507, "permission denied";
    /// The feature is not enabled.
    NOT_AVAILABLE = 3508, "not available";
    /// The client caused too many errors.
    TOO_MANY_ERRORS = 3509, "too many errors";
}

impl Disconnect {
    /// The longest reason, in bytes, that a WebSocket close frame can carry (RFC 6455 section 5.5).
    pub const MAX_REASON: usize = 123;

    /// A disconnect of the application's own; codes 4000 to 4999 are meant for it.
    pub fn custom(code: u32, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// Whether SDKs reconnect after this code: 3000–3499, 4000–4499 and from 5000 on.
    #[must_use]
    pub const fn is_reconnect(&self) -> bool {
        matches!(self.code, 3000..=3499 | 4000..=4499 | 5000..)
    }

    /// Whether messages still queued are dropped rather than written before the close (HID-98).
    #[must_use]
    pub const fn drops_queue(&self) -> bool {
        self.code == Self::CONNECTION_CLOSED.code || self.code == Self::SLOW.code
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.code)
    }
}

/// Why a subscription ends. Codes from 2500 on ask the client to subscribe again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unsubscribe {
    /// 2000 to 2999 on the wire; 0 and 1 are never sent.
    pub code: u32,
    /// Text for people.
    pub reason: Cow<'static, str>,
}

macro_rules! unsubscribes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $reason:literal;)*) => {
        impl Unsubscribe {
            $($(#[$doc])* pub const $name: Self = Self { code: $code, reason: Cow::Borrowed($reason) };)*

            /// Every unsubscribe the protocol itself defines, by ascending code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

unsubscribes! {
    /// The client asked for it; told to hooks only.
    CLIENT = 0, "client unsubscribed";
    /// The connection ended; told to hooks only.
    DISCONNECTED = 1, "client disconnected";
    /// The application ended the subscription.
    SERVER = 2000, "server unsubscribe";
    /// Publications were missed: the client subscribes again and recovers.
    INSUFFICIENT_STATE = 2500, "insufficient state";
    /// The subscription's token expired.
    EXPIRED = 2501, "subscription expired";
    /// The client must drop its subscription token and its map state.
    STATE_INVALIDATED = 2502, "state invalidated";
}

impl Unsubscribe {
    /// An unsubscribe of the application's own; codes 2000 to 2999.
    pub fn custom(code: u32, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// Whether SDKs subscribe again.
    #[must_use]
    pub const fn is_resubscribe(&self) -> bool {
        self.code >= 2500
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_texts_are_the_wire_contract() {
        let errors: Vec<_> =
            ReplyError::ALL.iter().map(|e| (e.code.0, e.message.as_ref(), e.temporary)).collect();
        assert_eq!(errors.len(), 14);
        assert_eq!(errors.first(), Some(&(100, "internal server error", true)));
        assert_eq!(errors.last(), Some(&(113, "concurrent pagination", true)));
        let temporary: Vec<_> = errors.iter().filter(|e| e.2).map(|e| e.0).collect();
        assert_eq!(temporary, [100, 111, 113]);
        assert_eq!(Disconnect::ALL.len(), 22);
        assert!(Disconnect::ALL.iter().all(|d| d.reason.len() <= Disconnect::MAX_REASON));
        assert_eq!(Unsubscribe::ALL.len(), 6);
    }

    #[test]
    fn codes_ascend_without_repeats() {
        assert!(ReplyError::ALL.is_sorted_by(|a, b| a.code < b.code));
        assert!(Disconnect::ALL.is_sorted_by(|a, b| a.code < b.code));
        assert!(Unsubscribe::ALL.is_sorted_by(|a, b| a.code < b.code));
    }

    #[test]
    fn the_code_decides_about_reconnecting() {
        for (code, reconnect) in [
            (3000, true),
            (3499, true),
            (3500, false),
            (3999, false),
            (4000, true),
            (4499, true),
            (4500, false),
            (4999, false),
            (5000, true),
        ] {
            assert_eq!(Disconnect::custom(code, "").is_reconnect(), reconnect, "{code}");
        }
        assert!(!Unsubscribe::SERVER.is_resubscribe());
        assert!(Unsubscribe::INSUFFICIENT_STATE.is_resubscribe());
    }

    #[test]
    fn only_slow_and_closed_connections_lose_their_queue() {
        let dropping: Vec<_> = Disconnect::ALL.iter().filter(|d| d.drops_queue()).map(|d| d.code).collect();
        assert_eq!(dropping, [3000, 3008]);
    }
}
