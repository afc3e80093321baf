//! What a stretch of load took: time, and processor time on both sides.

use std::io;
use std::time::Duration;

use crate::crowd::now;
use crate::process::Process;
use crate::report::{Figures, ServerUse};

/// What was when the stretch began.
#[derive(Debug)]
pub(crate) struct Meter {
    at: u64,
    client: Duration,
    server: Option<(Process, Duration, u64)>,
    received: u64,
}

impl Meter {
    /// Begins. `received` is how many bytes were read so far; `process` is the server's.
    pub(crate) fn start(process: Option<Process>, received: u64) -> io::Result<Self> {
        let server = match process {
            Some(process) => Some((process, process.cpu()?, process.voluntary_switches()?)),
            None => None,
        };
        Ok(Self { client: Process::this()?.cpu()?, server, received, at: now() })
    }

    /// Ends, with so many connections.
    pub(crate) fn end(self, connections: usize, received: u64) -> io::Result<Figures> {
        let seconds = (now() - self.at) as f64 / 1e9;
        let server = match self.server {
            Some((process, cpu, switches)) => Some(ServerUse {
                cpu_seconds: process.cpu()?.saturating_sub(cpu).as_secs_f64(),
                voluntary_switches: process.voluntary_switches()?.saturating_sub(switches),
                resident: process.resident()?,
                resident_peak: process.resident_peak()?,
            }),
            None => None,
        };
        Ok(Figures {
            connections,
            seconds,
            client_cpu_seconds: Process::this()?.cpu()?.saturating_sub(self.client).as_secs_f64(),
            bytes: received - self.received,
            server,
            ..Figures::default()
        })
    }
}
