//! Bytes that a socket did not take yet.

use std::io::{self, Write as _};

use mio::net::TcpStream;

/// What follows when the socket can take more. Holds no memory while there is nothing.
#[derive(Debug, Default)]
pub(crate) struct Unsent(Vec<u8>);

impl Unsent {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes what waits and then `bytes`, as far as the socket takes them; the rest waits.
    pub(crate) fn send(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        if self.0.is_empty() {
            let sent = write(stream, bytes)?;
            self.0.extend_from_slice(bytes.get(sent..).unwrap_or_default());
            return Ok(());
        }
        self.0.extend_from_slice(bytes);
        let sent = write(stream, &self.0)?;
        self.0.drain(..sent);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Ok(())
    }
}

/// Writes what the socket takes now.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(length) => sent += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
