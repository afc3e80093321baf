//! Blocked users and revoked tokens as a decorator.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::Either;
use tourbillon_node::{
    Client, ConnectDecision, ConnectRequest, Hooks, Noticed, RefreshDecision, RefreshRequest, Refusal,
    SubRefreshRequest, SubscribeDecision, SubscribeRequest, TokenMark,
};
use tourbillon_types::{Channel, Disconnect, Now, ReplyError, Unsubscribe};

use crate::forward::forward;
use crate::revocations::{Revocations, TokenUse};
use crate::told::{REVOCATIONS, changes, notices};

/// Refuses users that are blocked and tokens that are revoked, and leaves the rest to `H`, which says by which token it
/// decided ([`ConnectDecision::token`] and its like).
///
/// A revoked token counts as expired: connect and subscribe get 109, so that an SDK fetches another token; a refresh
/// ends the connection or subscription as expiry does. A connection that was made with it ends with 3014. A blocked user
/// gets 3507. A subscription that was made by a token which is revoked later ends with 2502. Connections and
/// subscriptions that are there already are found by [`Node::recheck`](tourbillon_node::Node::recheck).
#[derive(Clone, Debug)]
pub struct Revoked<H> {
    store: Arc<dyn Revocations>,
    inner: H,
}

impl<H> Revoked<H> {
    /// Puts revocations before `inner`.
    pub fn new(store: Arc<dyn Revocations>, inner: H) -> Self {
        Self { store, inner }
    }

    fn is_sub_revoked(&self, token: &TokenMark, client: &Client, channel: &Channel, seconds: i64) -> bool {
        self.store.is_revoked(token, TokenUse::Subscription(&client.user, channel), seconds)
    }
}

impl<H: Hooks> Hooks for Revoked<H> {
    // Not async fns: their futures would have room for the request and for the one inside.
    fn connect(
        &self,
        request: ConnectRequest,
    ) -> impl Future<Output = Result<ConnectDecision, Refusal>> + Send {
        let (client, now) = (request.client, request.unix_seconds);
        self.inner.connect(request).map(move |decision| {
            let decision = decision?;
            if self.store.is_blocked(&decision.user, now) {
                tracing::debug!(%client, user = %decision.user, "connection refused: the user is blocked");
                return Err(Disconnect::PERMISSION_DENIED.into());
            }
            if let Some(token) = &decision.token
                && self.store.is_revoked(token, TokenUse::Connection(&decision.user), now)
            {
                tracing::debug!(%client, user = %decision.user, "connection refused: the token is revoked");
                return Err(ReplyError::TOKEN_EXPIRED.into());
            }
            Ok(decision)
        })
    }

    fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> impl Future<Output = Result<SubscribeDecision, Refusal>> + Send {
        // Most subscriptions need no token.
        if request.token.is_empty() {
            return Either::Left(self.inner.subscribe(request));
        }
        let (client, channel, now) = (request.client.clone(), request.channel.clone(), request.unix_seconds);
        Either::Right(self.inner.subscribe(request).map(move |decision| {
            let decision = decision?;
            match &decision.token {
                Some(token) if self.is_sub_revoked(token, &client, &channel, now) => {
                    Err(ReplyError::TOKEN_EXPIRED.into())
                }
                _ => Ok(decision),
            }
        }))
    }

    async fn refresh(&self, request: RefreshRequest) -> Result<RefreshDecision, Refusal> {
        let (client, now) = (request.client.clone(), request.unix_seconds);
        let mut decision = self.inner.refresh(request).await?;
        let token = decision.token.as_ref();
        if token.is_some_and(|token| self.store.is_revoked(token, TokenUse::Connection(&client.user), now)) {
            decision.expired = true;
        }
        Ok(decision)
    }

    async fn sub_refresh(&self, request: SubRefreshRequest) -> Result<RefreshDecision, Refusal> {
        let (client, channel, now) = (request.client.clone(), request.channel.clone(), request.unix_seconds);
        let mut decision = self.inner.sub_refresh(request).await?;
        let token = decision.token.as_ref();
        if token.is_some_and(|token| self.is_sub_revoked(token, &client, &channel, now)) {
            decision.expired = true;
        }
        Ok(decision)
    }

    fn stays(&self, client: &Client, now: Now) -> Result<(), Disconnect> {
        let seconds = now.unix_seconds();
        if self.store.is_blocked(&client.user, seconds) {
            return Err(Disconnect::PERMISSION_DENIED);
        }
        match &client.token {
            Some(token) if self.store.is_revoked(token, TokenUse::Connection(&client.user), seconds) => {
                Err(Disconnect::STATE_INVALIDATED)
            }
            _ => self.inner.stays(client, now),
        }
    }

    fn subscription_stays(
        &self,
        client: &Client,
        channel: &Channel,
        token: &TokenMark,
        now: Now,
    ) -> Result<(), Unsubscribe> {
        if self.is_sub_revoked(token, client, channel, now.unix_seconds()) {
            return Err(Unsubscribe::STATE_INVALIDATED);
        }
        self.inner.subscription_stays(client, channel, token, now)
    }

    fn notified(&self, what: &str, data: &[u8]) -> Noticed {
        if what != REVOCATIONS {
            return self.inner.notified(what, data);
        }
        let Some(changes) = changes(data) else { return Noticed::NotUnderstood };
        let (mut noticed, mut failed) = (Noticed::Noted, None);
        // All of them, whatever becomes of one.
        for change in changes {
            let user = change.revocation().user().cloned();
            match self.store.learn(change) {
                Ok(true) => noticed = noticed.and_recheck(user),
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            tracing::error!(%error, "a revocation by another node is not kept");
            return noticed.in_part();
        }
        noticed
    }

    fn welcome(&self) -> Vec<(&'static str, Bytes)> {
        let ours = notices(self.store.all()).into_iter().map(|notice| (REVOCATIONS, notice));
        ours.chain(self.inner.welcome()).collect()
    }

    fn tick(&self, now: Now) {
        self.store.tick(now.unix_seconds());
        self.inner.tick(now);
    }

    forward!(inner: history presence publish map_publish map_remove track rpc message cache_empty channel_options command erred answered unsubscribed disconnected);
}
