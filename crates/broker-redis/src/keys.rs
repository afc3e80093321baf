//! What things are called in Redis (RED-05, RED-06, RED-07, RED-14). Centrifugo's nodes use the same names.

use tourbillon_broker::BrokerError;
use tourbillon_types::NodeId;

/// The names of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
    /// Keys that one script touches must be on one node then: the channel is their hash tag.
    cluster: bool,
}

impl Keys {
    pub(crate) const fn new(prefix: String, cluster: bool) -> Self {
        Self { prefix, cluster }
    }

    /// Whether they are of a cluster.
    pub(crate) const fn is_of_cluster(&self) -> bool {
        self.cluster
    }

    /// Whether the channel can be told apart here.
    ///
    /// # Errors
    ///
    /// An empty hash tag is none: the channel's keys would be on different nodes.
    pub(crate) fn check(&self, channel: &str) -> Result<(), BrokerError> {
        if self.cluster && (channel.is_empty() || channel.starts_with('}')) {
            return Err(BrokerError::invalid("a name that begins with } has no place in a Redis Cluster"));
        }
        Ok(())
    }

    /// What is called `kind` of a channel.
    pub(crate) fn of(&self, kind: &str, channel: &str) -> String {
        let prefix = &self.prefix;
        if self.cluster {
            format!("{prefix}.{kind}.{{{channel}}}")
        } else {
            format!("{prefix}.{kind}.{channel}")
        }
    }

    /// What became of a publication with a key.
    pub(crate) fn result(&self, channel: &str, key: &str) -> String {
        format!("{}.{key}", self.of("result", channel))
    }

    /// What the scripts of keyed channels work on, in their order (MAPB-02).
    pub(crate) fn of_map(&self, channel: &str, idempotency: &str) -> Vec<String> {
        let prefix = &self.prefix;
        let mut keys: Vec<String> = ["meta", "state", "state:expire", "state:meta", "state:keys", "stream"]
            .map(|kind| format!("{prefix}:{kind}:{channel}"))
            .into();
        keys.extend([self.cleanup(), self.result(channel, idempotency)]);
        keys
    }

    /// The keyed channels that have keys which end, by the time when the first one does.
    pub(crate) fn cleanup(&self) -> String {
        format!("{}:cleanup:channels", self.prefix)
    }

    /// The token buckets of somebody.
    pub(crate) fn rates(&self, owner: &str) -> String {
        self.of("rate", owner)
    }

    /// What the scripts of records work on, in their order: on one node, in a cluster.
    pub(crate) fn of_records(&self, kind: &str) -> Vec<String> {
        let ends = format!("{}.{{{kind}}}.ends", self.prefix);
        vec![ends.clone(), format!("{ends}.numbers"), format!("{ends}.about")]
    }

    /// Where publications of a channel are handed on.
    pub(crate) fn pubsub(&self, channel: &str) -> String {
        self.of("client", channel)
    }

    /// The channel whose publications are handed on there; `None` if it is nobody's.
    pub(crate) fn channel<'a>(&self, pubsub: &'a str) -> Option<&'a str> {
        let rest = pubsub.strip_prefix(self.prefix.as_str())?.strip_prefix(".client.")?;
        if self.cluster { rest.strip_prefix('{')?.strip_suffix('}') } else { Some(rest) }
    }

    /// Where all nodes listen.
    pub(crate) fn control(&self) -> String {
        format!("{}.control", self.prefix)
    }

    /// Where one node listens.
    pub(crate) fn node(&self, node: &NodeId) -> String {
        format!("{}.node.{node}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_05_keys_of_one_server() {
        let keys = Keys::new("centrifugo".to_owned(), false);
        assert_eq!(keys.of("stream", "ns:a"), "centrifugo.stream.ns:a");
        assert_eq!(keys.of("stream.meta", "ns:a"), "centrifugo.stream.meta.ns:a");
        assert_eq!(keys.result("ns:a", "k"), "centrifugo.result.ns:a.k");
        assert_eq!(keys.pubsub("ns:a"), "centrifugo.client.ns:a");
        assert_eq!(keys.control(), "centrifugo.control");
        let node = NodeId::from_random([0; 16]);
        assert_eq!(keys.node(&node), "centrifugo.node.00000000-0000-4000-8000-000000000000");
        assert!(keys.check("}").is_ok());
    }

    #[test]
    fn red_06_keys_of_a_cluster_have_the_channel_for_their_tag() {
        let keys = Keys::new("p".to_owned(), true);
        assert_eq!(keys.of("list.meta", "a"), "p.list.meta.{a}");
        assert_eq!(keys.result("a", "k"), "p.result.{a}.k");
        assert_eq!(keys.pubsub("a"), "p.client.{a}");
        assert!(keys.check("a}").is_ok());
        assert!(keys.check("}a").is_err_and(|error| error.is_invalid()));
    }

    #[test]
    fn a_channel_is_found_by_where_it_is_handed_on() {
        for cluster in [false, true] {
            let keys = Keys::new("p.q".to_owned(), cluster);
            for channel in ["a", "ns:a", "{}", "a}", "p.q.client.x"] {
                assert_eq!(keys.channel(&keys.pubsub(channel)), Some(channel), "{cluster}");
            }
            for other in ["", "p.q.control", "p.client.a", "p.q.client"] {
                assert_eq!(keys.channel(other), None, "{other}");
            }
        }
        assert_eq!(Keys::new("p".to_owned(), true).channel("p.client.a"), None);
    }
}
