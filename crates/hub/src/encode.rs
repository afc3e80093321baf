//! Replies and pushes as messages that can be queued.

use std::cell::RefCell;

use tourbillon_metrics::Frame;
use tourbillon_protocol::{EncodeError, Encoder, Envelope, Push, Reply};
use tourbillon_transport::Message;
use tourbillon_types::{Channel, Encoding, Mark, Publication};

use crate::subscriber::Variant;

thread_local! {
    /// A message is encoded here and copied once into its own memory, whose size is known then: one allocation.
    static ENCODER: RefCell<Encoder> = const { RefCell::new(Encoder::new()) };
}

fn labelled(frame: Frame) -> impl FnOnce(&[u8]) -> Message {
    marked(frame, None)
}

fn marked(frame: Frame, mark: Option<Mark>) -> impl FnOnce(&[u8]) -> Message {
    move |bytes| Message::marked(frame.label(), mark.map(Box::new), bytes)
}

/// Whether messages say what they change about where a client stands. It is for transports that can tell the client:
/// those to clients that never send, in text. Others' messages are spared it.
fn is_marked(variant: Variant) -> bool {
    (variant.encoding, variant.envelope) == (Encoding::Json, Envelope::Push)
}

/// A reply in an encoding. `frame` says what it is to.
///
/// # Errors
///
/// As [`push`].
pub fn reply(encoding: Encoding, frame: Frame, reply: &Reply) -> Result<Message, EncodeError> {
    ENCODER.with_borrow_mut(|encoder| encoder.reply(encoding, reply).map(labelled(frame)))
}

/// A push in an encoding and an envelope.
///
/// # Errors
///
/// [`EncodeError`]: a payload of the application has no form in this encoding.
pub fn push(variant: Variant, push: &Push) -> Result<Message, EncodeError> {
    let frame = Frame::of_push(&push.event);
    let mark = if is_marked(variant) { push.mark() } else { None };
    ENCODER.with_borrow_mut(|encoder| {
        encoder.push(variant.encoding, variant.envelope, push).map(marked(frame, mark))
    })
}

/// A publication of a channel as a push. `number`, when not 0, stands for the channel's name.
///
/// # Errors
///
/// As [`push`].
pub fn publication(
    variant: Variant,
    channel: &Channel,
    number: i64,
    publication: &Publication,
) -> Result<Message, EncodeError> {
    let mark = if is_marked(variant) { Mark::of_publication(channel, publication) } else { None };
    ENCODER.with_borrow_mut(|encoder| {
        encoder
            .publication(variant.encoding, variant.envelope, channel, number, publication)
            .map(marked(Frame::PushPublication, mark))
    })
}
