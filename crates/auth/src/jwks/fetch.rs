//! Who fetches.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// Fetches key sets. The crate's own is `HttpJwksFetch`, with the feature `jwks-http`.
pub trait JwksFetch: fmt::Debug + Send + Sync + 'static {
    /// Gets what is at an address, of at most so many bytes, by one request.
    ///
    /// It must end within a second or a few, follow no redirection, and take no answer but a success for one.
    ///
    /// # Errors
    ///
    /// Why there is nothing to be had.
    ///
    /// # Cancel safety
    ///
    /// The future may stay unpolled for any time and may be dropped at any point.
    fn fetch(&self, address: &str, max_bytes: usize) -> BoxFuture<'static, Result<Bytes, FetchError>>;

    /// A number that two fetchers have in common only if what one has fetched is as good as what the other would, so
    /// that sets can be [taken over](super::JwksKeys::take_over) from one to the other. Default: there is none.
    fn identity(&self) -> Option<u64> {
        None
    }
}

/// Why a key set could not be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Nobody asked for it yet, or not for too long a time.
    #[error("the key set has not been fetched")]
    NotFetched,
    /// It lacks a key, and cannot be looked at again so soon.
    #[error("the key set lacks this key, and was fetched too lately to be looked at again")]
    TooSoon,
    /// There is no such host, or no connection to it.
    #[error("the key set's server cannot be reached")]
    Connect,
    /// The server is not who it should be, or speaks no TLS.
    #[error("no secure connection to the key set's server")]
    Tls,
    /// It took too long.
    #[error("the key set's server is too slow")]
    Timeout,
    /// The server does not speak HTTP, or broke off.
    #[error("the key set's server broke off")]
    Broken,
    /// The server sends elsewhere, where nobody should go on its word.
    #[error("the key set's address redirects")]
    Redirect,
    /// Another status than 200.
    #[error("the key set's server answers with status {0}")]
    Status(u16),
    /// There is more than allowed.
    #[error("the key set is too large")]
    TooLarge,
    /// The address leads into a private network, and that is not allowed.
    #[error("the key set's address is in a private network")]
    PrivateAddress,
    /// It is no address.
    #[error("the key set's address is unreadable")]
    Address,
    /// What came is no key set.
    #[error("not a key set")]
    NotASet,
    /// There is no key in it that could be used.
    #[error("no usable key in the key set")]
    NoKeys,
}

impl FetchError {
    /// Whether asking once more may help.
    pub(crate) const fn may_pass(&self) -> bool {
        match self {
            Self::Connect | Self::Timeout | Self::Broken => true,
            Self::Status(status) => *status >= 500,
            _ => false,
        }
    }
}
