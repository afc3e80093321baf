//! The last moments of a connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tourbillon_transport::{MessageQueue, Received, TransportReader, TransportWriter};
use tourbillon_types::{Channel, Disconnect, Unsubscribe};

use crate::hooks::Client;
use crate::shared::Shared;
use tourbillon_metrics::Tally;

/// How long a peer may take for what is left for it, if it takes it slowly.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that nobody else sees any more, on its way out.
pub(crate) struct Closing {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: MessageQueue,
    /// How many entries of the queue are counted as sent.
    pub(crate) offered: usize,
    /// The transport's number among what is counted.
    pub(crate) transport: u8,
    pub(crate) writer: Option<Box<dyn TransportWriter>>,
    pub(crate) write_timeout: Duration,
    /// The channels it had.
    pub(crate) channels: Vec<Channel>,
    /// `None`: it was never accepted.
    pub(crate) client: Option<Arc<Client>>,
    pub(crate) why: Disconnect,
}

impl Closing {
    /// Writes what is left, tells the peer why, waits for the peer's own end, and tells the application. Each step
    /// has a deadline.
    pub(crate) async fn run<R: TransportReader>(self, reader: Option<R>) {
        let Self { shared, mut queue, offered, transport, writer, write_timeout, channels, client, why } =
            self;
        if why.drops_queue() {
            queue.clear();
        }
        if let Some(mut writer) = writer {
            let mut tally = Tally::default();
            tally.count(transport, &queue, offered);
            shared.metrics.take(&mut tally);
            if write_out(&mut *writer, &mut queue, write_timeout).await {
                let close = poll_fn(|cx| writer.poll_close(cx, &why));
                let goodbye = async {
                    if close.await.is_ok()
                        && let Some(reader) = reader
                    {
                        until_end(reader).await;
                    }
                };
                // A peer that does not answer is left behind.
                let _ = timeout(shared.config.close_timeout, goodbye).await;
            }
        }
        let Some(client) = client else { return };
        let farewell = async {
            for channel in channels {
                let hooks = shared.hooks.clone();
                hooks.unsubscribed(client.clone(), channel, Unsubscribe::DISCONNECTED).await;
            }
            shared.hooks.clone().disconnected(client, why).await;
        };
        if timeout(shared.call_timeout(), farewell).await.is_err() {
            tracing::warn!("the application did not take a disconnect in time");
        }
    }
}

/// Writes the queue for as long as the peer takes something of it every `write_timeout`, but no longer than
/// [`PATIENCE`]. Whether all of it was taken.
async fn write_out(
    writer: &mut dyn TransportWriter,
    queue: &mut MessageQueue,
    write_timeout: Duration,
) -> bool {
    let rounds = async {
        loop {
            let before = queue.bytes();
            match timeout(write_timeout, poll_fn(|cx| writer.poll_write(cx, queue))).await {
                Ok(written) => return written.is_ok(),
                Err(_) if queue.bytes() < before => {}
                Err(_) => return false,
            }
        }
    };
    timeout(PATIENCE.max(write_timeout), rounds).await.unwrap_or(false)
}

/// Reads until the peer ends too. What it still sends is of no use.
async fn until_end<R: TransportReader>(mut reader: R) {
    while let Ok(received) = reader.recv().await {
        if received == Received::End {
            return;
        }
    }
}
