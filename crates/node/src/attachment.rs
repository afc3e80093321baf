//! A connection's place in a channel on its way to the session.

use std::pin::pin;
use std::sync::Arc;

use tourbillon_hub::{FlowRules, Place, Source};
use tourbillon_session::{Granted, Refusal};
use tourbillon_types::{Channel, ClientInfo, ReplyError, TokenMark};

use crate::calls::{refusal, within};
use crate::conn::Conn;
use crate::hooks::Client;
use crate::members::Membership;
use crate::shared::Shared;
use crate::sources::Begun;

/// A connection's place in a channel, until its session has taken it over. Ends with the value unless kept.
#[derive(Debug)]
pub(crate) struct Attachment {
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    pub(crate) channel: Channel,
    membership: Option<Membership>,
    /// What the token that the subscription came by said of itself.
    pub(crate) token: Option<Box<TokenMark>>,
    /// What the application has for this subscription alone.
    pub(crate) begun: Option<Begun>,
    kept: bool,
}

impl Attachment {
    /// Attaches the connection, gate closed.
    pub(crate) async fn make(
        shared: &Arc<Shared>,
        conn: &Arc<Conn>,
        channel: &Channel,
        place: &Place,
        from: (FlowRules, Source),
    ) -> Result<Self, Refusal> {
        // Made first, so that giving up half way leaves nothing behind.
        let attachment = Self::of(shared, conn, channel);
        let attached = pin!(shared.attach(channel, conn, place, from));
        match within(shared.call_timeout(), attached).await {
            Some(Ok(())) => Ok(attachment),
            // Whoever asks for what is no channel of the broker's is told, and nobody else.
            Some(Err(error)) if error.is_invalid() => Err(refusal(&error)),
            Some(Err(error)) => {
                tracing::warn!(%error, channel = %channel, "attaching to a channel failed");
                Err(refusal(&error))
            }
            None => Err(ReplyError::INTERNAL.into()),
        }
    }

    /// Of a connection that is about to be attached: whatever has become of that is undone by the attachment's end.
    pub(crate) fn of(shared: &Arc<Shared>, conn: &Arc<Conn>, channel: &Channel) -> Self {
        let (shared, conn, channel) = (shared.clone(), conn.clone(), channel.clone());
        Self { shared, conn, channel, membership: None, token: None, begun: None, kept: false }
    }

    /// Tells others of it, as far as they are to know. When this returns, they do.
    pub(crate) async fn enter(&mut self, client: &Client, granted: &Granted) -> Result<(), Refusal> {
        if !granted.presence && !granted.join_leave && granted.further.is_none() {
            return Ok(());
        }
        self.token = granted.further.as_ref().and_then(|further| further.token.clone());
        let info = ClientInfo {
            user: client.user.clone(),
            client: Some(client.id),
            connection: client.info.to_payload(),
            // Kept for as long as the subscription lasts.
            channel: granted.info.detached(),
        };
        let membership = Membership::enter(&self.shared, &self.conn, &self.channel, info, granted).await;
        self.membership = membership.map_err(|error| refusal(&error))?;
        Ok(())
    }

    /// The session has the channel: it ends with the session's word only. Gives what others see of it.
    pub(crate) fn keep(mut self) -> Option<Membership> {
        self.kept = true;
        self.membership.take()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if !self.kept {
            self.shared.detach(&self.channel, &self.conn);
        }
    }
}
