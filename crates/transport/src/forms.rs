//! What is made of shared bytes for the connections that send them in another form.

use std::sync::OnceLock;

use bytes::Bytes;

/// Forms by key, each made once, by whoever needs it first. A list that grows at its end without a lock, and takes
/// one pointer as long as there is none: forms are few, as many as there are ways to send in this process.
#[derive(Default)]
pub(crate) struct Forms(OnceLock<Box<Form>>);

struct Form {
    key: u32,
    bytes: Bytes,
    next: Forms,
}

impl Forms {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The form of this key, made by `make` if there is none yet.
    pub(crate) fn get(&self, key: u32, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut make = Some(make);
        let mut place = self;
        loop {
            let form = place.0.get_or_init(|| {
                // A form of this key ends the search, so it is made once at most.
                let bytes = make.take().map(|make| make()).unwrap_or_default();
                Box::new(Form { key, bytes, next: Self::new() })
            });
            if form.key == key {
                return form.bytes.clone();
            }
            place = &form.next;
        }
    }

    /// The form of this key, if there is one.
    #[inline]
    pub(crate) fn made(&self, key: u32) -> Option<Bytes> {
        let mut place = self;
        while let Some(form) = place.0.get() {
            if form.key == key {
                return Some(form.bytes.clone());
            }
            place = &form.next;
        }
        None
    }
}
