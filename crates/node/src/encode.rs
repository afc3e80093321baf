//! Replies and pushes as messages that can be queued.

use std::cell::RefCell;

use tourbillon_protocol::{EncodeError, Encoder, Push, Reply};
use tourbillon_transport::Message;
use tourbillon_types::{Encoding, Publication};

use crate::conn::Variant;
use tourbillon_metrics::Frame;

thread_local! {
    /// A message is encoded here and copied once into its own memory, whose size is known then: one allocation.
    static ENCODER: RefCell<Encoder> = const { RefCell::new(Encoder::new()) };
}

fn labelled(frame: Frame) -> impl FnOnce(&[u8]) -> Message {
    move |bytes| Message::labelled(frame.label(), bytes)
}

/// `frame` says what the reply is to.
pub(crate) fn reply(encoding: Encoding, frame: Frame, reply: &Reply) -> Result<Message, EncodeError> {
    ENCODER.with_borrow_mut(|encoder| encoder.reply(encoding, reply).map(labelled(frame)))
}

pub(crate) fn push(variant: Variant, push: &Push) -> Result<Message, EncodeError> {
    let frame = Frame::of_push(&push.event);
    ENCODER.with_borrow_mut(|encoder| {
        encoder.push(variant.encoding, variant.envelope, push).map(labelled(frame))
    })
}

/// `number`, when not 0, stands for the channel's name.
pub(crate) fn publication(
    variant: Variant,
    channel: &str,
    number: i64,
    publication: &Publication,
) -> Result<Message, EncodeError> {
    ENCODER.with_borrow_mut(|encoder| {
        encoder
            .publication(variant.encoding, variant.envelope, channel, number, publication)
            .map(labelled(Frame::PushPublication))
    })
}
