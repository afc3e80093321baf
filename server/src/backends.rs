//! Who is asked about what: the rules of the proxy's hooks, from options that can change.

use std::sync::Arc;

use tourbillon::auth::{Capability, Matching};
use tourbillon::node::{ChannelOptions, ClientRights, Refusal};
use tourbillon::proxy::{self, Endpoint, Event, Rules};
use tourbillon::types::ReplyError;
use tourbillon_access::{Caps, ChannelRules, Live, Namespaces, Patterns};
use tourbillon_config::Backends;

/// Backends by the names that namespaces have for them.
#[derive(Clone, Debug)]
pub(crate) struct BackendRules {
    pub(crate) backends: Live<Backends>,
    pub(crate) namespaces: Live<Namespaces>,
    pub(crate) patterns: Patterns,
}

impl BackendRules {
    /// The backend that a channel's namespace names.
    fn of_channel(
        &self,
        event: Event,
        channel: &str,
        name: fn(&ChannelRules) -> &Option<Arc<str>>,
    ) -> Result<Option<Arc<Endpoint>>, Refusal> {
        let found = self
            .namespaces
            .with(|namespaces| namespaces.find(channel).map(|resolved| name(resolved.rules).clone()))?;
        let Some(name) = found else { return Ok(None) };
        // Where both are replaced, one can be older than the other for a moment.
        let backend = self.backends.with(|backends| backends.named(event, &name));
        backend.map(Some).ok_or_else(|| ReplyError::INTERNAL.into())
    }
}

impl Rules for BackendRules {
    fn endpoint(&self, event: Event, subject: &str) -> Result<Option<Arc<Endpoint>>, Refusal> {
        match event {
            Event::Subscribe => self.of_channel(event, subject, |rules| &rules.proxies.subscribe),
            Event::SubscribeStream => {
                self.of_channel(event, subject, |rules| &rules.proxies.subscribe_stream)
            }
            Event::Publish => self.of_channel(event, subject, |rules| &rules.proxies.publish),
            Event::SubRefresh => self.of_channel(event, subject, |rules| &rules.proxies.sub_refresh),
            Event::MapPublish => self.of_channel(event, subject, |rules| &rules.proxies.map_publish),
            Event::MapRemove => self.of_channel(event, subject, |rules| &rules.proxies.map_remove),
            Event::CacheEmpty => self.of_channel(event, subject, |rules| &rules.proxies.cache_empty),
            Event::SharedPollRefresh => self.of_channel(event, subject, |rules| &rules.proxies.shared_poll),
            Event::Rpc => Ok(self.backends.with(|backends| backends.of_method(subject))?),
            other => Ok(self.backends.with(|backends| backends.of(other))),
        }
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        self.namespaces.with(|namespaces| namespaces.channel_options(channel))
    }

    fn rights(&self, capabilities: Vec<proxy::Capability>) -> Result<Option<ClientRights>, Refusal> {
        let read = |given: proxy::Capability| {
            let mut capability = Capability::default();
            capability.channels = given.channels;
            capability.allow = given.allow;
            capability.matching = match given.matching.as_str() {
                "" => Matching::Exact,
                "wildcard" => Matching::Wildcard,
                "regex" => Matching::Regex,
                _ => return None,
            };
            Some(capability)
        };
        let capabilities: Option<Vec<Capability>> = capabilities.into_iter().map(read).collect();
        let caps = capabilities.and_then(|capabilities| Caps::new(&capabilities, &self.patterns).ok());
        let Some(caps) = caps else {
            tracing::warn!("the capabilities of a backend's answer cannot be read");
            return Err(ReplyError::INTERNAL.into());
        };
        Ok(Some(ClientRights::new(caps)))
    }

    fn is_bidirectional(&self, channel: &str) -> bool {
        self.namespaces.with(|namespaces| {
            namespaces.find(channel).is_ok_and(|resolved| resolved.rules.proxies.bidirectional)
        })
    }
}
