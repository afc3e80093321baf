//! What the process tells about itself (OBS-05), at the addresses where programs in Go have their profiles.
//!
//! There is no profiler inside: one that interrupts threads and walks their stacks needs code that is unsafe, and the
//! tools of the system do it better from outside. Their pages say so, with what to use instead.

mod process;

use std::fmt::Write;

use http::header::LOCATION;
use http::{HeaderValue, Request, StatusCode};
use tokio::runtime::Handle;

use crate::router::{Answer, get_only, reply};

const TEXT: &str = "text/plain; charset=utf-8";

/// What is there, in the order of the index.
const PAGES: [(&str, &str); 4] = [
    ("cmdline", "the command line, its parts divided by NUL"),
    ("heap", "the memory of the process"),
    ("runtime", "what the workers of the runtime have done, and what waits for them"),
    ("threads", "the threads of the process, and the processor time of each"),
];

/// What Go has and we have not, with what there is instead.
const ABSENT: [(&str, &str); 8] = [
    ("allocs", "allocations are not recorded; `heaptrack -p PID` does it from outside, heap has the numbers"),
    ("block", "waits are not recorded; runtime tells how busy the workers are"),
    ("goroutine", "there are no goroutines; runtime counts tasks, threads tells of threads"),
    ("mutex", "waits for locks are not recorded; `perf lock record -p PID` does it from outside"),
    ("profile", "processor time is not sampled; `perf record -g -p PID -- sleep 30` does it from outside"),
    ("symbol", "there are no profiles whose addresses would need names"),
    ("threadcreate", "where threads began is not recorded; threads tells of those that there are"),
    ("trace", "the runtime is not traced; `perf trace -p PID` does it from outside"),
];

/// The pages below `debug.handler_prefix`.
#[derive(Clone, Debug)]
pub(crate) struct DebugPages(String);

impl DebugPages {
    /// `prefix` does not end in a slash, unless it is one.
    pub(crate) const fn new(prefix: String) -> Self {
        Self(prefix)
    }

    /// What is asked for at this path; `None` if it is not one of ours.
    pub(crate) fn page<'a>(&self, path: &'a str) -> Option<Page<'a>> {
        let rest = path.strip_prefix(self.0.trim_end_matches('/'))?;
        if rest.is_empty() { Some(Page::Prefix) } else { rest.strip_prefix('/').map(Page::Named) }
    }

    /// Answers a request. The system is asked apart from the threads that serve clients.
    pub(crate) async fn answer<B>(&self, page: Page<'_>, request: &Request<B>) -> Answer {
        if let Some(refused) = get_only(request.method()) {
            return refused;
        }
        let name = match page {
            Page::Named(name) => name,
            Page::Prefix => return self.redirected(),
        };
        match name {
            "" => reply(StatusCode::OK, TEXT, self.index()),
            "cmdline" => reply(StatusCode::OK, TEXT, command_line()),
            "heap" => asked(process::memory).await,
            "runtime" => reply(StatusCode::OK, TEXT, runtime(&Handle::current())),
            "threads" => asked(process::threads).await,
            other => match ABSENT.iter().find(|(name, _)| *name == other) {
                Some((_, why)) => reply(StatusCode::NOT_IMPLEMENTED, TEXT, format!("{other}: {why}\n")),
                None => reply(StatusCode::NOT_FOUND, TEXT, self.index()),
            },
        }
    }

    /// To the index, as Go does it.
    fn redirected(&self) -> Answer {
        let mut answer = reply(StatusCode::MOVED_PERMANENTLY, TEXT, "the index is below\n");
        if let Ok(location) = HeaderValue::try_from(format!("{}/", self.0)) {
            answer.headers_mut().insert(LOCATION, location);
        }
        answer
    }

    fn index(&self) -> String {
        let prefix = self.0.trim_end_matches('/');
        let mut index = format!("process {}\n\n", std::process::id());
        for (name, what) in PAGES {
            let _ = writeln!(index, "{prefix}/{name}: {what}");
        }
        index.push_str("\nnot here:\n");
        for (name, why) in ABSENT {
            let _ = writeln!(index, "{prefix}/{name}: {why}");
        }
        index
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Page<'a> {
    /// The prefix itself, without a slash after it.
    Prefix,
    /// The page of this name; the index if it is empty.
    Named(&'a str),
}

/// What the system tells.
async fn asked(read: fn() -> Result<String, String>) -> Answer {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(text)) => reply(StatusCode::OK, TEXT, text),
        Ok(Err(why)) => reply(StatusCode::NOT_IMPLEMENTED, TEXT, format!("{why}\n")),
        Err(_) => reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the process cannot be looked at\n"),
    }
}

/// No flag of the server takes a secret.
fn command_line() -> String {
    let parts: Vec<String> = std::env::args_os().map(|part| part.to_string_lossy().into_owned()).collect();
    parts.join("\0")
}

fn runtime(handle: &Handle) -> String {
    let metrics = handle.metrics();
    let workers = metrics.num_workers();
    let mut text = format!(
        "workers {workers}\ntasks_alive {}\ntasks_waiting_for_any_worker {}\n",
        metrics.num_alive_tasks(),
        metrics.global_queue_depth(),
    );
    #[cfg(target_has_atomic = "64")]
    for worker in 0..workers {
        let _ = writeln!(
            text,
            "worker {worker}: busy_seconds {:.3} parks {}",
            metrics.worker_total_busy_duration(worker).as_secs_f64(),
            metrics.worker_park_count(worker),
        );
    }
    text
}
