//! What the API says about users and tokens, carried out.

use std::sync::Arc;

use tourbillon::node::{BoxFuture, Node};
use tourbillon::types::{Channel, SystemClock, Text, UserId};
use tourbillon_access::{Change, REVOCATIONS, Revocation, RevocationError, Revocations, notices};
use tourbillon_api::{ApiError, Revoke};

/// Keeps revocations, tells other nodes of them, and then has the connections of all ask whether they may stay.
#[derive(Debug)]
pub(crate) struct Revoker {
    node: Node,
    store: Arc<dyn Revocations>,
}

impl Revoker {
    pub(crate) fn new(node: Node, store: Arc<dyn Revocations>) -> Self {
        Self { node, store }
    }

    async fn keep(
        &self,
        revocation: Revocation,
        expire_at: Option<i64>,
        user: Option<&UserId>,
    ) -> Result<(), ApiError> {
        if expire_at.is_some_and(|at| at <= now()) {
            return Err(ApiError::BAD_REQUEST.with_message("expire_at is over already"));
        }
        self.store.keep(revocation.clone(), expire_at).await.map_err(refused)?;
        self.tell(Change::Keep(revocation, expire_at)).await?;
        Ok(self.node.recheck(user).await?)
    }

    async fn forget(&self, revocation: Revocation) -> Result<(), ApiError> {
        self.store.forget(&revocation).await.map_err(refused)?;
        self.tell(Change::Forget(revocation)).await
    }

    /// Tells the other nodes, which then know it before their connections ask.
    async fn tell(&self, change: Change) -> Result<(), ApiError> {
        for notice in notices(vec![change]) {
            self.node.notify(REVOCATIONS, notice).await?;
        }
        Ok(())
    }
}

/// The present, in seconds since 1970 UTC.
fn now() -> i64 {
    SystemClock::unix_millis().div_euclid(1_000)
}

fn refused(error: RevocationError) -> ApiError {
    tracing::error!(%error, "a revocation is not kept");
    match error {
        RevocationError::Full(_) => ApiError::LIMIT_EXCEEDED.with_message(error.to_string()),
        _ => ApiError::INTERNAL,
    }
}

impl Revoke for Revoker {
    fn block_user(&self, user: UserId, expire_at: Option<i64>) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move { self.keep(Revocation::User(user.clone()), expire_at, Some(&user)).await })
    }

    fn unblock_user(&self, user: UserId) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(self.forget(Revocation::User(user)))
    }

    fn revoke_token(&self, id: String, expire_at: Option<i64>) -> BoxFuture<'_, Result<(), ApiError>> {
        // Whose token it is, nobody says: everybody looks.
        Box::pin(async move { self.keep(Revocation::Token(Text::from(id)), expire_at, None).await })
    }

    fn invalidate_user_tokens(
        &self,
        user: UserId,
        channel: Option<Channel>,
        issued_before: Option<i64>,
        expire_at: Option<i64>,
    ) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move {
            let issued_before = issued_before.unwrap_or_else(now);
            let revocation = Revocation::TokensOf { user: user.clone(), channel, issued_before };
            self.keep(revocation, expire_at, Some(&user)).await
        })
    }
}
