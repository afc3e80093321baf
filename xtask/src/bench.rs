//! Load: builds the server, the floor and the suite, and runs the suite (`crates/load/src/bin/suite`).

use std::path::Path;

use crate::Verdict;
use crate::command::Command;

/// Builds what is measured as it is shipped, and hands every option to the suite.
pub(crate) fn command(root: &Path, options: &[String]) -> Result<Verdict, String> {
    let build =
        Command::new(root, "cargo build --release --package tourbillon-server --package tourbillon-load");
    println!("$ {}", build.shown(root));
    if !build.run()? {
        return Ok(Verdict::Bad);
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let program = |name: &str| target.join("release").join(name).to_string_lossy().into_owned();
    let mut suite = Command::at(root, &program("tourbillon-bench-suite"))
        .argument("--server")
        .argument(program("tourbillon"))
        .argument("--floor")
        .argument(program("tourbillon-floor"))
        .argument("--out")
        .argument(target.join("bench").to_string_lossy());
    for option in options {
        suite = suite.argument(option);
    }
    println!("$ {}", suite.shown(root));
    Ok(if suite.run()? { Verdict::Good } else { Verdict::Bad })
}
