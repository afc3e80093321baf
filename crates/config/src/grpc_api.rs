//! The server API over GRPC: `grpc_api` (API-07, NET-08).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tourbillon_api::GrpcApiConfig;

use crate::check::Checker;
use crate::describe::{Describe, Texts, path_of};
use crate::listeners;
use crate::model::{Options, Tls, options};
use crate::secret::SecretText;

options! {
    /// `grpc_api`.
    GrpcApi {
        /// Switches the GRPC API on.
        enabled: bool = false,
        /// The address to listen on; empty for all.
        address: String = String::new(),
        /// The port to listen on.
        port: u16 = 10_000,
        /// What calls must show; empty: everybody who reaches the port may use the API.
        key: SecretText = SecretText::default(),
        /// Empty, or `transport` to tell errors by the status of calls.
        error_mode: String = String::new(),
        /// Tells clients the schema if they ask.
        reflection: bool = false,
        /// The largest message of a client, in bytes; 0 for 4 MiB.
        max_receive_message_size: usize = 0,
        /// TLS.
        tls: Tls = Tls::default(),
    }
}

/// Where the API is and how it behaves; `None` when it is off.
pub(crate) fn config(check: &mut Checker, options: &Options) -> Option<(SocketAddr, GrpcApiConfig)> {
    let grpc = &options.grpc_api;
    let address = listeners::address(check, "grpc_api.address", &grpc.address, grpc.port);
    let mut config = GrpcApiConfig::default();
    grpc.key.expose().clone_into(&mut config.key);
    config.transport_errors = check.error_mode("grpc_api.error_mode", &grpc.error_mode);
    config.reflection = grpc.reflection;
    if grpc.max_receive_message_size > 0 {
        config.max_receive_message_size = grpc.max_receive_message_size;
    }
    address.filter(|_| grpc.enabled).map(|address| (address, config))
}

/// API-08, HID-82: without a key it is open, unlike the API over HTTP.
pub(crate) fn warning(options: &Options) -> Option<String> {
    let grpc = &options.grpc_api;
    let is_open = grpc.enabled && grpc.key.expose().is_empty();
    let is_for_known = grpc.tls.enabled && !grpc.tls.client_ca_pem.is_empty();
    (is_open && !is_for_known).then(|| {
        format!(
            "grpc_api.key is not set: everybody who reaches port {} may publish, disconnect and ask as the backend does",
            grpc.port
        )
    })
}
