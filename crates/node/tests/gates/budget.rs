//! What may be used up.

/// Holds a figure to what is reached, which is short of its goal: it may not get worse. The goals are those of
/// issue #3.
pub(crate) fn within_so_far(what: &str, used: f64, reached: f64, goal: f64) {
    within(&format!("{what} (goal {goal})"), used, reached);
}

/// Holds a figure against its budget, and shows it (`cargo test --test gates -- --nocapture`).
#[expect(clippy::print_stdout, reason = "the figures are what one runs the gates by hand for")]
pub(crate) fn within(what: &str, used: f64, budget: f64) {
    println!("{what}: {used:.3}, budget {budget}");
    assert!(used <= budget, "{what}: {used:.3} is above the budget of {budget}");
}
