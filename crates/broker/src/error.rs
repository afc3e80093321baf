//! What can go wrong at a broker.

use std::error::Error;
use std::fmt;

/// A broker's failure. Opaque: the predicates are the contract; the broker product's own error is the
/// [`source`](Error::source), for logs only.
#[derive(Debug)]
pub struct BrokerError {
    kind: Kind,
    what: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unavailable,
    Unsupported,
    Invalid,
    Internal,
}

impl BrokerError {
    /// The broker cannot be reached or did not answer in time; the same call may succeed later.
    #[must_use]
    pub const fn unavailable(what: &'static str) -> Self {
        Self { kind: Kind::Unavailable, what, source: None }
    }

    /// The broker lacks the capability that the call needs.
    #[must_use]
    pub const fn unsupported(what: &'static str) -> Self {
        Self { kind: Kind::Unsupported, what, source: None }
    }

    /// The broker refuses the request's content, such as a channel name that it cannot express.
    #[must_use]
    pub const fn invalid(what: &'static str) -> Self {
        Self { kind: Kind::Invalid, what, source: None }
    }

    /// The broker broke its own promises.
    #[must_use]
    pub const fn internal(what: &'static str) -> Self {
        Self { kind: Kind::Internal, what, source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind == Kind::Unavailable
    }

    /// Whether the broker lacks the capability.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.kind == Kind::Unsupported
    }

    /// Whether the request itself is at fault.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.kind == Kind::Invalid
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Unavailable => "broker unavailable",
            Kind::Unsupported => "not supported by the broker",
            Kind::Invalid => "refused by the broker",
            Kind::Internal => "broker failure",
        };
        write!(f, "{kind}: {}", self.what)
    }
}

impl Error for BrokerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
