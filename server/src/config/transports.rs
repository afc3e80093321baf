//! The endpoints of connections over plain HTTP.

use http::StatusCode;
use tourbillon::http::{ErrorResponse, HttpConfig};
use tourbillon::transport::OriginPolicy;

use super::check::Checker;
use super::model::{ConnectCodeToHttpResponse, Options};

/// The path of an endpoint and how it behaves.
pub type Endpoint = (String, HttpConfig);

/// The endpoints of connections over plain HTTP; `None` for those that are off.
#[derive(Debug, Default)]
pub struct HttpTransports {
    /// HTTP streaming, both ways.
    pub http_stream: Option<Endpoint>,
    /// Server-sent events, both ways.
    pub sse: Option<Endpoint>,
    /// What clients of these two send. There as soon as one of them is (TR-04).
    pub emulation: Option<Endpoint>,
    /// HTTP streaming, one way.
    pub uni_http_stream: Option<Endpoint>,
    /// Server-sent events, one way.
    pub uni_sse: Option<Endpoint>,
    /// What a page may ask before it connects.
    pub init: Option<Endpoint>,
}

/// The most that a connect request grows when it becomes a command.
const ENVELOPE: usize = 64;

/// The longest command that these endpoints let through.
pub(super) fn largest_command(options: &Options) -> usize {
    let Options { http_stream, sse, uni_http_stream, uni_sse, .. } = options;
    [
        (http_stream.enabled, http_stream.max_request_body_size),
        (sse.enabled, sse.max_request_body_size),
        (http_stream.enabled || sse.enabled, options.emulation.max_request_body_size),
        (uni_http_stream.enabled, uni_http_stream.max_request_body_size.saturating_add(ENVELOPE)),
        (uni_sse.enabled, uni_sse.max_request_body_size.saturating_add(ENVELOPE)),
    ]
    .into_iter()
    .filter_map(|(enabled, size)| enabled.then_some(size))
    .max()
    .unwrap_or_default()
}

pub(super) fn http(check: &mut Checker, options: &Options) -> HttpTransports {
    // What is wrong with them is told where WebSocket takes them.
    let origins = OriginPolicy::patterns(&options.client.allowed_origins).unwrap_or_default();
    let mut endpoint = |name: &str, enabled: bool, prefix: &str, limit: Option<usize>| {
        let path = check.prefix(&format!("{name}.handler_prefix"), prefix);
        let mut config = HttpConfig::default();
        config.origins = origins.clone();
        if let Some(limit) = limit {
            if limit == 0 {
                check.error(&format!("{name}.max_request_body_size"), "must not be zero");
            }
            config.max_request_body_size = limit;
        }
        enabled.then_some((path, config))
    };
    let Options { http_stream, sse, emulation, uni_http_stream, uni_sse, init, .. } = options;
    let limit = Some(http_stream.max_request_body_size);
    let stream = endpoint("http_stream", http_stream.enabled, &http_stream.handler_prefix, limit);
    let events = endpoint("sse", sse.enabled, &sse.handler_prefix, Some(sse.max_request_body_size));
    let needed = http_stream.enabled || sse.enabled;
    let limit = Some(emulation.max_request_body_size);
    let emulation = endpoint("emulation", needed, &emulation.handler_prefix, limit);
    let limit = Some(uni_http_stream.max_request_body_size);
    let mut uni_stream =
        endpoint("uni_http_stream", uni_http_stream.enabled, &uni_http_stream.handler_prefix, limit);
    let limit = Some(uni_sse.max_request_body_size);
    let mut uni_events = endpoint("uni_sse", uni_sse.enabled, &uni_sse.handler_prefix, limit);
    let init = endpoint("init", init.enabled, &init.handler_prefix, None);
    for (name, endpoint, option) in [
        ("uni_http_stream", &mut uni_stream, &uni_http_stream.connect_code_to_http_response),
        ("uni_sse", &mut uni_events, &uni_sse.connect_code_to_http_response),
    ] {
        let responses = responses(check, name, option);
        if let Some((_, config)) = endpoint {
            config.connect_errors = responses;
        }
    }
    HttpTransports {
        http_stream: stream,
        sse: events,
        emulation,
        uni_http_stream: uni_stream,
        uni_sse: uni_events,
        init,
    }
}

/// UNI-09.
fn responses(
    check: &mut Checker,
    endpoint: &str,
    option: &ConnectCodeToHttpResponse,
) -> Option<Vec<ErrorResponse>> {
    let mut responses = Vec::new();
    for (at, transform) in option.transforms.iter().enumerate() {
        let path = format!("{endpoint}.connect_code_to_http_response.transforms[{at}]");
        if transform.code == 0 {
            check.error(&format!("{path}.code"), "must be set");
        }
        let status = StatusCode::from_u16(transform.to.status_code).ok().filter(|status| {
            // Others are no final answers, or end without a body.
            status.as_u16() >= 200
        });
        let Some(status) = status else {
            check.error(&format!("{path}.to.status_code"), "must be an HTTP status, 200 to 999");
            continue;
        };
        responses.push(ErrorResponse { code: transform.code, status, body: transform.to.body.clone() });
    }
    option.enabled.then_some(responses)
}
