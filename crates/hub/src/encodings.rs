//! One publication or push in the forms that its subscribers want.

use std::sync::Arc;

use smallvec::SmallVec;
use tourbillon_transport::Message;
use tourbillon_types::Disconnect;

use crate::subscriber::{Subscriber, Variant};

/// How a push looks to a subscriber. Subscribers of one form share the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) variant: Variant,
    /// The channel's number stands for its name (COMP-01).
    pub(crate) compact: bool,
    pub(crate) body: Body,
}

/// How a publication's data looks. Pushes that are no publications have no other body than the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// As it is.
    Plain,
    /// In a JSON string (HID-08).
    Text,
    /// What is different from the publication before; in JSON in a string, too.
    Delta,
}

/// A message in each form that was asked for, encoded once.
pub(crate) struct Encodings<F> {
    encode: F,
    done: SmallVec<[(Form, Message); 2]>,
}

impl<F: FnMut(Form) -> Result<Message, Disconnect>> Encodings<F> {
    pub(crate) fn new(encode: F) -> Self {
        Self { encode, done: SmallVec::new() }
    }

    /// The message in a form.
    pub(crate) fn of(&mut self, form: Form) -> Result<Message, Disconnect> {
        if let Some((_, message)) = self.done.iter().find(|(done, _)| *done == form) {
            return Ok(message.clone());
        }
        let message = (self.encode)(form)?;
        self.done.push((form, message.clone()));
        Ok(message)
    }

    /// Queues the message for a connection.
    pub(crate) fn send(&mut self, conn: &Arc<impl Subscriber>, compact: bool, body: Body) {
        match self.of(Form { variant: conn.variant(), compact, body }) {
            Ok(message) => conn.send(message),
            Err(why) => conn.fail(why),
        }
    }
}
