//! Calls that only few places may make.

use super::{Finding, Findings};
use crate::rust::Source;
use crate::tree::{File, Tree};

/// Says that a wait is for something outside the process, which has no event to wait for.
const ALLOW_SLEEP: &str = "tidy: allow-sleep";

/// Where tasks may start, and why there. A path that ends in `/` means all that is below it.
const SPAWNERS: &[(&str, &str)] = &[
    ("crates/node/src/conn.rs", "the driver of a connection"),
    ("crates/node/src/shutdown.rs", "the drain"),
    ("crates/node/src/flush.rs", "the flush workers"),
    ("crates/node/src/node.rs", "the node's own tasks, all on its tracker"),
    ("crates/access/src/expression.rs", "the parser of expressions needs much stack; its caller waits"),
    ("crates/broker-memory/src/lib.rs", "what waits for the disk, and for which its caller waits"),
    ("crates/broker-redis/src/pubsub.rs", "the workers that read messages, which end when the engine stops"),
    ("crates/transport-websocket/src/service.rs", "an upgrade completes after its response has been sent"),
    ("crates/load/src/bin/suite/contestants.rs", "the servers that are measured are processes"),
    ("crates/load/src/siege.rs", "a storm comes from a thread of its own, for which its caller waits"),
    ("server/", "listeners and the composition of everything"),
    ("tests/", "no part of the product"),
    ("examples/", "no part of the product"),
    ("xtask/", "no part of the product"),
    ("fuzz/", "no part of the product"),
];

/// More places than this, server apart, and nobody knows any more who owns which task.
const MOST_SPAWNS: usize = 14;

const SPAWNS: &[&str] = &["spawn(", "spawn_blocking(", "spawn_local(", "spawn_on("];

/// Where the clock may be read.
const CLOCKS: &[(&str, &str)] = &[
    ("crates/types/src/clock.rs", "the clock"),
    ("crates/node/src/clock.rs", "the runtime's clock, which stands still in tests"),
    ("crates/transport-http/src/tickets.rs", "the same: how long tickets are good"),
    ("xtask/src/suite.rs", "says how long a step took"),
];

const CLOCK_READS: &[&str] = &["Instant::now", "SystemTime::now"];

/// In test code, waiting for real time is flaky or slow, mostly both. Paused time is neither.
pub(super) fn sleeps(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    for (file, source) in tree.rust() {
        let uses = ["sleep(", "sleep_until("].into_iter().flat_map(|word| source.uses(word));
        for position in uses.filter(|&position| file.test || source.in_test(position)) {
            let paused = source.function_around(position).is_some_and(|code| code.contains("start_paused"));
            let line = source.line(position);
            if !paused && !excused(source, line) {
                let what = format!(
                    "a test sleeps: pause the clock, wait for an event, or say `// {ALLOW_SLEEP} <reason>`"
                );
                findings.push(Finding::at(&file.path, line, what));
            }
        }
    }
    findings
}

/// Whether a comment on this line or the one before it excuses the sleep, with a reason.
fn excused(source: &Source, line: usize) -> bool {
    source.comments().filter(|comment| comment.line == line || comment.line + 1 == line).any(|comment| {
        comment.text.split_once(ALLOW_SLEEP).is_some_and(|(_, reason)| !reason.trim().is_empty())
    })
}

pub(super) fn spawns(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    let mut counted = 0;
    for (file, line) in
        product_calls(tree, |source| SPAWNS.iter().flat_map(|word| source.uses(word)).collect())
    {
        if !among(&file.path, SPAWNERS) {
            findings.push(Finding::at(
                &file.path,
                line,
                "starts a task where none may start (xtask/src/tidy/calls.rs)",
            ));
        }
        let product = file.path.starts_with("crates/") && !file.path.contains("/src/bin/");
        counted += usize::from(product && file.path.contains("/src/"));
    }
    if counted > MOST_SPAWNS {
        findings.push(Finding::new(
            "crates/",
            format!("start tasks in {counted} places; {MOST_SPAWNS} are the limit"),
        ));
    }
    findings
}

pub(super) fn clocks(tree: &Tree) -> Findings {
    let reads =
        product_calls(tree, |source| CLOCK_READS.iter().flat_map(|text| source.occurrences(text)).collect());
    let outside = reads.into_iter().filter(|(file, _)| !among(&file.path, CLOCKS));
    outside
        .map(|(file, line)| Finding::at(&file.path, line, "reads the clock: time comes in as an argument"))
        .collect()
}

