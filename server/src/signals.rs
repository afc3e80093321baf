//! Signals: stop, and read the configuration again.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::Serve;
use crate::config::{ConfigError, Settings};
use crate::dev::{self, Keys};
use crate::{Reload, lines};

/// Cancels `stop` on SIGINT and SIGTERM, and `hurry` on the second of them; reads the configuration again on SIGHUP, with the
/// same keys of the development mode. The future does it.
///
/// # Errors
///
/// The operating system's, when a signal cannot be listened to.
///
/// # Cancel safety
///
/// Dropping the future leaves signals without effect.
pub fn signals(
    flags: &Serve,
    keys: Option<Keys>,
    reload: Reload,
    stop: CancellationToken,
    hurry: CancellationToken,
) -> std::io::Result<impl Future<Output = ()> + Send + use<>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let flags = flags.clone();
    Ok(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                _ = hang_up.recv() => reload_from(&flags, keys.as_ref(), &reload),
            }
        }
        tracing::info!("stopping: clients are told to come again");
        stop.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping at once");
        hurry.cancel();
    })
}

/// A configuration that is wrong leaves the running one in force (HID-107).
fn reload_from(flags: &Serve, keys: Option<&Keys>, reload: &Reload) {
    match settings(flags, keys) {
        Ok(settings) => {
            reload.apply(settings);
            tracing::info!(
                "channel rules, token keys, client.connection_limit and TLS certificates are reloaded; other options need a restart"
            );
        }
        Err(errors) => tracing::error!("the configuration is not reloaded: {}", lines(&errors)),
    }
}

fn settings(flags: &Serve, keys: Option<&Keys>) -> Result<Settings, Vec<ConfigError>> {
    let mut loaded = flags.load()?;
    // Fresh keys would lock everybody out.
    if let Some(keys) = keys {
        dev::prepare(&mut loaded.options, keys);
    }
    Settings::new(&loaded.options)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::Path;

    use tourbillon::types::SystemClock;

    use super::*;
    use crate::{App, Listeners};

    /// What was given out stays good.
    #[test]
    fn a_reload_keeps_the_keys_of_the_development_mode() {
        let keys = Keys::fresh().expect("randomness");
        let flags = Serve { dev: true, ..Serve::default() };
        let mut options = flags.load().expect("sound options").options;
        dev::prepare(&mut options, &keys);
        let token = dev::Dev::new(&options, SocketAddr::from(([127, 0, 0, 1], 1))).token("ann");
        let reloaded = settings(&flags, Some(&keys)).expect("sound options");
        assert!(reloaded.tokens.token.verify_connect(&token, SystemClock::unix_millis() / 1_000).is_ok());
    }

    #[tokio::test]
    async fn a_configuration_that_is_wrong_leaves_the_running_one_in_force() {
        let file = std::env::temp_dir().join(format!("tourbillon-reload-{}.json", std::process::id()));
        let write = |text: &str| std::fs::write(&file, text).expect("written");
        let flags = Serve { config: Some(file.clone()), ..Serve::default() };
        write(r#"{"channel":{"namespaces":[{"name":"old"}]}}"#);
        let options = flags.load().expect("sound options").options;
        let mut settings = Settings::new(&options).expect("sound options");
        settings.listeners.external.set_port(0);
        let listeners = Listeners::bind(&settings.listeners).await.expect("a port");
        let app = App::build(settings, listeners, None).await.expect("a server");
        let exists = |channel: &str| app.node().channel_options(channel).is_ok();
        let namespaces = || [exists("old:a"), exists("new:a")];
        for wrong in [
            "{",
            r#"{"nonsense":1,"channel":{"namespaces":[{"name":"new"}]}}"#,
            r#"{"channel":{"namespaces":[{"name":"new"},{"name":"new"}]}}"#,
            r#"{"client":{"ping_interval":"1s"},"channel":{"namespaces":[{"name":"new"}]}}"#,
        ] {
            write(wrong);
            reload_from(&flags, None, &app.reload());
            assert_eq!(namespaces(), [true, false], "{wrong}");
        }
        write(r#"{"channel":{"namespaces":[{"name":"new"}]}}"#);
        reload_from(&flags, None, &app.reload());
        assert_eq!(namespaces(), [false, true]);
        std::fs::remove_file(&file).expect("removed");
        reload_from(&Serve { config: Some(Path::new("/nowhere.json").into()), ..flags }, None, &app.reload());
        assert_eq!(namespaces(), [false, true]);
    }
}
