//! What the API says about users and tokens, carried out.

use std::sync::Arc;

use tourbillon::node::{BoxFuture, Node};
use tourbillon::types::{Channel, SystemClock, Text, UserId};
use tourbillon_access::{Change, REVOCATIONS, Revocation, RevocationError, Revocations, notices};
use tourbillon_api::{ApiError, Revoke};

/// Keeps revocations, tells other nodes of them, and has the connections of this one ask whether they may stay. Those of
/// other nodes ask for the sake of what these are told.
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
        let change = self.store.keep(revocation, expire_at).await.map_err(refused)?;
        let told = self.tell(change).await;
        // Where it is known it is in force, whatever has become of it elsewhere.
        self.node.recheck_here(user).await;
        told
    }

    async fn forget(&self, revocation: Revocation) -> Result<(), ApiError> {
        let change = self.store.forget(&revocation).await.map_err(refused)?;
        self.tell(change).await
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use bytes::Bytes;
    use tourbillon::broker::{
        BrokerError, BusControl, Control, ControlBus, ControlSink, Engine, Receiver, Stop,
    };
    use tourbillon::memory::MemoryEngine;
    use tourbillon::node::{Client, ConnectDecision, ConnectRequest, Hooks, Refusal};
    use tourbillon::transport::memory::{MemoryPeer, Sent, pair};
    use tourbillon::transport::{Accept, ConnContext, TransportInfo};
    use tourbillon::types::{Disconnect, Encoding, NodeId, Now};
    use tourbillon_access::{MemoryRevocations, Revoked};

    use super::*;

    /// Users are called as their tokens. Counts how often connections ask whether they may stay.
    #[derive(Clone, Default)]
    struct ByToken(Arc<AtomicUsize>);

    impl Hooks for ByToken {
        async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
            Ok(ConnectDecision::new(UserId::from(request.token)))
        }

        fn stays(&self, _: &Client, _: Now) -> Result<(), Disconnect> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    /// A place on a bus that is cut at times, with all others like it.
    #[derive(Debug)]
    struct Cut(BusControl, Arc<AtomicBool>);

    impl Control for Cut {
        fn attach(&self, node: NodeId, sink: ControlSink) {
            Control::attach(&self.0, node, sink);
        }

        async fn send(&self, to: Receiver, message: Bytes) -> Result<(), BrokerError> {
            if self.1.load(Ordering::Relaxed) {
                return Ok(());
            }
            Control::send(&self.0, to, message).await
        }

        async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
            stop.await;
            Ok(())
        }
    }

    /// A node with room for so many revocations.
    fn node_on(control: impl Control, room: usize) -> (Node, Revoker) {
        node_with(control, room, ByToken::default())
    }

    fn node_with(control: impl Control, room: usize, hooks: ByToken) -> (Node, Revoker) {
        let store: Arc<dyn Revocations> = Arc::new(MemoryRevocations::new(room));
        let engine = Engine::new(MemoryEngine::default()).with_control(control);
        let builder = Node::builder(engine).hooks(Revoked::new(store.clone(), hooks));
        let (node, driver) = builder.build().expect("a valid configuration");
        tokio::spawn(driver);
        (node.clone(), Revoker::new(node, store))
    }

    async fn know_each_other(nodes: &[&Node]) {
        for node in nodes {
            while node.nodes().await.len() < nodes.len() {
                tokio::time::advance(Duration::from_millis(10)).await;
            }
        }
    }

    async fn connect(node: &Node, user: &str) -> MemoryPeer {
        let (transport, mut peer) = pair(TransportInfo::new("memory", Encoding::Json), 1 << 16);
        node.accept(transport, ConnContext::default());
        peer.send(format!(r#"{{"id":1,"connect":{{"token":"{user}"}}}}"#));
        assert!(matches!(peer.recv().await, Sent::Message(_)));
        peer
    }

    async fn closed(peer: &mut MemoryPeer) -> Disconnect {
        loop {
            if let Sent::Closed(why) = peer.recv().await {
                return why;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pro_34_a_blocked_user_is_sent_away_though_another_node_does_not_keep_it() {
        let bus = ControlBus::default();
        let (a, revoker) = node_on(bus.join(), 1);
        let (b, _) = node_on(bus.join(), 1);
        let (c, _) = node_on(bus.join(), 0);
        know_each_other(&[&a, &b, &c]).await;
        let (mut here, mut there) = (connect(&a, "ann").await, connect(&b, "ann").await);
        let told = revoker.block_user(UserId::from("ann"), None).await;
        assert_eq!(told.map_err(|error| error.code), Err(ApiError::INTERNAL.code), "not all know it");
        for peer in [&mut here, &mut there] {
            assert_eq!(closed(peer).await, Disconnect::PERMISSION_DENIED);
        }
        for node in [a, b, c] {
            node.shutdown().await;
        }
    }

    /// Each connection asks once, on whichever node it is.
    #[tokio::test(start_paused = true)]
    async fn pro_35_a_revoked_token_has_each_connection_asked_once() {
        let bus = ControlBus::default();
        let counts = [ByToken::default(), ByToken::default()];
        let [(a, revoker), (b, _)] = counts.clone().map(|hooks| node_with(bus.join(), 9, hooks));
        know_each_other(&[&a, &b]).await;
        let mut peers = [connect(&a, "ann").await, connect(&b, "ann").await, connect(&b, "bob").await];
        let before = counts.each_ref().map(|hooks| hooks.0.swap(0, Ordering::Relaxed));
        assert_eq!(before, [1, 2], "by their connects");
        assert_eq!(revoker.revoke_token("t".to_owned(), None).await, Ok(()));
        assert_eq!(counts.each_ref().map(|hooks| hooks.0.swap(0, Ordering::Relaxed)), [1, 2]);
        assert_eq!(revoker.invalidate_user_tokens(UserId::from("ann"), None, Some(5), None).await, Ok(()));
        assert_eq!(counts.each_ref().map(|hooks| hooks.0.swap(0, Ordering::Relaxed)), [1, 1]);
        assert!(peers.iter_mut().all(|peer| peer.try_recv().is_none()));
        drop(peers);
        for node in [a, b] {
            node.shutdown().await;
        }
    }

    /// Whoever is blocked while a node is cut off from the others is sent away there, too, when it hears of it; and whoever
    /// is unblocked meanwhile is not blocked again by what that node knows.
    #[tokio::test(start_paused = true)]
    async fn pro_34_a_node_that_was_cut_off_catches_up_with_its_connections_and_brings_nothing_back() {
        let (bus, cut) = (ControlBus::default(), Arc::new(AtomicBool::new(false)));
        let [(a, revoker), (b, _)] = [0; 2].map(|_| node_on(Cut(bus.join(), cut.clone()), 9));
        know_each_other(&[&a, &b]).await;
        let (mut ann, mut eve) = (connect(&b, "ann").await, connect(&b, "eve").await);
        assert_eq!(revoker.block_user(UserId::from("bob"), None).await, Ok(()));
        cut.store(true, Ordering::Relaxed);
        for node in [&a, &b] {
            while node.nodes().await.len() > 1 {
                tokio::time::advance(Duration::from_millis(10)).await;
            }
        }
        assert_eq!(revoker.block_user(UserId::from("ann"), None).await, Ok(()));
        assert_eq!(revoker.unblock_user(UserId::from("bob")).await, Ok(()));
        assert_eq!((ann.try_recv(), eve.try_recv()), (None, None));
        cut.store(false, Ordering::Relaxed);
        know_each_other(&[&a, &b]).await;
        assert_eq!(closed(&mut ann).await, Disconnect::PERMISSION_DENIED);
        assert_eq!(eve.try_recv(), None);
        for node in [&a, &b] {
            let mut bob = connect(node, "bob").await;
            assert_eq!(bob.try_recv(), None, "not closed");
        }
        for node in [a, b] {
            node.shutdown().await;
        }
    }
}
