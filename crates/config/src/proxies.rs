//! The options of proxies: how backends are asked, and about what.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::client_tls::ClientTls;
use crate::describe::{Describe, Texts, path_of};
use crate::duration::GoDuration;
use crate::model::{ToldDisconnect, options};
use crate::secret::SecretText;

/// A group of options that say how a backend is asked, with others before them.
macro_rules! asked {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $text:literal])+ $field:ident: $type:ty = $default:expr,)* }) => {
        options! {
            $(#[$doc])*
            $name {
                $($(#[doc = $text])+ $field: $type = $default,)*
                /// Where the backend is: an address with `http://` or `https://`, or a target of GRPC, such as
                /// `grpc://host:port`, `dns:///host:port` or `unix:///path`.
                endpoint: String = String::new(),
                /// How long a call may take.
                timeout: GoDuration = GoDuration::from_secs(1),
                /// Which headers of a client's HTTP request are sent along; over GRPC they are metadata.
                http_headers: Vec<String> = Vec::new(),
                /// Which metadata of a client of `uni_grpc` is sent along.
                grpc_metadata: Vec<String> = Vec::new(),
                /// Which headers that a client puts into its connect command are sent along.
                emulated_headers: Vec<String> = Vec::new(),
                /// Data is not JSON, and goes in base64.
                binary_encoding: bool = false,
                /// The meta object of the connection is sent along.
                include_connection_meta: bool = false,
                /// What is special to HTTP.
                http: ProxyHttp = ProxyHttp::default(),
                /// What is special to GRPC.
                grpc: ProxyGrpc = ProxyGrpc::default(),
            }
        }

        impl $name {
            /// How the backend is asked.
            pub(crate) fn proxy(&self) -> Proxy {
                Proxy {
                    endpoint: self.endpoint.clone(),
                    timeout: self.timeout,
                    http_headers: self.http_headers.clone(),
                    grpc_metadata: self.grpc_metadata.clone(),
                    emulated_headers: self.emulated_headers.clone(),
                    binary_encoding: self.binary_encoding,
                    include_connection_meta: self.include_connection_meta,
                    http: self.http.clone(),
                    grpc: self.grpc.clone(),
                }
            }
        }
    };
}

asked! {
    /// How a backend is asked.
    Proxy {}
}

asked! {
    /// How a backend is asked, if it is.
    SwitchedProxy {
        /// Whether it is asked.
        enabled: bool = false,
    }
}

asked! {
    /// An element of `proxies`.
    NamedProxy {
        /// The proxy's name: at least two of letters, digits, `-`, `_` and `.`, and not `default`.
        name: String = String::new(),
    }
}

options! {
    /// `http` of a proxy.
    ProxyHttp {
        /// TLS towards an `https://` endpoint.
        tls: ClientTls = ClientTls::default(),
        /// Headers of every call: an object of texts. What is sent along wins.
        static_headers: SecretMap = SecretMap::default(),
        /// What statuses other than 200 mean: objects of `status_code` and either `to_error` (`code`, `message`,
        /// `temporary`) or `to_disconnect` (`code`, `reason`). Without an entry a status is error 100.
        status_to_code_transforms: Vec<StatusToCode> = Vec::new(),
    }
}

options! {
    /// `grpc` of a proxy.
    ProxyGrpc {
        /// TLS towards the target.
        tls: ClientTls = ClientTls::default(),
        /// The name of metadata that says who we are.
        credentials_key: String = String::new(),
        /// Its value.
        credentials_value: SecretText = SecretText::default(),
        /// Questions are compressed with gzip.
        compression: bool = false,
        /// Metadata of every call: an object of texts. What is sent along wins.
        static_metadata: SecretMap = SecretMap::default(),
    }
}

/// An element of `status_to_code_transforms`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusToCode {
    /// The status.
    pub status_code: u16,
    /// The error that it is.
    pub to_error: ToldError,
    /// The disconnect that it is.
    pub to_disconnect: ToldDisconnect,
}

/// `to_error` of such an element.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToldError {
    /// The code of the error.
    pub code: u32,
    /// Its text.
    pub message: String,
    /// Whether the client may try again.
    pub temporary: bool,
}

options! {
    /// `client.proxy`.
    ClientProxies {
        /// Who decides about connections that come without a token.
        connect: SwitchedProxy = SwitchedProxy::default(),
        /// Who decides how long connections go on. Clients do not refresh them then.
        refresh: SwitchedProxy = SwitchedProxy::default(),
    }
}

options! {
    /// `channel.proxy`: the proxies that namespaces mean by the name `default`.
    ChannelProxies {
        /// Who decides about subscriptions.
        subscribe: Proxy = Proxy::default(),
        /// Who decides about publications.
        publish: Proxy = Proxy::default(),
        /// Who decides how long subscriptions go on.
        sub_refresh: Proxy = Proxy::default(),
        /// Who decides about subscriptions and streams their publications.
        subscribe_stream: Proxy = Proxy::default(),
        /// Who decides about keys that clients set.
        map_publish: Proxy = Proxy::default(),
        /// Who decides about keys that clients remove.
        map_remove: Proxy = Proxy::default(),
        /// Who is told that a channel has no latest publication. An option of Centrifugo PRO.
        cache_empty: Proxy = Proxy::default(),
        /// Who knows what the keys of polled channels hold.
        shared_poll_refresh: Proxy = Proxy::default(),
    }
}

options! {
    /// `rpc`.
    Rpc {
        /// The proxy that namespaces mean by the name `default`.
        proxy: Proxy = Proxy::default(),
        /// Calls of methods without a namespace.
        without_namespace: RpcRules = RpcRules::default(),
        /// The namespaces.
        namespaces: Vec<RpcNamespace> = Vec::new(),
        /// A method that is answered by nothing.
        ping: RpcPing = RpcPing::default(),
        /// Ends the name of a namespace in that of a method.
        namespace_boundary: String = ":".to_owned(),
    }
}

options! {
    /// What becomes of calls.
    RpcRules {
        /// A proxy answers them.
        proxy_enabled: bool = false,
        /// Which one: `default` for `rpc.proxy`, or one of `proxies`.
        proxy_name: String = "default".to_owned(),
    }
}

options! {
    /// An element of `rpc.namespaces`.
    RpcNamespace {
        /// The namespace's name.
        name: String = String::new(),
        /// A proxy answers calls of its methods.
        proxy_enabled: bool = false,
        /// Which one: `default` for `rpc.proxy`, or one of `proxies`.
        proxy_name: String = "default".to_owned(),
    }
}

options! {
    /// `rpc.ping`.
    RpcPing {
        /// Switches it on.
        enabled: bool = false,
        /// The method.
        method: String = "ping".to_owned(),
    }
}

/// Texts by names, such as headers. What they are is shown nowhere.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretMap(BTreeMap<String, SecretText>);

impl SecretMap {
    /// The texts.
    #[must_use]
    pub const fn texts(&self) -> &BTreeMap<String, SecretText> {
        &self.0
    }
}

impl fmt::Debug for SecretMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Describe for SecretMap {
    fn describe(path: &str, text: &str, into: &mut Texts) {
        String::describe(path, text, into);
    }
}

impl Serialize for SecretMap {
    /// As that of a [`SecretText`]: an object would be a group of options.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("")
    }
}
