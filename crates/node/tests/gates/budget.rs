//! What may be used up.

/// Holds a figure against its budget, and shows it (`cargo test --test gates -- --nocapture`).
#[expect(clippy::print_stdout, reason = "the figures are what one runs the gates by hand for")]
pub(crate) fn within(what: &str, used: f64, budget: f64) {
    println!("{what}: {used:.3}, budget {budget}");
    assert!(used <= budget, "{what}: {used:.3} is above the budget of {budget}");
}
