//! What operators are told, and what nobody is.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tourbillon_node::{Hooks, PublishRequest, RefreshRequest, SubRefreshRequest};
use tourbillon_types::{Channel, Payload};

use crate::harness::{
    KEY, NOW, chain, client, connect_request, connect_token, namespaces, now, subscribe_request,
    subscribe_token, tokens_config,
};

/// What this test's thread logs.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects everything while it is held.
    pub(crate) fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).expect("text")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn refusals_are_explained_and_secrets_are_not_told() {
    let log = Log::default();
    let planted = json!({"info": {"planted": 1}, "meta": {"planted": 1}, "exp": NOW});
    let connection = connect_token("anna", None, planted.clone());
    let subscription = subscribe_token(KEY, "anna", "x", planted);
    {
        let _guard = log.listen();
        let (hooks, _) = chain(tokens_config(), namespaces(|_| {}));
        let anna = client("anna");
        let channel = Channel::from("x");
        for token in [&connection, &subscription, ""] {
            let token = token.to_owned();
            let mut request = connect_request(&token);
            request.data = Payload::from("planted");
            let _ = now(hooks.connect(request));
            let _ = now(hooks.subscribe(subscribe_request(&anna, "x", &token)));
            let _ = now(hooks.refresh(RefreshRequest::new(anna.clone(), token.clone(), NOW)));
            let _ = now(hooks.sub_refresh(SubRefreshRequest::new(anna.clone(), channel.clone(), token, NOW)));
            let data = Payload::from("planted");
            let _ = now(hooks.publish(PublishRequest::new(anna.clone(), channel.clone(), data, false)));
        }
    }
    let log = log.text();
    for told in ["token expired", "no credentials", "otherwise: refuses (no rule allows it)", "channel=x"] {
        assert!(log.contains(told), "{told}: {log}");
    }
    let parts = connection.split('.').chain(subscription.split('.')).chain([KEY, "planted"]);
    for secret in parts {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}
