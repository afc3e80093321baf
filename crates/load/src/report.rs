//! What a load found, as numbers.

use serde::Serialize;

use crate::crowd::Times;

/// What the server used in the stretch that was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ServerUse {
    /// Processor time, in seconds.
    pub cpu_seconds: f64,
    /// How often its threads waited.
    pub voluntary_switches: u64,
    /// Resident memory at the end, in bytes.
    pub resident: u64,
    /// The most it ever had resident, in bytes.
    pub resident_peak: u64,
}

/// One stretch of load. Counts that the mode does not have are 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Connections at the end.
    pub connections: usize,
    /// How long it took.
    pub seconds: f64,
    /// Publications sent.
    pub publications: u64,
    /// Publications that arrived, over all subscribers.
    pub deliveries: u64,
    /// Replies to commands, or answers to requests.
    pub replies: u64,
    /// Replies that were errors.
    pub reply_errors: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Processor time of this program, in seconds.
    pub client_cpu_seconds: f64,
    /// The latency of the mode: to the last subscriber, of a call, of an arrival.
    pub latency: Option<Latency>,
    /// Bytes of resident memory that one more connection costs.
    pub bytes_per_connection: Option<f64>,
    /// What the server used, where its process is known.
    pub server: Option<ServerUse>,
}

/// Latencies in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How many were taken.
    pub count: u64,
    /// Half of them are below.
    pub p50: f64,
    /// 9 of 10 are below.
    pub p90: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Figures {
    pub(crate) fn take_latency(&mut self, times: &Times) {
        let at = |quantile| times.at(quantile) as f64 / 1e9;
        self.latency =
            Some(Latency { count: times.count(), p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) });
    }

    /// The share of one processor that this program used: above 0.85 it may be what limits the figures.
    #[must_use]
    pub fn client_share(&self) -> f64 {
        if self.seconds > 0.0 { self.client_cpu_seconds / self.seconds } else { 0.0 }
    }

    /// The server's processor time for each of `count`, in microseconds.
    #[must_use]
    pub fn server_micros_per(&self, count: u64) -> Option<f64> {
        let server = self.server.as_ref()?;
        (count > 0).then(|| server.cpu_seconds * 1e6 / count as f64)
    }
}
