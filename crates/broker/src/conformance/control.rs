//! What carries messages between nodes is held to this.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tourbillon_types::NodeId;

use crate::{ControlEvents, ControlSink, Receiver, SharedControl};

/// Makes the places of a cluster's nodes, to be tested.
pub trait ControlHarness {
    /// A place for this node, attached and running, in the one cluster of this harness.
    fn join(&self, node: NodeId, sink: ControlSink) -> impl Future<Output = SharedControl>;

    /// Waits until `count` messages have arrived at `inbox`. The default suits what delivers inside `send`.
    fn settled(&self, inbox: &Inbox, count: usize) -> impl Future<Output = ()> {
        let _ = (inbox, count);
        std::future::ready(())
    }
}

/// Every message that a node was given.
#[derive(Debug, Default)]
pub struct Inbox(Mutex<Vec<Bytes>>);

impl Inbox {
    /// The messages, in order of arrival.
    #[must_use]
    pub fn messages(&self) -> Vec<Bytes> {
        self.0.lock().clone()
    }
}

impl ControlEvents for Inbox {
    fn message(&self, message: Bytes) {
        self.0.lock().push(message);
    }
}

struct Member {
    node: NodeId,
    inbox: Arc<Inbox>,
    control: SharedControl,
}

impl Member {
    async fn of(harness: &impl ControlHarness, number: u8) -> Self {
        let node = NodeId::from_random([number; 16]);
        let inbox = Arc::new(Inbox::default());
        let control = harness.join(node, ControlSink::new(inbox.clone())).await;
        Self { node, inbox, control }
    }

    async fn send(&self, to: Receiver, message: impl Into<Bytes>) {
        let sent = self.control.send(to, message.into()).await;
        assert!(sent.is_ok(), "{sent:?}");
    }
}

/// A message for all reaches every other node, and a message for one that one only.
pub async fn control_reaches_whom_it_is_for(harness: impl ControlHarness) {
    let [one, two, three] =
        [Member::of(&harness, 1).await, Member::of(&harness, 2).await, Member::of(&harness, 3).await];
    one.send(Receiver::Others, "all").await;
    one.send(Receiver::Node(two.node), "two").await;
    two.send(Receiver::Node(one.node), "one").await;
    for (member, count) in [(&one, 1), (&two, 2), (&three, 1)] {
        harness.settled(&member.inbox, count).await;
    }
    assert_eq!(one.inbox.messages(), ["one"]);
    assert_eq!(two.inbox.messages(), ["all", "two"]);
    assert_eq!(three.inbox.messages(), ["all"]);
}

/// Messages of one sender arrive in their order, once each: those for all, and those for one.
pub async fn control_keeps_the_order_of_a_sender(harness: impl ControlHarness) {
    let [one, two] = [Member::of(&harness, 1).await, Member::of(&harness, 2).await];
    let is_for_all = |number: u32| number.is_multiple_of(3);
    for number in 0..100 {
        let to = if is_for_all(number) { Receiver::Others } else { Receiver::Node(two.node) };
        one.send(to, number.to_string()).await;
    }
    harness.settled(&two.inbox, 100).await;
    let number = |message: &Bytes| std::str::from_utf8(message).ok()?.parse::<u32>().ok();
    let arrived: Vec<_> = two.inbox.messages().iter().filter_map(number).collect();
    let (for_all, for_one): (Vec<_>, Vec<_>) = arrived.into_iter().partition(|number| is_for_all(*number));
    assert_eq!(for_all, (0..100).filter(|number| is_for_all(*number)).collect::<Vec<_>>());
    assert_eq!(for_one, (0..100).filter(|number| !is_for_all(*number)).collect::<Vec<_>>());
}

/// Any bytes pass, none at all and a mebibyte too.
pub async fn control_carries_any_bytes(harness: impl ControlHarness) {
    let [one, two] = [Member::of(&harness, 1).await, Member::of(&harness, 2).await];
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let messages = [Bytes::from(every_byte), Bytes::new(), Bytes::from(vec![0xff; 1 << 20])];
    for message in &messages {
        one.send(Receiver::Node(two.node), message.clone()).await;
    }
    harness.settled(&two.inbox, messages.len()).await;
    assert_eq!(two.inbox.messages(), messages);
}

/// A message for nobody is no failure, and a node that has left gets nothing.
pub async fn control_does_without_who_is_not_there(harness: impl ControlHarness) {
    let [one, two, three] =
        [Member::of(&harness, 1).await, Member::of(&harness, 2).await, Member::of(&harness, 3).await];
    one.send(Receiver::Node(NodeId::from_random([9; 16])), "nobody").await;
    let Member { node, inbox, control } = two;
    drop(control);
    one.send(Receiver::Node(node), "gone").await;
    one.send(Receiver::Others, "last").await;
    harness.settled(&three.inbox, 1).await;
    assert_eq!(three.inbox.messages(), ["last"]);
    assert!(inbox.messages().is_empty());
}

/// Compiles the suite of [`Control`](crate::Control) into a test module, as
/// [`conformance_suite!`](crate::conformance_suite) does for brokers; `$harness` makes a [`ControlHarness`].
#[macro_export]
macro_rules! control_conformance_suite {
    ($block_on:expr, $harness:expr) => {
        $crate::conformance_suite!(@tests $block_on, $harness,
            control_reaches_whom_it_is_for control_keeps_the_order_of_a_sender control_carries_any_bytes
            control_does_without_who_is_not_there);
    };
}
