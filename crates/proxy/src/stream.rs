//! Subscriptions whose publications a backend streams (PRX-50..54).

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream as _, stream};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tourbillon_hooks::{PublishRequest, Refusal, Source};
use tourbillon_types::{Channel, ClientId, Payload, Publication, ReplyError, Unsubscribe};

use crate::endpoint::{CallError, Endpoint};
use crate::grpc::{Asked, Incoming};
use crate::headers::Origin;
use crate::proto;

/// How many publications of a client may wait for its stream to take them.
const WAITING: usize = 16;

/// What streams take that go both ways, by connection and channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<(ClientId, Channel), Sender>>>);

type Sender = mpsc::Sender<proto::StreamSubscribeRequest>;

/// One stream, open.
pub(crate) struct Open {
    pub(crate) answer: proto::SubscribeResponse,
    pub(crate) source: BackendSource,
}

impl Streams {
    /// Opens a stream, and waits for its first message.
    pub(crate) async fn open(
        &self,
        endpoint: &Endpoint,
        question: proto::SubscribeRequest,
        origin: Origin<'_>,
        (client, channel, bidirectional): (ClientId, &Channel, bool),
    ) -> Result<Open, CallError> {
        let (place, asked) = if bidirectional {
            let (sender, receiver) = mpsc::channel(WAITING);
            let first =
                proto::StreamSubscribeRequest { subscribe_request: Some(question), publication: None };
            let _ = sender.try_send(first);
            let place = Place { streams: self.clone(), key: (client, channel.clone()), sender };
            (Some(place), Asked::Both(receiver))
        } else {
            (None, Asked::Once(Box::new(question)))
        };
        let (answer, streaming) = endpoint.open(asked, origin).await?;
        if let Some(place) = &place {
            self.0.lock().insert(place.key.clone(), place.sender.clone());
        }
        Ok(Open { answer, source: BackendSource { streaming, _place: place } })
    }

    /// Hands a client's publication to the stream of its subscription.
    pub(crate) async fn publish(&self, request: PublishRequest, within: Duration) -> Result<(), Refusal> {
        let PublishRequest { client, channel, data, .. } = request;
        let sender = self.0.lock().get(&(client.id, channel)).cloned();
        let sender = sender.ok_or(ReplyError::NOT_AVAILABLE)?;
        let publication = proto::Publication { data: data.into_bytes(), ..Default::default() };
        let message = proto::StreamSubscribeRequest { publication: Some(publication), ..Default::default() };
        match sender.send_timeout(message, within).await {
            Ok(()) => Ok(()),
            Err(_) => Err(ReplyError::INTERNAL.into()),
        }
    }
}

/// The place of a stream among those that take publications, for as long as it is there.
struct Place {
    streams: Streams,
    key: (ClientId, Channel),
    sender: Sender,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = self.streams.0.lock();
        // The same subscription may have begun anew.
        if streams.get(&self.key).is_some_and(|other| other.same_channel(&self.sender)) {
            streams.remove(&self.key);
        }
    }
}

/// What a client publishes, as the body of a call.
pub(crate) fn outgoing(
    receiver: mpsc::Receiver<proto::StreamSubscribeRequest>,
) -> impl futures_util::Stream<Item = proto::StreamSubscribeRequest> + Send + 'static {
    stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

/// The publications of a stream. Dropping it cancels the call.
pub(crate) struct BackendSource {
    streaming: Incoming,
    _place: Option<Place>,
}

impl Source for BackendSource {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Publication, Unsubscribe>> {
        loop {
            let message = match Pin::new(&mut self.streaming).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Err(Unsubscribe::SERVER)),
                Poll::Ready(Some(Err(status))) => {
                    tracing::debug!(code = status.code() as i32, "a proxy's stream broke");
                    return Poll::Ready(Err(Unsubscribe::INSUFFICIENT_STATE));
                }
                Poll::Ready(Some(Ok(message))) => message,
            };
            // A message without one says nothing.
            if let Some(proto::Publication { data, tags }) = message.publication {
                return Poll::Ready(Ok(Publication {
                    data: Payload::new(data),
                    tags: (!tags.is_empty()).then(|| Arc::new(tags)),
                    ..Publication::default()
                }));
            }
        }
    }
}
