//! Deltas between byte strings, in the format of the version control system Fossil
//! (<https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki>), which is what clients that negotiate delta
//! compression read (DELTA-01, DELTA-02).
//!
//! A delta is text around pieces of the target: its length and a newline; copies `length@offset,` of ranges of the
//! source and literals `length:bytes`, in the target's order; a checksum of the target and a semicolon. Numbers are
//! in base 64, the most significant digit first.
//!
//! Two things hold beyond the format:
//!
//! - **Text stays text.** The delta of a target that is UTF-8 is UTF-8 itself, because no literal begins or ends
//!   inside a character. It can therefore travel as a JSON string (HID-08).
//! - **Work is bounded.** Creating takes time linear in source and target whatever they contain, and a [`Creator`]
//!   keeps at most 512 KiB. Applying allocates what the target needs, never more than the caller's limit.
//!
//! ```
//! use tourbillon_delta::{Creator, apply};
//!
//! let (old, new) = (br#"{"price":10.25,"currency":"EUR"}"#, br#"{"price":10.75,"currency":"EUR"}"#);
//! let mut delta = Vec::new();
//! assert!(Creator::new().create_if_smaller(old, new, &mut delta));
//! assert_eq!(apply(old, &delta, 1024).unwrap(), new);
//! ```

mod apply;
mod compare;
mod create;
mod format;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod index;

pub use apply::{DeltaError, apply};
pub use create::{Creator, create};
