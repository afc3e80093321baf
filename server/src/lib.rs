//! The Tourbillon server as a library.
