//! The server's binary: flags, log, configuration, run until a signal, drain.

use std::process::ExitCode;

use clap::Parser;
use tokio_util::sync::CancellationToken;
use tourbillon::types::SystemClock;
use tourbillon_server::cli::{Cli, Serve};
use tourbillon_server::config::Settings;
use tourbillon_server::dev::{self, Dev, Keys};
use tourbillon_server::{App, Listeners, PidFile, lines, logging, raise_descriptor_limit, signals};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        None => run(&cli.serve),
        Some(command) => command.run(now()).map(|text| print!("{text}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The present, in seconds since 1970 UTC.
fn now() -> i64 {
    SystemClock::unix_millis() / 1_000
}

fn run(flags: &Serve) -> Result<(), String> {
    let mut loaded = flags.load().map_err(|errors| lines(&errors))?;
    let keys = flags.dev.then(Keys::fresh).transpose().map_err(|error| error.to_string())?;
    if let Some(keys) = &keys {
        dev::prepare(&mut loaded.options, keys);
    }
    let settings = Settings::new(&loaded.options).map_err(|errors| lines(&errors))?;
    let log = &loaded.options.log;
    logging::start(&log.level, &log.file).map_err(|error| format!("log.file: {error}"))?;
    for warning in loaded.warnings.iter().chain(&settings.warnings) {
        tracing::warn!("{warning}");
    }
    raise_descriptor_limit();
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let result = runtime.block_on(serve(flags, &loaded.options, settings, keys));
    runtime.shutdown_background();
    result
}

#[expect(clippy::print_stdout, reason = "the development banner is for people")]
async fn serve(
    flags: &Serve,
    options: &tourbillon_server::config::Options,
    settings: Settings,
    keys: Option<Keys>,
) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut listeners = Listeners::bind(&settings.listeners).await.map_err(text)?;
    if let Some((address, _)) = settings.uni_grpc {
        listeners = listeners.with_uni_grpc(address).await.map_err(text)?;
    }
    if let Some((address, _)) = settings.grpc_api {
        listeners = listeners.with_grpc_api(address).await.map_err(text)?;
    }
    let http3 = settings.ports.http3;
    if http3 {
        listeners = listeners.with_http3().await.map_err(text)?;
    }
    let [external, internal] = listeners.names();
    let tls = settings.ports.external_tls.is_some();
    let pid_file = settings.pid_file.as_deref().map(PidFile::write).transpose();
    // Gone when it is not served any more.
    let _pid_file = pid_file.map_err(|error| format!("pid_file: {error}"))?;
    let address = flags.dev.then(|| listeners.external_address()).transpose().map_err(text)?;
    let dev = address.map(|address| Dev::new(options, address));
    let banner = dev.as_ref().zip(address).map(|(dev, address)| dev.banner(address));
    let app = Box::pin(App::build(settings, listeners, dev)).await.map_err(|error| error.to_string())?;
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let signals = signals(flags, keys, app.reload(), stop.clone(), hurry.clone()).map_err(text)?;
    tokio::spawn(signals);
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), engine = %options.engine.r#type,
        %external, %internal, tls, http3, workers, node = %app.node().id(), "serving",
    );
    if let Some(banner) = banner {
        println!("{banner}");
    }
    if app.run(stop, hurry).await {
        tracing::info!("stopped");
        Ok(())
    } else {
        Err("connections did not end within shutdown.timeout".to_owned())
    }
}
