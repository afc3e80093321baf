//! What noise cannot touch: how often the allocator and the operating system are asked, how many bytes are kept and
//! copied. Times differ from run to run; these do not.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]
#![allow(clippy::cast_precision_loss, reason = "small numbers")]

mod allocations;
mod budget;
mod harness;
mod memory;
mod wire;
mod writes;
