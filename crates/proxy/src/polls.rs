//! Asking a backend what the keys of polled channels hold (PRX-35).

use tourbillon_hooks::shared_poll::{Backend, BackendError, Refresh, Refreshed, Value};
use tourbillon_types::{Epoch, Payload};

use crate::event::{Envelope, Event};
use crate::hooks::Rules;
use crate::{Endpoint, proto};

/// The backends of polled channels: [`Rules`] says which one knows a channel. It is asked for the node, so no client's
/// headers go along.
#[derive(Clone)]
pub struct ProxyBackend<R>(R);

impl<R: Rules> ProxyBackend<R> {
    /// Asks whom the rules name.
    #[must_use]
    pub const fn new(rules: R) -> Self {
        Self(rules)
    }
}

impl<R> std::fmt::Debug for ProxyBackend<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProxyBackend")
    }
}

fn failed(why: impl ToString) -> BackendError {
    BackendError(why.to_string())
}

impl<R: Rules> Backend for ProxyBackend<R> {
    async fn refresh(&self, refresh: Refresh) -> Result<Refreshed, BackendError> {
        let endpoint = self.0.endpoint(Event::SharedPollRefresh, &refresh.channel);
        let endpoint = endpoint.ok().flatten().ok_or_else(|| failed("no proxy knows the channel"))?;
        let items = refresh
            .items
            .iter()
            .map(|item| proto::SharedPollRefreshItem { key: item.key.to_string(), version: item.version });
        let [asked, told] = &endpoint.keys;
        asked.add(refresh.items.len());
        let question =
            proto::SharedPollRefreshRequest { channel: refresh.channel.to_string(), items: items.collect() };
        let Envelope { result, error, .. } = endpoint.ask(question, None).await.map_err(failed)?;
        if let Some(error) = error {
            return Err(failed(format!("the backend answered with error {}", error.code)));
        }
        let proto::SharedPollRefreshResult { items, epoch } = result.unwrap_or_default();
        told.add(items.len());
        let values = items.into_iter().map(|item| value(&endpoint, item));
        Ok(Refreshed { values: values.collect(), epoch: Epoch::from(epoch.as_str()) })
    }
}

/// Data over HTTP was read as JSON; over GRPC it may be anything.
fn value(endpoint: &Endpoint, item: proto::SharedPollRefreshResultItem) -> Value {
    let payload = if endpoint.is_http() { Payload::from_json } else { Payload::new };
    let proto::SharedPollRefreshResultItem { key, data, version, removed, prev_data } = item;
    let mut value = Value::new(key, payload(data));
    value.version = version;
    value.removed = removed;
    value.prev_data = payload(prev_data);
    value
}
