//! The endpoint for Prometheus (OBS-01): what the node, the API, the HTTP server and the process have to tell.

mod http_requests;
mod process;
mod proxies;
mod redis;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tourbillon::node::Node;
use tourbillon::node::prometheus::{Exposition, Report};
use tourbillon_access::Live;
use tourbillon_api::{ApiMetrics, ApiService};
use tourbillon_config::{Backends, PrometheusSettings};

use crate::consumers::Watch;
use crate::router::{Answer, get_only, reply};

pub(crate) use http_requests::HttpRequests;
pub(crate) use redis::RedisCounts;

/// Everything that is told.
#[derive(Clone, Debug)]
pub(crate) struct Scrape {
    path: String,
    node: Node,
    api: Arc<ApiMetrics>,
    backends: Live<Backends>,
    redis: RedisCounts,
    consumers: Watch,
    /// `None`: they are not counted.
    http: Option<Arc<HttpRequests>>,
}

impl Scrape {
    pub(crate) fn new(
        settings: PrometheusSettings,
        node: Node,
        backends: Live<Backends>,
        (redis, consumers): (RedisCounts, Watch),
    ) -> Self {
        let api = Arc::new(ApiMetrics::new(settings.measures.form));
        let http = settings.http_requests.then(Arc::default);
        Self { path: settings.path, node, api, backends, redis, consumers, http }
    }

    /// Has commands of the API counted, if anybody asks.
    pub(crate) fn watch(scrape: Option<&Self>, service: ApiService) -> ApiService {
        match scrape {
            Some(scrape) => service.with_metrics(Arc::clone(&scrape.api)),
            None => service,
        }
    }

    /// Where HTTP requests are counted, if they are.
    pub(crate) fn requests(&self) -> Option<Arc<HttpRequests>> {
        self.http.clone()
    }

    pub(crate) fn is_at(&self, path: &str) -> bool {
        self.path == path
    }

    /// Answers a request. It is made apart from the threads that serve clients: reading walks through all channels.
    pub(crate) async fn answer<B>(&self, request: &Request<B>) -> Answer {
        if let Some(refused) = get_only(request.method()) {
            return refused;
        }
        let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let exposition = Exposition::of_accept(accept.unwrap_or_default());
        let scrape = self.clone();
        let written = tokio::task::spawn_blocking(move || scrape.report().write(exposition)).await;
        let Ok(written) = written else {
            let text = "metrics cannot be read\n";
            return reply(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", text);
        };
        let mut answer = Response::new(Full::new(Bytes::from(written)));
        let content_type = HeaderValue::from_static(exposition.content_type());
        answer.headers_mut().insert(CONTENT_TYPE, content_type);
        answer
    }

    fn report(&self) -> Report {
        let mut samples = self.node.metrics();
        samples.extend(self.api.samples());
        samples.extend(process::samples());
        samples.extend(self.redis.samples());
        samples.extend(self.consumers.samples());
        if let Some(http) = &self.http {
            samples.extend(http.samples());
        }
        let mut distributions = self.node.distributions();
        distributions.extend(self.api.distributions());
        let (of_proxies, durations) = proxies::read(&self.backends);
        samples.extend(of_proxies);
        distributions.extend(durations);
        Report::new(samples, distributions)
    }
}