/// The lines of code outside tests that make certain calls.
fn product_calls(tree: &Tree, find: impl Fn(&Source) -> Vec<usize>) -> Vec<(&File, usize)> {
    let product = tree.rust().filter(|(file, _)| !file.test);
    product
        .flat_map(|(file, source)| {
            let positions = find(source).into_iter().filter(|&position| !source.in_test(position));
            positions.map(|position| (file, source.line(position))).collect::<Vec<_>>()
        })
        .collect()
}

fn among(path: &str, places: &[(&str, &str)]) -> bool {
    // The examples of a crate are no part of the product.
    path.contains("/examples/")
        || places.iter().any(|(place, _)| path == *place || (place.ends_with('/') && path.starts_with(place)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::tree;

    fn in_file(check: fn(&Tree) -> Findings, path: &str, code: &str) -> usize {
        check(&tree(&[(path, &format!("//! A.\n{code}\n"))])).len()
    }

    #[test]
    fn a_sleeping_test_is_found() {
        let test = |code: &str| in_file(sleeps, "crates/a/tests/b.rs", code);
        assert_eq!(test("#[tokio::test]\nasync fn t() { tokio::time::sleep(D).await; }"), 1);
        assert_eq!(test("#[tokio::test]\nasync fn t() { sleep_until(d).await; }"), 1);
        assert_eq!(test("#[test]\nfn t() { std::thread::sleep(D); }"), 1);
        assert_eq!(
            test(&format!("fn poll() {{\n    // {ALLOW_SLEEP}\n    sleep(D);\n}}")),
            1,
            "without a reason"
        );
        assert_eq!(test("#[tokio::test(start_paused = true)]\nasync fn t() { sleep(D).await; }"), 0);
        assert_eq!(test(&format!("fn poll() {{\n    // {ALLOW_SLEEP} the port opens\n    sleep(D);\n}}")), 0);
        assert_eq!(test(&format!("fn poll() {{ sleep(D); // {ALLOW_SLEEP} the port opens\n}}")), 0);
        let unit =
            "fn product() { sleep(D) }\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() { sleep(D) }\n}";
        assert_eq!(in_file(sleeps, "crates/a/src/lib.rs", unit), 1, "the product may wait, its test may not");
    }

    #[test]
    fn a_stray_spawn_is_found() {
        let spawn = |path: &str, code: &str| in_file(spawns, path, code);
        assert_eq!(spawn("crates/api/src/lib.rs", "fn f() { tokio::spawn(x); }"), 1);
        assert_eq!(spawn("crates/api/src/lib.rs", "fn f() { tracker.spawn(x); set.spawn_local(x) }"), 2);
        assert_eq!(spawn("crates/api/src/lib.rs", "//! tokio::spawn(x)\nfn spawn(f: F) {}"), 0);
        assert_eq!(
            spawn("crates/api/src/lib.rs", "#[cfg(test)]\nmod tests { fn f() { tokio::spawn(x); } }"),
            0
        );
        assert_eq!(spawn("crates/node/src/conn.rs", "fn f() { tokio::spawn(x); }"), 0);
        assert_eq!(spawn("server/src/listen.rs", "fn f() { tokio::spawn(x); }"), 0);
        assert_eq!(spawn("crates/api/examples/a.rs", "fn f() { tokio::spawn(x); }"), 0);
        let many = "fn f() { tokio::spawn(x); }\n".repeat(MOST_SPAWNS + 1);
        assert_eq!(spawn("crates/node/src/conn.rs", &many), 1);
        assert_eq!(spawn("server/src/listen.rs", &many), 0);
    }

    #[test]
    fn a_stray_clock_is_found() {
        let clock = |path: &str, code: &str| in_file(clocks, path, code);
        assert_eq!(clock("crates/a/src/lib.rs", "fn f() { std::time::Instant::now(); }"), 1);
        assert_eq!(clock("crates/a/src/lib.rs", "fn f() { TokioInstant::now(); SystemTime::now() }"), 2);
        assert_eq!(clock("crates/a/src/lib.rs", "fn f() { let s = \"Instant::now\"; } // Instant::now"), 0);
        assert_eq!(clock("crates/types/src/clock.rs", "fn f() { std::time::Instant::now(); }"), 0);
        assert_eq!(clock("crates/a/tests/b.rs", "fn f() { Instant::now(); }"), 0);
    }
}
