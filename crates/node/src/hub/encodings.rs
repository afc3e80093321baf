//! One publication or push in the encodings that its subscribers want.

use std::sync::Arc;

use smallvec::SmallVec;
use tourbillon_transport::Message;
use tourbillon_types::Disconnect;

use crate::conn::{Conn, Variant};

/// A message in each variant that was asked for, encoded once.
pub(super) struct Encodings<F> {
    encode: F,
    done: SmallVec<[(Variant, Message); 2]>,
}

impl<F: FnMut(Variant) -> Result<Message, Disconnect>> Encodings<F> {
    pub(super) fn new(encode: F) -> Self {
        Self { encode, done: SmallVec::new() }
    }

    /// The message for a variant.
    pub(super) fn of(&mut self, variant: Variant) -> Result<Message, Disconnect> {
        if let Some((_, message)) = self.done.iter().find(|(done, _)| *done == variant) {
            return Ok(message.clone());
        }
        let message = (self.encode)(variant)?;
        self.done.push((variant, message.clone()));
        Ok(message)
    }

    /// Queues the message for a connection.
    pub(super) fn send(&mut self, conn: &Arc<Conn>) {
        match self.of(conn.variant) {
            Ok(message) => conn.send(message),
            Err(why) => conn.fail(why),
        }
    }
}
