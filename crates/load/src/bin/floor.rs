//! The floor server, for benchmarks: see `tourbillon_load::floor`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use tourbillon_load::floor::{Floor, Writes};

/// A server that does as little as one of this protocol can. For benchmarks only.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    address: SocketAddr,
    /// Write what came in one turn of the loop together.
    #[arg(long)]
    cork: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let writes = if options.cork { Writes::Corked } else { Writes::Each };
    let served = Floor::bind(options.address, writes).and_then(|floor| {
        println!("listening on {}", floor.address()?);
        floor.run()
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
