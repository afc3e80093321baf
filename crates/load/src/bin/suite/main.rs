//! The benchmark suite: `cargo xtask bench` builds the servers and runs this.
//!
//! Ours, the floor and, when given, a peer take turns within one run, because a machine's speed drifts; what counts
//! are the ratios of a round. Servers are on the first processor, the load on the second. Processor time is the
//! other process's CPU clock. A round in which the load used more than 85 % of its processor is void for throughput.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
#![allow(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

mod contestants;
mod results;
mod workloads;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tourbillon_load::{Quiet, process};

use crate::contestants::{CLIENT_CPU, Field, Peer, Who};
use crate::results::Results;
use crate::workloads::{Sample, Workload};

/// Measures our server beside a floor server, and beside another one where its address is given.
///
/// A peer must accept HS256 tokens with the secret given here, let clients subscribe to and publish into any
/// channel, take the API key, and be tied to processor 0 by whoever starts it. For W3d, W8c and W9 it needs a namespace
/// `kept` with a history of 100, forced positioning and recovery, and a namespace `seen` with presence; for W12 a
/// namespace `match` with a history of 10, forced positioning and recovery and deltas, and `tagged` with filters on tags.
#[derive(Debug, Parser)]
struct Options {
    /// Our server's binary.
    #[arg(long)]
    server: PathBuf,
    /// The floor server's binary.
    #[arg(long)]
    floor: PathBuf,
    /// Where results go.
    #[arg(long)]
    out: PathBuf,
    /// Fewer and smaller workloads: two minutes in all.
    #[arg(long)]
    quick: bool,
    /// These workloads alone: W3 names W3a, W3b and W3c.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each workload.
    #[arg(long)]
    rounds: Option<usize>,
    /// Do not tie processes to processors.
    #[arg(long)]
    no_pin: bool,
    /// The secret of connection tokens.
    #[arg(long, default_value = "bench-secret")]
    token_secret: String,
    /// The WebSocket address of another server.
    #[arg(long, requires = "peer_pid")]
    peer_url: Option<String>,
    /// The other server's process.
    #[arg(long)]
    peer_pid: Option<u32>,
    /// The address of the other server's HTTP API, in front of the methods' names.
    #[arg(long)]
    peer_api: Option<String>,
    /// The key of that API.
    #[arg(long, default_value = "")]
    peer_api_key: String,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let pin = !options.no_pin;
    if pin {
        process::pin(CLIENT_CPU).map_err(|error| format!("processor {CLIENT_CPU}: {error}; try --no-pin"))?;
    }
    std::fs::create_dir_all(&options.out).map_err(|error| format!("{}: {error}", options.out.display()))?;
    let field = Field {
        server: options.server.clone(),
        floor: options.floor.clone(),
        out: options.out.clone(),
        pin,
        secret: options.token_secret.clone(),
        peer: options.peer_url.clone().zip(options.peer_pid).map(|(url, pid)| Peer {
            url,
            pid,
            api: options.peer_api.clone(),
            key: options.peer_api_key.clone(),
        }),
    };
    let wanted = |workload: &Workload| {
        options.only.is_empty() || options.only.iter().any(|only| workload.id.starts_with(only.as_str()))
    };
    let workloads: Vec<Workload> = workloads::all(options.quick).into_iter().filter(wanted).collect();
    if workloads.is_empty() {
        return Err("no workload has such a name".to_owned());
    }
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 5 });
    let mut all = Vec::new();
    for workload in workloads {
        let rounds = if workload.once { 1 } else { rounds };
        let results = measure(&field, workload, rounds)?;
        print!(
            "{}",
            results::table(std::slice::from_ref(&results))
                .lines()
                .skip(1)
                .fold(String::new(), |text, line| { text + line + "\n" })
        );
        all.push(results);
    }
    println!("\n{}", results::table(&all));
    let write = |name: &str, text: String| {
        let file = options.out.join(name);
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
    };
    write("results.jsonl", all.iter().map(Results::json_lines).collect())?;
    write("ratios.svg", results::picture(&all))?;
    write("table.txt", results::table(&all))?;
    println!("written: results.jsonl, ratios.svg and table.txt in {}", options.out.display());
    Ok(())
}

/// Servers take turns; each round starts with another one.
fn measure(field: &Field, workload: Workload, rounds: usize) -> Result<Results, String> {
    let mut who = vec![Who::Ours];
    who.extend(workload.floor);
    who.extend(field.peer.as_ref().map(|_| Who::Peer));
    let servers = who.iter().map(|who| field.start(*who)).collect::<Result<Vec<_>, _>>()?;
    let mut samples: Vec<(Who, Vec<Sample>)> = who.iter().map(|who| (*who, Vec::new())).collect();
    for round in 0..rounds {
        for turn in 0..servers.len() {
            let at = (round + turn) % servers.len();
            let (Some(server), Some((_, samples))) = (servers.get(at), samples.get_mut(at)) else { continue };
            eprintln!("{} round {} of {rounds}: {}", workload.id, round + 1, server.who.name());
            samples.push(workload.run(server, &mut Quiet)?);
        }
    }
    Ok(Results { workload, rounds: samples })
}
