//! What operators are told, and what nobody is.

use std::io;
use std::process::Command;
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

/// Whether the caller goes on. Otherwise the test has run, in a process of its own, and passed there.
///
/// What is logged passes through a cache for the whole process: whether anybody listens to a place in the code is found
/// out by the first thread that comes by, which asks its own listener as long as there is no more than one. If that is
/// the thread of another test, to which nobody listens, the place says nothing to this one.
pub(crate) fn is_alone(test: &str) -> bool {
    const ALONE: &str = "TOURBILLON_TEST_IS_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("a test has a program");
    let run = Command::new(program).args([test, "--exact", "--nocapture"]).env(ALONE, "1").output();
    let run = run.expect("it runs");
    let said = [run.stdout, run.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(run.status.success(), "{said:?}");
    assert!(said.iter().any(|said| said.contains("1 passed")), "{test} is no test: {said:?}");
    false
}

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
    if !is_alone("logs::refusals_are_explained_and_secrets_are_not_told") {
        return;
    }
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
