//! HTTP requests by path, method and status (MET-11).

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use parking_lot::Mutex;
use tourbillon::node::{Family, Sample, SampleKind};

static REQUESTS: Family =
    Family::new(SampleKind::Counter, "node", "incoming_http_requests_total", "HTTP requests that came.");

/// The most that are told apart. Paths are those of endpoints, so there are far fewer.
const LIMIT: usize = 4096;

/// Counts of HTTP requests.
#[derive(Debug, Default)]
pub(crate) struct HttpRequests(Mutex<BTreeMap<(String, &'static str, u16), u64>>);

impl HttpRequests {
    /// A request to this endpoint was answered.
    pub(crate) fn count(&self, endpoint: &str, method: &Method, status: StatusCode) {
        let key = (endpoint.to_owned(), name(method), status.as_u16());
        let mut counts = self.0.lock();
        if counts.len() < LIMIT || counts.contains_key(&key) {
            *counts.entry(key).or_default() += 1;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are exact as far as they matter")]
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let counts = self.0.lock();
        let samples = counts.iter().map(|((path, method, status), count)| {
            let labels = vec![
                ("method", (*method).into()),
                ("path", path.clone().into()),
                ("status", status.to_string().into()),
            ];
            Sample::new(&REQUESTS, labels, *count as f64)
        });
        samples.collect()
    }
}

/// Methods have names that anybody can make up.
fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}
