//! What a delivery and a request cost, counted from outside the process: instructions and system calls.
//!
//! Times are noise on a shared machine; these figures are the same in every run. Each is the difference of two runs
//! of the example `deliveries`, or of the server with requests, so that what starting up costs drops out. What can be
//! counted from inside is in `crates/node/tests/gates`.

use std::path::Path;

use super::requests::{self, Kind};
use super::steps::Outcome;
use super::tally::Tally;
use crate::command::Command;

const SUBSCRIBERS: u32 = 100;

/// A way of publishing, and what a delivery may cost.
struct Load {
    name: &'static str,
    /// How many publications are made before the writing is waited for.
    together: u32,
    /// What subscribers have, as the example counts it.
    kind: u32,
    instructions: f64,
    /// A hundredth more than whole writes: under strace a run lasts long enough for pings.
    writes: f64,
    /// All system calls, those of the event loop included.
    calls: f64,
}

const LOADS: [Load; 4] = [
    Load { name: "alone", together: 1, kind: 0, instructions: 700.0, writes: 1.01, calls: 1.05 },
    Load { name: "32 at a time", together: 32, kind: 0, instructions: 150.0, writes: 0.05, calls: 0.05 },
    Load {
        name: "with position and filter",
        together: 1,
        kind: 1,
        instructions: 1000.0,
        writes: 1.01,
        calls: 1.05,
    },
    // As what is sent as it is, and a hundredth of one compression: 2,000, for under callgrind each byte of the tables
    // that are cleared before is an instruction.
    Load { name: "deflated", together: 1, kind: 2, instructions: 2800.0, writes: 1.01, calls: 1.05 },
];

/// What a request may cost.
struct Request {
    name: &'static str,
    kind: Kind,
    instructions: f64,
    /// Reads and writes, waits, and for a connection what it takes to have one.
    calls: f64,
}

/// Three hundredths more than what was counted: where the compiler inlines moves a count by as much, without a change of
/// what is done.
const REQUESTS: [Request; 3] = [
    Request { name: "publish over HTTP", kind: Kind::Publish, instructions: 14_400.0, calls: 3.2 },
    Request { name: "connect and subscribe", kind: Kind::Connect, instructions: 105_000.0, calls: 20.0 },
    Request { name: "call over WebSocket", kind: Kind::Rpc, instructions: 14_400.0, calls: 3.2 },
];

/// One figure and its budget.
#[derive(Debug)]
struct Figure {
    what: String,
    used: f64,
    budget: f64,
}

/// The tools that count, as far as they are there and work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tools {
    pub(super) callgrind: bool,
    pub(super) strace: bool,
}

/// The programs that are counted, and a place for what they are told.
#[derive(Debug)]
pub(super) struct Programs<'a> {
    pub(super) deliveries: &'a Path,
    pub(super) server: &'a Path,
    pub(super) folder: &'a Path,
}

/// Counts with what is there, and holds the figures against their budgets.
pub(super) fn run(
    root: &Path,
    programs: &Programs<'_>,
    tools: Tools,
    tally: &mut Tally,
) -> Result<Outcome, String> {
    let mut bad = Vec::new();
    let mut hold = |name: &str, figures: Vec<Figure>| {
        for Figure { what, used, budget } in figures {
            println!("{what}, {name}: {used:.3}, budget {budget}");
            if used <= budget {
                tally.passed += 1;
            } else {
                tally.failed += 1;
                bad.push(format!("{what}, {name}: {used:.3} is above {budget}"));
            }
        }
    };
    for load in &LOADS {
        hold(load.name, figures(root, programs.deliveries, tools, load)?);
    }
    for request in &REQUESTS {
        hold(request.name, of_requests(programs, tools, request)?);
    }
    Ok(if bad.is_empty() { Outcome::Done } else { Outcome::Failed(bad.join("; ")) })
}

