//! Options of listeners that make no sense, or none together.

use expect_test::expect;
use tourbillon_config::Networks;
use tourbillon_config::{PortSettings, Settings, TlsSettings};

use crate::harness::Sources;

/// What the options of the server make of ports.
fn ports(file: &str) -> PortSettings {
    Settings::new(&Sources::json(file).taken().options).expect("sound options").ports
}

#[test]
fn certificates_that_are_none_are_refused_with_the_option_that_is_wrong() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let other = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let cert = params.self_signed(&key).expect("a certificate").pem();
    let key = key.serialize_pem();
    let file = |cert: &str, key: &str, client_ca: &str| {
        let tls = serde_json::json!({
            "enabled": true, "cert_pem": cert, "key_pem": key, "client_ca_pem": client_ca,
        });
        serde_json::json!({"http_server": {"tls": tls}}).to_string()
    };
    assert!(ports(&file(&cert, &key, &cert)).external_tls.is_some());
    for (file, expected) in [
        (file("", &key, ""), expect!["http_server.tls.cert_pem: must be set"]),
        (file(&cert, "", ""), expect!["http_server.tls.key_pem: must be set"]),
        (
            file("/nowhere.pem", &key, ""),
            expect![
                "http_server.tls.cert_pem: is neither PEM, nor base64 of PEM, nor the path of a file that is there"
            ],
        ),
        (
            file(&cert, "half of a key", ""),
            expect![
                "http_server.tls.key_pem: is neither PEM, nor base64 of PEM, nor the path of a file that is there"
            ],
        ),
        (file(&key, &key, ""), expect!["http_server.tls.cert_pem: there is no certificate in it"]),
        (
            file(&cert, &cert, ""),
            expect!["http_server.tls.key_pem: there is no private key in it that can be read"],
        ),
        (file(&cert, &other, ""), expect!["http_server.tls.key_pem: is not the key of cert_pem"]),
        (file(&cert, &key, &key), expect!["http_server.tls.client_ca_pem: there is no certificate in it"]),
    ] {
        Sources::json(&file).refused(expected);
    }
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    for (file, expected) in [
        (
            r#"{"http_server":{"tls":{"min_version":"1.1"}}}"#,
            expect![[r#"http_server.tls.min_version: "1.1" must be 1.2 or 1.3"#]],
        ),
        (
            r#"{"http_server":{"h2c_external":true}}"#,
            expect![
                "http_server.h2c_external: needs http_server.internal_port, another than http_server.port"
            ],
        ),
        (
            r#"{"http_server":{"h2c_external":true,"internal_address":"127.0.0.1","internal_port":8000}}"#,
            expect![
                "http_server.h2c_external: needs http_server.internal_port, another than http_server.port"
            ],
        ),
        (
            r#"{"http_server":{"http3":{"enabled":true}}}"#,
            expect!["http_server.http3.enabled: needs TLS: http_server.tls or http_server.tls_autocert"],
        ),
        (
            r#"{"http_server":{"http3":{"enabled":true},"address":"unix:/nowhere"}}"#,
            expect![[r#"
                http_server.http3.enabled: needs TLS: http_server.tls or http_server.tls_autocert
                http_server.http3.enabled: needs a port: http_server.address is a Unix socket"#]],
        ),
        (
            r#"{"webtransport":{"enabled":true}}"#,
            expect!["webtransport.enabled: needs http_server.http3.enabled"],
        ),
        (
            r#"{"webtransport":{"handler_prefix":"wt"}}"#,
            expect![[r#"webtransport.handler_prefix: "wt" must begin with a slash"#]],
        ),
        (
            r#"{"uni_grpc":{"enabled":true,"tls":{"enabled":true}}}"#,
            expect!["uni_grpc.tls.cert_pem: must be set"],
        ),
        (
            r#"{"grpc_api":{"enabled":true,"address":"nowhere","error_mode":"http","tls":{"enabled":true}}}"#,
            expect![[r#"
                grpc_api.tls.cert_pem: must be set
                grpc_api.address: "nowhere" is not an IP address
                grpc_api.error_mode: "http" must be empty or "transport""#]],
        ),
        (
            r#"{"http_server":{"address":"unix:"}}"#,
            expect!["http_server.address: a Unix socket needs a path"],
        ),
        (
            r#"{"http_server":{"proxy_protocol":{"enabled":true}}}"#,
            expect![
                "http_server.proxy_protocol.trusted: must name the networks of the load balancers: anybody else could claim any address"
            ],
        ),
        (
            r#"{"http_server":{"proxy_protocol":{"enabled":true,"trusted":["10.0.0.0/8","10.0.0.0/40"]}}}"#,
            expect![[
                r#"http_server.proxy_protocol.trusted: "10.0.0.0/40" is no address and no network such as 10.0.0.0/8"#
            ]],
        ),
    ] {
        Sources::json(file).refused(expected);
    }
}

/// NET-05: whom certificates are got for has to be said, and how.
#[test]
fn an_authority_is_asked_for_hosts_that_are_named() {
    for (file, expected) in [
        (
            r#"{"enabled":true}"#,
            expect![
                "http_server.tls_autocert.host_whitelist: must name hosts: anybody could have certificates made for any other"
            ],
        ),
        (
            r#"{"enabled":true,"host_whitelist":["*.example.com"]}"#,
            expect![[
                r#"http_server.tls_autocert.host_whitelist[0]: "*.example.com" is not a host name that a certificate can be had for"#
            ]],
        ),
        (
            r#"{"enabled":true,"host_whitelist":["a.example"],"server_name":"b.example"}"#,
            expect![[
                r#"http_server.tls_autocert.server_name: "b.example" is not in http_server.tls_autocert.host_whitelist"#
            ]],
        ),
        (
            r#"{"enabled":true,"server_name":"a.example","http":true,"http_addr":"80"}"#,
            expect![[
                r#"http_server.tls_autocert.http_addr: "80" is not an address and a port, such as :80"#
            ]],
        ),
        (
            r#"{"enabled":true,"server_name":"a.example","directory_url":"http://a.example"}"#,
            expect!["http_server.tls_autocert.directory_url: must begin with https://"],
        ),
        (
            r#"{"enabled":true,"server_name":"a.example","directory_ca_pem":"nothing"}"#,
            expect![
                "http_server.tls_autocert.directory_ca_pem: is neither PEM, nor base64 of PEM, nor the path of a file that is there"
            ],
        ),
    ] {
        Sources::json(&format!(r#"{{"http_server":{{"tls_autocert":{file}}}}}"#)).refused(expected);
    }
    let file = r#"{"enabled":true,"server_name":"A.example","http":true,"email":"a@b"}"#;
    let ports = ports(&format!(r#"{{"http_server":{{"tls_autocert":{file},"tls_external":true}}}}"#));
    let Some(TlsSettings::Acme(acme)) = ports.external_tls else { panic!("{:?}", ports.external_tls) };
    assert_eq!((acme.hosts, ports.internal_tls), (vec!["a.example".to_owned()], None));
    assert_eq!(acme.http.map(|address| address.to_string()).as_deref(), Some("[::]:80"));
}

/// NET-03, NET-06.
#[test]
fn h2c_is_for_clients_and_without_tls() {
    assert!(ports(r#"{"http_server":{"h2c_external":true,"internal_port":9000}}"#).h2c_external);
    let ports = ports("{}");
    assert_eq!(ports, PortSettings::default());
}

/// Who is named by a Unix socket needs no network.
#[test]
fn a_unix_socket_needs_no_trusted_networks() {
    let file = r#"{"http_server":{"address":"unix:a.sock","proxy_protocol":{"enabled":true}}}"#;
    assert_eq!(ports(file).proxy_protocol, Some(Networks::default()));
}

/// API-08, HID-82.
#[test]
fn an_open_api_over_grpc_is_told_of() {
    let warned = |file: &str| {
        let settings = Settings::new(&Sources::json(file).taken().options).expect("sound options");
        settings.warnings.into_iter().filter(|warning| warning.starts_with("grpc_api.")).collect::<Vec<_>>()
    };
    assert_eq!(
        warned(r#"{"grpc_api":{"enabled":true,"port":10001}}"#),
        [
            "grpc_api.key is not set: everybody who reaches port 10001 may publish, disconnect and ask as the backend does"
        ]
    );
    assert!(warned(r#"{"grpc_api":{"enabled":true,"key":"k"}}"#).is_empty());
    assert!(warned("{}").is_empty(), "it is off");
}
