//! What becomes of the messages that Redis hands on (MET-42 to MET-44).

use std::sync::Arc;

use tourbillon::node::{Family, Sample, SampleKind};
use tourbillon::redis::PubSubCounts;

/// The counts of the engine and of keyed channels, where they are on Redis.
#[derive(Clone, Debug, Default)]
pub(crate) struct RedisCounts {
    pub(crate) broker: Option<Arc<PubSubCounts>>,
    pub(crate) maps: Option<Arc<PubSubCounts>>,
}

struct Families {
    errors: Family,
    dropped: Family,
    buffered: Family,
}

impl Families {
    const fn of(subsystem: &'static str) -> Self {
        Self {
            errors: Family::new(
                SampleKind::Counter,
                subsystem,
                "redis_pub_sub_errors",
                "Faults of connections to Redis for messages.",
            ),
            dropped: Family::new(
                SampleKind::Counter,
                subsystem,
                "redis_pub_sub_dropped_messages",
                "Messages of Redis that were dropped since too many waited.",
            ),
            buffered: Family::new(
                SampleKind::Gauge,
                subsystem,
                "redis_pub_sub_buffered_messages",
                "Messages of Redis that wait for a worker.",
            ),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "none of them has 53 bits")]
    fn samples(&'static self, counts: &PubSubCounts, has_control: bool, samples: &mut Vec<Sample>) {
        for (error, count) in counts.errors() {
            samples.push(Sample::new(&self.errors, vec![("error", error.into())], count as f64));
        }
        let control = has_control.then(|| ("control", counts.dropped_control()));
        for (kind, count) in [("client", counts.dropped())].into_iter().chain(control) {
            samples.push(Sample::new(&self.dropped, vec![("channel_type", kind.into())], count as f64));
        }
        for (worker, waiting) in counts.buffered().into_iter().enumerate() {
            let labels =
                vec![("channel_type", "client".into()), ("pub_sub_processor", worker.to_string().into())];
            samples.push(Sample::new(&self.buffered, labels, waiting as f64));
        }
    }
}

static BROKER: Families = Families::of("broker");
static MAPS: Families = Families::of("map_broker");

impl RedisCounts {
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        if let Some(counts) = &self.broker {
            BROKER.samples(counts, true, &mut samples);
        }
        if let Some(counts) = &self.maps {
            MAPS.samples(counts, false, &mut samples);
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn met_42_to_44_what_redis_hands_on_is_told() {
        let counts = RedisCounts { broker: Some(Arc::default()), maps: Some(Arc::default()) };
        let samples = counts.samples();
        let told: Vec<String> = samples
            .iter()
            .map(|sample| {
                let labels: Vec<_> =
                    sample.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{} {} {}", sample.family.full_name(), labels.join(","), sample.value)
            })
            .collect();
        assert_eq!(
            told,
            [
                "centrifugo_broker_redis_pub_sub_errors error=connection_lost 0",
                "centrifugo_broker_redis_pub_sub_errors error=no_answer 0",
                "centrifugo_broker_redis_pub_sub_errors error=subscribe_channel 0",
                "centrifugo_broker_redis_pub_sub_dropped_messages channel_type=client 0",
                "centrifugo_broker_redis_pub_sub_dropped_messages channel_type=control 0",
                "centrifugo_map_broker_redis_pub_sub_errors error=connection_lost 0",
                "centrifugo_map_broker_redis_pub_sub_errors error=no_answer 0",
                "centrifugo_map_broker_redis_pub_sub_errors error=subscribe_channel 0",
                "centrifugo_map_broker_redis_pub_sub_dropped_messages channel_type=client 0",
            ]
        );
        assert_eq!(RedisCounts::default().samples().len(), 0, "where nothing is on Redis");
    }
}
