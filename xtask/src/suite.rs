//! `cargo xtask test`: everything a change has to pass, in the order in which it fails fastest.

mod counts;
mod prerequisites;
mod requests;
mod room;
mod steps;
mod tally;

use std::path::Path;
use std::time::{Duration, Instant};

use self::steps::{Outcome, STEPS, Step, World};
use self::tally::Tally;
use crate::{Options, Verdict};

pub(crate) fn command(root: &Path, options: &Options) -> Result<Verdict, String> {
    if options.has("--list") {
        for step in STEPS {
            println!("{:14} {}{}", step.name, step.what, if step.fast { "" } else { " (not with --fast)" });
        }
        return Ok(Verdict::Good);
    }
    let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
    let only = options.words("--only", &names)?;
    let steps = selected(&only, options.has("--fast"));
    let wanted = steps.iter().map(|step| step.name).collect();
    let world = match World::new(root, wanted, options.has("--fast")) {
        Ok(world) => world,
        Err(error) => {
            println!(
                "the workspace cannot be read: {error}\n\n{}",
                last_line(Tally { failed: 1, ..Tally::default() })
            );
            return Ok(Verdict::Bad);
        }
    };
    Ok(run(&world, &steps))
}

/// The steps to run, in their order, with what they need before them.
fn selected(only: &[&str], fast: bool) -> Vec<&'static Step> {
    let chosen = |step: &Step| if only.is_empty() { step.fast || !fast } else { only.contains(&step.name) };
    let needed: Vec<&str> =
        STEPS.iter().filter(|step| chosen(step)).flat_map(|step| step.needs).copied().collect();
    STEPS.iter().filter(|step| chosen(step) || needed.contains(&step.name)).collect()
}

/// Runs the steps up to the first that fails; the last line is the count of tests.
fn run(world: &World<'_>, steps: &[&Step]) -> Verdict {
    let start = stopwatch();
    let mut report = Vec::new();
    let mut total = Tally::default();
    let mut verdict = Verdict::Good;
    for (index, step) in steps.iter().enumerate() {
        println!("\n==> [{}/{}] {}: {}", index + 1, steps.len(), step.name, step.what);
        let began = start();
        let mut tally = Tally::default();
        let outcome = (step.run)(world, &mut tally).unwrap_or_else(Outcome::Failed);
        let took = seconds(start() - began);
        total += tally;
        match outcome {
            Outcome::Done => report.push(format!("{:14} {took:>8}  {}", step.name, tally.shown())),
            Outcome::Skipped(why) => {
                println!("\n!!! {} is SKIPPED: {why}", step.name);
                report.push(format!("{:14} {took:>8}  SKIPPED: {why}", step.name));
            }
            Outcome::Failed(why) => {
                println!("\n*** {} FAILED: {why}", step.name);
                if let Some(full) = world.room().and_then(|room| room.full()) {
                    println!("*** {full}");
                }
                report.push(format!("{:14} {took:>8}  FAILED  {}", step.name, tally.shown()));
                // A step without tests of its own, or one that failed beside them, is one failure.
                total.failed = total.failed.max(1);
                verdict = Verdict::Bad;
                break;
            }
        }
    }
    println!("\n{}\n{:14} {:>8}", report.join("\n"), "all", seconds(start()));
    if let Some(room) = world.room() {
        println!("{:14} {:>8}  left on the disk of the build", "", room.shown());
    }
    println!();
    println!("{}", last_line(total));
    verdict
}

/// What a machine reads of a run.
fn last_line(total: Tally) -> String {
    format!("{} passed, {} failed", total.passed, total.failed)
}

#[expect(clippy::disallowed_methods, reason = "how long a step takes is about real time")]
fn stopwatch() -> impl Fn() -> Duration {
    let start = Instant::now();
    move || start.elapsed()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(steps: &[&Step]) -> Vec<&'static str> {
        steps.iter().map(|step| step.name).collect()
    }

    #[test]
    fn fast_leaves_out_what_is_slow() {
        assert_eq!(names(&selected(&[], false)).len(), STEPS.len());
        assert_eq!(names(&selected(&[], true)), ["fmt", "clippy", "tidy", "tests", "doctests"]);
    }

    #[test]
    fn a_step_brings_what_it_needs() {
        assert_eq!(names(&selected(&["tidy"], false)), ["tidy"]);
        assert_eq!(names(&selected(&["sdk"], false)), ["prerequisites", "server", "sdk"]);
    }

    #[test]
    fn the_last_line_has_one_form() {
        assert_eq!(last_line(Tally { passed: 3, failed: 1, left_out: 2 }), "3 passed, 1 failed");
    }

    #[test]
    fn a_workspace_that_cannot_be_read_is_a_failure() {
        let nowhere = std::env::temp_dir().join("xtask-no-workspace");
        assert_eq!(command(&nowhere, &Options::default()), Ok(Verdict::Bad));
    }

    #[test]
    fn the_first_failure_ends_the_run() {
        fn good(_: &World<'_>, tally: &mut Tally) -> Result<Outcome, String> {
            tally.passed += 2;
            Ok(Outcome::Done)
        }
        fn bad(_: &World<'_>, tally: &mut Tally) -> Result<Outcome, String> {
            tally.passed += 1;
            Err("because".to_owned())
        }
        let step = |name, run| Step { name, what: "", fast: true, needs: &[], run };
        let root = crate::root();
        let world = World::new(&root, Vec::new(), false).expect("a world");
        assert_eq!(run(&world, &[&step("a", good)]), Verdict::Good);
        assert_eq!(run(&world, &[&step("a", good), &step("b", bad), &step("c", good)]), Verdict::Bad);
    }
}
