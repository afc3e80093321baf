//! The endpoints of connections.

use http::StatusCode;
use tourbillon::grpc::GrpcConfig;
use tourbillon::http::{ErrorResponse, HttpConfig, TicketLimits, Tickets};
use tourbillon::transport::OriginPolicy;
use tourbillon::types::{Disconnect, ErrorCode};
use tourbillon::websocket::{Compression, UniWebSocketConfig, WebSocketConfig};
use tourbillon::webtransport::WebTransportConfig;

use crate::check::Checker;
use crate::model::{ConnectCodeToDisconnect, ConnectCodeToHttpResponse, Options, UniWebSocket, WebSocket};

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
    /// Where tickets are made, and where they are kept.
    pub ticket: Option<(Endpoint, Tickets)>,
}

/// The most that a connect request grows when it becomes a command.
const ENVELOPE: usize = 64;

/// The longest command that these endpoints let through. Frames are bounded by the transport, on the wire and
/// inflated; a command is no larger than its frame.
pub(crate) fn largest_command(options: &Options) -> usize {
    let Options { websocket, http_stream, sse, uni_http_stream, uni_sse, uni_websocket, uni_grpc, .. } =
        options;
    let inflated = |compression: bool, limit: usize, inflated: usize| match inflated {
        0 if compression => limit.saturating_mul(10),
        inflated => limit.max(inflated),
    };
    let both_ways = inflated(
        websocket.compression,
        websocket.message_size_limit,
        websocket.decompressed_message_size_limit,
    );
    let uni_grpc_limit = match uni_grpc.max_receive_message_size {
        0 => GrpcConfig::default().max_receive_message_size,
        limit => limit,
    };
    let one_way = inflated(
        uni_websocket.compression,
        uni_websocket.message_size_limit,
        uni_websocket.decompressed_message_size_limit,
    );
    [
        (true, both_ways),
        (uni_websocket.enabled, one_way.saturating_add(ENVELOPE)),
        (options.webtransport.enabled, options.webtransport.message_size_limit),
        (uni_grpc.enabled, uni_grpc_limit.saturating_add(ENVELOPE)),
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

pub(crate) fn http(check: &mut Checker, options: &Options) -> HttpTransports {
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
    let ticket = &options.ticket;
    let limit = Some(ticket.max_request_body_size);
    let tickets = endpoint("ticket", ticket.enabled, &ticket.handler_prefix, limit);
    let ttl = check.duration("ticket.ttl", ticket.ttl);
    if ttl.as_secs() == 0 || ttl.subsec_nanos() > 0 {
        check.error("ticket.ttl", "must be whole seconds, at least 1s");
    }
    let (max_bytes, max_bytes_of_one) = (ticket.max_memory, ticket.max_memory_per_address);
    if max_bytes_of_one == 0 || max_bytes_of_one > max_bytes {
        check.error(
            "ticket.max_memory_per_address",
            "must be more than nothing and at most ticket.max_memory",
        );
    }
    let limits = TicketLimits { life: ttl, max_bytes, max_bytes_of_one };
    let tickets = tickets.map(|endpoint| (endpoint, Tickets::new(limits)));
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
        ticket: tickets,
    }
}

pub(crate) fn websocket(check: &mut Checker, options: &Options) -> Option<(String, WebSocketConfig)> {
    let websocket = &options.websocket;
    let prefix = check.prefix("websocket.handler_prefix", &websocket.handler_prefix);
    let mut config = frames(check, "websocket", websocket);
    // Below zero, any number.
    config.max_messages_in_frame =
        usize::try_from(options.client.max_messages_in_frame).unwrap_or(usize::MAX).max(1);
    let origins = OriginPolicy::patterns(&options.client.allowed_origins);
    config.origins = check.ok("client.allowed_origins", origins)?;
    (!websocket.disabled).then_some((prefix, config))
}

/// WT-01..04.
pub(crate) fn webtransport(check: &mut Checker, options: &Options) -> Option<WebTransportConfig> {
    let webtransport = &options.webtransport;
    let mut config = WebTransportConfig::default();
    config.path = check.prefix("webtransport.handler_prefix", &webtransport.handler_prefix);
    config.message_size_limit = webtransport.message_size_limit;
    if webtransport.message_size_limit == 0 {
        check.error("webtransport.message_size_limit", "must not be zero");
    }
    if webtransport.enabled && !options.http_server.http3.enabled {
        check.error("webtransport.enabled", "needs http_server.http3.enabled");
    }
    // What is wrong with them is told where WebSocket takes them.
    config.origins = OriginPolicy::patterns(&options.client.allowed_origins).unwrap_or_default();
    webtransport.enabled.then_some(config)
}

/// UNI-04.
pub(crate) fn uni_websocket(check: &mut Checker, options: &Options) -> Option<(String, UniWebSocketConfig)> {
    let UniWebSocket { enabled, handler_prefix, write_timeout, .. } = &options.uni_websocket;
    let prefix = check.prefix("uni_websocket.handler_prefix", handler_prefix);
    let mut config = UniWebSocketConfig::default();
    config.websocket = frames(
        check,
        "uni_websocket",
        &WebSocket {
            compression: options.uni_websocket.compression,
            compression_min_size: options.uni_websocket.compression_min_size,
            compression_level: options.uni_websocket.compression_level,
            message_size_limit: options.uni_websocket.message_size_limit,
            decompressed_message_size_limit: options.uni_websocket.decompressed_message_size_limit,
            ..WebSocket::default()
        },
    );
    // What is wrong with them is told where WebSocket takes them.
    config.websocket.origins = OriginPolicy::patterns(&options.client.allowed_origins).unwrap_or_default();
    config.write_timeout = Some(check.duration("uni_websocket.write_timeout", *write_timeout));
    config.disable_closing_handshake = options.uni_websocket.disable_closing_handshake;
    config.disable_disconnect_push = options.uni_websocket.disable_disconnect_push;
    config.join_push_messages = options.uni_websocket.join_push_messages;
    enabled.then_some((prefix, config))
}

/// Limits and compression, which both kinds of WebSocket have.
fn frames(check: &mut Checker, name: &str, websocket: &WebSocket) -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.message_size_limit = websocket.message_size_limit;
    config.decompressed_message_size_limit =
        Some(websocket.decompressed_message_size_limit).filter(|limit| *limit > 0);
    if websocket.compression {
        if !(1..=9).contains(&websocket.compression_level) {
            check.error(&format!("{name}.compression_level"), "must be 1 to 9");
        }
        let mut compression = Compression::default();
        compression.level = websocket.compression_level;
        compression.min_size = websocket.compression_min_size;
        config.compression = Some(compression);
    }
    config
}

/// UNI-08.
pub(crate) fn disconnects(
    check: &mut Checker,
    option: &ConnectCodeToDisconnect,
) -> Vec<(ErrorCode, Disconnect)> {
    let mut disconnects = Vec::new();
    for (at, transform) in option.transforms.iter().enumerate() {
        let path = format!("client.connect_code_to_unidirectional_disconnect.transforms[{at}]");
        let (code, to) = (transform.code, &transform.to);
        if code == 0 {
            check.error(&format!("{path}.code"), "must be set");
        }
        // Others cannot be told by a close frame, or mean something else.
        if !(3000..=4999).contains(&to.code) {
            check.error(&format!("{path}.to.code"), "must be 3000 to 4999");
        }
        if !to.reason.is_ascii() {
            check.error(&format!("{path}.to.reason"), "must be ASCII");
        }
        disconnects.push((ErrorCode(code), Disconnect { code: to.code, reason: to.reason.clone().into() }));
    }
    if option.enabled { disconnects } else { Vec::new() }
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
