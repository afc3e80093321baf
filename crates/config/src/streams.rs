//! Where streams are kept: `broker.memory.persistence`, an extension of ours.

use std::path::PathBuf;
use std::time::Duration;

use tourbillon::memory::{Fsync, Persistence};

use crate::check::Checker;
use crate::model::MemoryPersistence;

const PATH: &str = "broker.memory.persistence";

/// Writing more often than this is writing all the time.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// The file of streams; `None` where they end with the process, or with an error.
pub(crate) fn persistence(check: &mut Checker, options: &MemoryPersistence) -> Option<Persistence> {
    let MemoryPersistence { enabled, path, fsync, fsync_interval } = options;
    let interval_path = format!("{PATH}.fsync_interval");
    let interval = check.duration(&interval_path, *fsync_interval);
    let fsync = match fsync.as_str() {
        "always" => Some(Fsync::Always),
        "interval" => Some(Fsync::Interval(interval)),
        "never" => Some(Fsync::Never),
        other => {
            let message = format!("{other:?} must be \"always\", \"interval\" or \"never\"");
            check.error(&format!("{PATH}.fsync"), message);
            None
        }
    };
    if interval < SHORTEST_INTERVAL && !fsync_interval.is_negative() {
        check.error(&interval_path, format!("{fsync_interval} must be at least 10ms"));
    }
    if !enabled {
        return None;
    }
    if path.is_empty() {
        check.error(&format!("{PATH}.path"), format!("is needed with {PATH}.enabled"));
    }
    fsync.map(|fsync| Persistence { path: PathBuf::from(path), fsync })
}

/// What of it is allowed and useless.
pub(crate) fn warning(options: &MemoryPersistence) -> Option<String> {
    (!options.enabled && !options.path.is_empty())
        .then(|| format!("{PATH}.path is set, and {PATH}.enabled is not: streams end with the process"))
}
