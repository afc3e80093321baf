//! Who is let in, and whom the broker trusts (NATS-01).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tourbillon_broker::{Broker, Publish};
use tourbillon_broker_nats::{NatsConfig, NatsTls};
use tourbillon_tls::TlsClient;
use tourbillon_tls::rustls::pki_types::ServerName;
use tourbillon_types::{Channel, Payload};

use crate::server::{NatsProcess, Running, block_on, prefix};

/// Whether a broker gets through: it publishes to itself. One that is refused tries for ever, so it gets a while.
async fn gets_through(config: NatsConfig, expected: bool) -> bool {
    let works = async {
        let running = Running::with(config, &["a"]).await;
        let what = Publish::new(Channel::from("a"), Payload::from("1"));
        running.broker.publish(what).await.expect("published");
        running.settled(1).await;
    };
    let patience = Duration::from_secs(if expected { 30 } else { 1 });
    tokio::time::timeout(patience, works).await.is_ok()
}

fn at(servers: String) -> NatsConfig {
    let mut config = NatsConfig::at(&servers).expect("an address");
    config.prefix = prefix();
    config
}

#[test]
fn users_and_tokens_are_shown() {
    block_on(async {
        let (users, tokens) = (
            NatsProcess::start(&["--user", "u", "--pass", "p@ss"]),
            NatsProcess::start(&["--auth", "t0ken"]),
        );
        for (server, shows, comes_in) in [
            (&users, "u:p%40ss@", true),
            (&users, "u:other@", false),
            (&users, "", false),
            (&tokens, "t0ken@", true),
            (&tokens, "other@", false),
        ] {
            let config = at(format!("nats://{shows}127.0.0.1:{}", server.port));
            assert_eq!(gets_through(config, comes_in).await, comes_in, "{shows}");
        }
        let each = format!("nats://u:other@127.0.0.1:{},nats://t0ken@127.0.0.1:{}", users.port, tokens.port);
        assert!(gets_through(at(each), true).await, "each is shown what is for it");
    });
}

/// Certificates in a folder that goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("tourbillon-nats-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("sound");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A certificate for this name, and its key.
fn issue(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    (params.signed_by(&key, authority).expect("a certificate").pem(), key.serialize_pem())
}

#[test]
fn tls_is_spoken_with_servers_that_are_who_they_are_by_clients_that_may() {
    block_on(async {
        let (root, other) = (authority(), authority());
        let folder = Folder::new();
        let (cert, key) = issue(&root, "nats.test");
        let server = NatsProcess::start(&[
            "--tls",
            "--tlsverify",
            "--tlscert",
            &folder.write("cert.pem", &cert),
            "--tlskey",
            &folder.write("key.pem", &key),
            "--tlscacert",
            &folder.write("ca.pem", &root.pem()),
        ]);
        let (member, stranger) = (issue(&root, "member"), issue(&other, "stranger"));
        let tls = |ca: &str, shows: Option<&(String, String)>, name: &str, skip: bool| {
            let (cert, key) = shows.map_or(("", ""), |(cert, key)| (cert.as_str(), key.as_str()));
            let client = TlsClient { cert, key, server_ca: ca, insecure_skip_verify: skip };
            let config = match name {
                "" => client.config(),
                name => client.config_for(ServerName::try_from(name.to_owned()).expect("a name")),
            };
            Some(NatsTls { config: Arc::new(config.expect("sound")) })
        };
        for (what, tls, comes_in) in [
            ("all right", tls(&root.pem(), Some(&member), "nats.test", false), true),
            ("any certificate", tls("", Some(&member), "", true), true),
            ("another root", tls(&other.pem(), Some(&member), "nats.test", false), false),
            ("another name", tls(&root.pem(), Some(&member), "", false), false),
            ("no certificate shown", tls(&root.pem(), None, "nats.test", false), false),
            ("a stranger's shown", tls(&root.pem(), Some(&stranger), "nats.test", false), false),
            ("no configuration", None, false),
        ] {
            let mut config = at(format!("nats://127.0.0.1:{}", server.port));
            config.tls = tls;
            assert_eq!(gets_through(config, comes_in).await, comes_in, "{what}");
        }
    });
}