fn figures(root: &Path, program: &Path, tools: Tools, load: &Load) -> Result<Vec<Figure>, String> {
    // Both are multiples of every `together`.
    let (few, many) = (64, 320);
    let deliveries = f64::from((many - few) * SUBSCRIBERS);
    let run = |tool: &str, publications: u32| {
        let numbers = [SUBSCRIBERS, publications, load.together, load.kind];
        under(root, tool, program, numbers.map(|number| number.to_string()))
    };
    let figure =
        |what: &str, used: f64, budget| Figure { what: what.to_owned(), used: used / deliveries, budget };
    let mut figures = Vec::new();
    if tools.callgrind {
        let count = |publications| {
            // The counts go to the standard output, and what they are made of nowhere.
            instructions(&run(CALLGRIND, publications)?)
        };
        let used = count(many)? - count(few)?;
        figures.push(figure("instructions per delivery", used, load.instructions));
    }
    if tools.strace {
        let count = |publications| calls(&run(STRACE, publications)?);
        let ((few_writes, few_calls), (many_writes, many_calls)) = (count(few)?, count(many)?);
        figures.push(figure("writes per delivery", many_writes - few_writes, load.writes));
        figures.push(figure("system calls per delivery", many_calls - few_calls, load.calls));
    }
    Ok(figures)
}

/// What requests cost, by the request.
fn of_requests(programs: &Programs<'_>, tools: Tools, request: &Request) -> Result<Vec<Figure>, String> {
    let (few, many) = (64_u32, 320_u32);
    let run =
        |tool: &str, count: u32| requests::under(tool, programs.server, programs.folder, request.kind, count);
    let figure = |what: &str, few_used: f64, many_used: f64, budget| Figure {
        what: what.to_owned(),
        used: (many_used - few_used) / f64::from(many - few),
        budget,
    };
    let mut figures = Vec::new();
    if tools.callgrind {
        let count = |count| instructions(&run(CALLGRIND, count)?);
        figures.push(figure("instructions per request", count(few)?, count(many)?, request.instructions));
    }
    if tools.strace {
        let count = |count| calls(&run(STRACE_ALL, count)?).map(|(_, calls)| calls);
        figures.push(figure("system calls per request", count(few)?, count(many)?, request.calls));
    }
    Ok(figures)
}

/// The counts go to the standard output, and what they are made of nowhere.
const CALLGRIND: &str = "valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-fd=1";
const STRACE: &str = "strace -c -o /dev/stdout";
/// With all threads.
const STRACE_ALL: &str = "strace -f -c -o /dev/stdout";

/// What a tool tells of a run of a program.
fn under<const N: usize>(
    root: &Path,
    tool: &str,
    program: &Path,
    arguments: [String; N],
) -> Result<String, String> {
    let command = Command::new(root, tool).argument(program.to_string_lossy());
    arguments.into_iter().fold(command, Command::argument).capture()
}

/// The count of a run under callgrind.
fn instructions(told: &str) -> Result<f64, String> {
    let count = told.lines().find_map(|line| line.split_once("Collected :"));
    count
        .and_then(|(_, count)| count.trim().parse().ok())
        .ok_or_else(|| format!("callgrind says nothing of its count: {told}"))
}

/// The calls that write messages, and all calls, of a run under strace.
fn calls(told: &str) -> Result<(f64, f64), String> {
    let mut writes = 0.0;
    for line in told.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Share, seconds, microseconds a call, calls, perhaps errors, name.
        let [_, _, _, count, .., name] = words.as_slice() else { continue };
        let Ok(count) = count.parse::<f64>() else { continue };
        match *name {
            // Messages take one of these: `write` wakes the event loop.
            "writev" | "sendto" | "sendmsg" | "sendmmsg" => writes += count,
            "total" => return Ok((writes, count)),
            _ => {}
        }
    }
    Err(format!("strace says nothing of its count: {told}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrind_is_read() {
        let told = "==7== Events    : Ir\n==7== Collected : 22492642\n==7==\n";
        assert_eq!(instructions(told), Ok(22_492_642.0));
        assert!(instructions("==7== Events").is_err());
    }

    #[test]
    fn strace_is_read() {
        let told = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            45.64    0.115551          11     10100           writev\n  \
            0.01    0.000035           5         6           write\n  \
            0.00    0.000000           0         7         1 read\n\
            100.00    0.253166          22     11308         1 total\n";
        assert_eq!(calls(told), Ok((10_100.0, 11_308.0)));
        assert!(calls("strace: no permission\n").is_err());
    }

    #[test]
    fn publications_come_out_even() {
        assert!(LOADS.iter().all(|load| 64 % load.together == 0 && 320 % load.together == 0));
    }
}
