//! The codec as its users see it, a module each kind of evidence.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod emulation;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod generators;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod support;
