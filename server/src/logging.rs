//! Logs: for people on a terminal, one JSON object a line elsewhere (OBS-07).

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Libraries whose events are left out: what matters of them our own say, and these have messages' payloads in them.
const SILENT: [&str; 1] = ["async_nats"];

/// Starts logging, once a process.
///
/// # Errors
///
/// The file that cannot be opened. An unknown level counts as `info`, as in Centrifugo.
pub fn start(level: &str, file: &str) -> io::Result<()> {
    let level = match level.to_ascii_lowercase().as_str() {
        "none" => LevelFilter::OFF,
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "warn" => LevelFilter::WARN,
        "error" | "fatal" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level);
    let others = all_but_silent();
    // A second call, in a test's process, keeps the first one's.
    if !file.is_empty() {
        let file = OpenOptions::new().create(true).append(true).open(file)?;
        let subscriber = builder.event_format(JsonLines).with_writer(Arc::new(file)).finish();
        let _ = subscriber.with(others).try_init();
    } else if io::stdout().is_terminal() {
        let _ = builder.with_target(false).finish().with(others).try_init();
    } else {
        let subscriber = builder.event_format(JsonLines).with_writer(io::stderr).finish();
        let _ = subscriber.with(others).try_init();
    }
    Ok(())
}

fn all_but_silent() -> Targets {
    Targets::new().with_default(LevelFilter::TRACE).with_targets(SILENT.map(|it| (it, LevelFilter::OFF)))
}

/// One object a line: `level`, `time`, the event's fields, `message`.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        line.insert("level".to_owned(), Value::from(name(*event.metadata().level())));
        line.insert("time".to_owned(), Value::from(time()));
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// RFC 3339, as tracing writes it.
fn time() -> String {
    use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

    let mut text = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.0.insert(field.name().to_owned(), Value::from(text));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_whose_events_hold_payloads_are_silent() {
        let filter = all_but_silent();
        for level in [Level::ERROR, Level::TRACE] {
            assert!(!filter.would_enable("async_nats::connection", &level));
            assert!(filter.would_enable("tourbillon_broker_nats::client", &level));
        }
    }
}
