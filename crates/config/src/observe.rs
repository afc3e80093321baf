//! What operators look at: metrics and the admin pages.

use serde::{Deserialize, Serialize};
use tourbillon::node::{Form, Measures};

use crate::check::Checker;
use crate::describe::{Describe, Texts, path_of};
use crate::model::options;

options! {
    /// `prometheus`.
    Prometheus {
        /// Switches the endpoint for Prometheus on, and with it the measuring of durations.
        enabled: bool = false,
        /// The path.
        handler_prefix: String = "/metrics".to_owned(),
        /// Counts HTTP requests by path, method and status.
        instrument_http_handlers: bool = false,
        /// Measures how many publications subscriptions recover.
        recovered_publications_histogram: bool = false,
        /// Native histograms instead of classic ones and summaries. Prometheus has to ask for them.
        native_histograms: bool = false,
    }
}

/// Metrics for Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrometheusSettings {
    /// The path.
    pub path: String,
    /// What is measured.
    pub measures: Measures,
    /// Whether HTTP requests are counted.
    pub http_requests: bool,
}

/// OBS-01.
pub(crate) fn prometheus(check: &mut Checker, options: &Prometheus) -> Option<PrometheusSettings> {
    let path = check.prefix("prometheus.handler_prefix", &options.handler_prefix);
    let form = if options.native_histograms { Form::Native } else { Form::Classic };
    let mut measures = Measures::new(form);
    measures.recovered_publications = options.recovered_publications_histogram;
    options.enabled.then_some(PrometheusSettings {
        path,
        measures,
        http_requests: options.instrument_http_handlers,
    })
}
