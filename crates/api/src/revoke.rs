//! Blocking users and revoking tokens: who does it is not this crate's.

use std::fmt;

use tourbillon_node::BoxFuture;
use tourbillon_types::{Channel, UserId};

use crate::command::ApiError;

/// Carries out what the API says about users and tokens (PRO-34..36). Each call is over when it is in force and
/// connections that may not stay have been told. Times are seconds since 1970 UTC.
pub trait Revoke: fmt::Debug + Send + Sync + 'static {
    /// Blocks a user until a time; `None` for ever.
    fn block_user(&self, user: UserId, expire_at: Option<i64>) -> BoxFuture<'_, Result<(), ApiError>>;

    /// Ends that; does nothing for a user who is not blocked.
    fn unblock_user(&self, user: UserId) -> BoxFuture<'_, Result<(), ApiError>>;

    /// Revokes the token with this identifier (`jti`) until a time; `None` for ever.
    fn revoke_token(&self, id: String, expire_at: Option<i64>) -> BoxFuture<'_, Result<(), ApiError>>;

    /// Revokes the tokens of a user that were issued before a time, `None` for now: those of subscriptions to a channel, or
    /// without one those of connections.
    fn invalidate_user_tokens(
        &self,
        user: UserId,
        channel: Option<Channel>,
        issued_before: Option<i64>,
        expire_at: Option<i64>,
    ) -> BoxFuture<'_, Result<(), ApiError>>;
}
