//! Liveness: pings and pongs (PING-01..04).

use std::time::Duration;

use tourbillon_types::{Direction, Disconnect, Instant, Now};

use crate::io::{Output, Outputs};
use crate::session::Session;

/// How often the transport of a client that only listens pings where the protocol does not (UNI-03).
const LISTENER_INTERVAL: Duration = Duration::from_secs(25);

/// How long such a client has for its pong where none is asked for otherwise.
const LISTENER_TIMEOUT: Duration = Duration::from_secs(10);

impl Session {
    /// Schedules the first ping. Returns the interval in seconds that the client is told, if the protocol pings.
    pub(crate) fn start_pings(&mut self, now: Now) -> Option<u32> {
        let interval = self.ping_interval()?;
        self.ping.next = now.instant + first_delay(interval, self.init.client.as_bytes());
        if !self.pings_in_messages() {
            return None;
        }
        Some(u32::try_from(interval.as_secs()).unwrap_or(u32::MAX))
    }

    fn configured_interval(&self) -> Option<Duration> {
        self.config.ping_interval.filter(|interval| !interval.is_zero())
    }

    fn ping_interval(&self) -> Option<Duration> {
        let always = self.is_pinged_listener().then_some(LISTENER_INTERVAL);
        self.configured_interval().or(always)
    }

    /// Whether this is a client that only listens, on a transport that pings.
    fn is_pinged_listener(&self) -> bool {
        self.init.native_ping && self.init.direction == Direction::Unidirectional
    }

    /// Whether [`Output::Ping`] goes out as a message, be it beside a ping of the transport.
    #[must_use]
    pub fn pings_in_messages(&self) -> bool {
        let told = !self.init.native_ping || self.init.direction == Direction::Unidirectional;
        told && self.configured_interval().is_some()
    }

    fn pong_timeout(&self) -> Duration {
        let timeout = self.config.pong_timeout;
        if timeout.is_zero() && self.is_pinged_listener() { LISTENER_TIMEOUT } else { timeout }
    }

    /// Whether a client that does not answer pings is closed.
    pub(crate) fn expects_pong(&self) -> bool {
        let answers = self.init.native_ping || self.init.direction == Direction::Bidirectional;
        answers && !self.pong_timeout().is_zero()
    }

    /// A pong of the protocol. Each ping entitles the client to one: while the session is busy, several pings and
    /// the pongs to them can meet in the socket.
    pub(crate) fn pong(&mut self, now: Now, out: &mut Outputs) {
        let Some(unanswered) = self.unanswered.checked_sub(1) else {
            return self.close(Disconnect::BAD_REQUEST, out);
        };
        self.answered(now, u32::from(self.unanswered), out);
        self.unanswered = unanswered;
        self.ping.pong_due = Instant::MAX;
    }

    /// The transport's own pong. One that answers no ping is allowed (RFC 6455 section 5.5.3).
    pub(crate) fn native_pong(&mut self, now: Now, out: &mut Outputs) {
        if self.init.native_ping {
            if self.ping.pong_due != Instant::MAX {
                self.answered(now, 1, out);
            }
            self.ping.pong_due = Instant::MAX;
        }
    }

    /// Tells how long the answer to the ping `back` pings ago took: they are an interval apart.
    fn answered(&self, now: Now, back: u32, out: &mut Outputs) {
        let Some(interval) = self.ping_interval() else { return };
        let sent_before_next = interval.saturating_mul(back);
        let waited = (now.instant + sent_before_next).saturating_since(self.ping.next);
        out.push(Output::Answered(waited));
    }

    /// Lets a pong that is late take as long again. A driver that holds a command back, as it does not know yet whether it
    /// is worked on, says so before a tick: the pong may wait behind that command.
    pub fn excuse(&mut self, now: Now) {
        if now.instant >= self.ping.pong_due {
            self.ping.pong_due = now.instant + self.pong_timeout();
        }
    }

    pub(crate) fn tick_ping(&mut self, now: Now, out: &mut Outputs) {
        if !self.ready() {
            // It may wait in the socket behind a command that the server is slow to answer.
            self.excuse(now);
        }
        if now.instant >= self.ping.pong_due {
            return self.close(Disconnect::NO_PONG, out);
        }
        let Some(interval) = self.ping_interval() else { return };
        if now.instant >= self.ping.next {
            self.ping.next = now.instant + interval;
            out.push(Output::Ping);
            if !self.init.native_ping {
                self.unanswered = self.unanswered.saturating_add(1);
            }
            if self.expects_pong() {
                self.ping.pong_due = self.ping.pong_due.min(now.instant + self.pong_timeout());
            }
        }
    }
}

/// A share of the interval between a half and the whole, different for each client, so that clients that connected
/// together are not pinged together (HID-03). Taken from the client's identifier, which is random.
fn first_delay(interval: Duration, random: &[u8; 16]) -> Duration {
    let [.., a, b, c, d] = *random;
    let share = f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX);
    interval.mul_f64(0.5 + share / 2.0)
}
