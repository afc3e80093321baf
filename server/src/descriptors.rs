//! The limit of file descriptors: every connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Below this many, the operator is told: a server of clients has more of them soon.
const LOW: u64 = 10_000;

/// Raises the number of file descriptors that this process may have to the most that the system lets it have, and
/// logs a warning where that is few. What the system refuses stays as it was.
pub fn raise_descriptor_limit() {
    let before = getrlimit(Resource::Nofile);
    if before.current != before.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, ..before })
    {
        tracing::debug!(%error, "the limit of file descriptors is not raised");
    }
    // `None` is no limit.
    let [before, limit] =
        [before, getrlimit(Resource::Nofile)].map(|limit| limit.current.unwrap_or(u64::MAX));
    tracing::debug!(limit, before, "file descriptors");
    if limit < LOW {
        tracing::warn!(
            limit,
            "few file descriptors: each connection takes one; raise the hard limit (ulimit -Hn, LimitNOFILE)"
        );
    }
}
