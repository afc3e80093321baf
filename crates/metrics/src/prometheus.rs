//! Metrics as Prometheus reads them: as text, or in Protobuf, without which it has no native histograms.
//!
//! Written here and not by a client library: those keep registries of values of their own, which would be a second
//! place for what is counted, and the one that speaks only OpenMetrics adds `_total` to the names of counters, of which
//! Centrifugo's dashboards know nothing.

mod protobuf;
mod text;

use crate::{Distribution, Sample};

/// What is told at one time.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Counters and gauges.
    pub samples: Vec<Sample>,
    /// Histograms and summaries.
    pub distributions: Vec<Distribution>,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exposition {
    /// The text format, version 0.0.4. Of native histograms it has only count and sum.
    Text,
    /// Messages `io.prometheus.client.MetricFamily`, each behind its length.
    Protobuf,
}

impl Exposition {
    /// What a scraper that sends this `Accept` gets: Protobuf, if it names that and prefers nothing to it.
    #[must_use]
    pub fn of_accept(accept: &str) -> Self {
        let mut best = (0.0, Self::Text);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let parameters: Vec<&str> = parts.collect();
            let quality = parameters.iter().find_map(|part| part.strip_prefix("q="));
            let quality = quality.map_or(1.0, |quality| quality.parse::<f32>().unwrap_or(0.0));
            let has = |parameter| parameters.contains(&parameter);
            let form = match kind {
                "application/vnd.google.protobuf"
                    if has("proto=io.prometheus.client.MetricFamily") && has("encoding=delimited") =>
                {
                    Self::Protobuf
                }
                "text/plain" | "text/*" | "*/*" => Self::Text,
                _ => continue,
            };
            if quality > best.0 {
                best = (quality, form);
            }
        }
        best.1
    }

    /// Its media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

impl Report {
    /// Of these.
    #[must_use]
    pub const fn new(samples: Vec<Sample>, distributions: Vec<Distribution>) -> Self {
        Self { samples, distributions }
    }

    /// Writes everything. Metrics come by their names.
    #[must_use]
    pub fn write(mut self, exposition: Exposition) -> Vec<u8> {
        self.samples.sort_by_cached_key(|sample| sample.family.full_name());
        self.distributions.sort_by(|one, other| one.name.cmp(&other.name));
        match exposition {
            Exposition::Text => text::write(&self).into_bytes(),
            Exposition::Protobuf => protobuf::write(&self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_what_it_prefers() {
        let protobuf =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let modern = format!(
            "{protobuf};q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3,*/*;q=0.2"
        );
        let usual =
            "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.6,*/*;q=0.2";
        for (accept, expected) in [
            (modern.as_str(), Exposition::Protobuf),
            (usual, Exposition::Text),
            (protobuf, Exposition::Protobuf),
            ("", Exposition::Text),
            ("*/*", Exposition::Text),
            ("application/vnd.google.protobuf", Exposition::Text),
            (&format!("text/plain, {protobuf};q=0.1"), Exposition::Text),
            ("application/json;q=;;,", Exposition::Text),
        ] {
            assert_eq!(Exposition::of_accept(accept), expected, "{accept}");
        }
    }
}
