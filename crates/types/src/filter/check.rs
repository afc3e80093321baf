//! How large a filter may be, and what can be wrong with one.

use std::error::Error;
use std::fmt;

/// How large a filter may be. The length of its texts is bounded by the frame that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterLimits {
    /// Levels of nodes, the root included. Checking recurses so deep, so this has to be a small number.
    pub max_depth: usize,
    /// Nodes in all.
    pub max_nodes: usize,
    /// Values of `in` and `nin` in all.
    pub max_values: usize,
}

impl Default for FilterLimits {
    /// 32 levels, 1,000 nodes and 10,000 values: beyond what people write, and cheap enough to evaluate.
    fn default() -> Self {
        Self { max_depth: 32, max_nodes: 1000, max_values: 10_000 }
    }
}

/// Why a filter is not valid, and where. Says nothing of the filter's texts, so that it may be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// The way from the root to the node: which of the `nodes` at each level. Empty for the root.
    pub path: Vec<usize>,
    /// What is wrong there.
    pub problem: FilterProblem,
}

/// What is wrong with a node (TF-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterProblem {
    /// `op` is none of the empty text, `and`, `or` and `not`.
    UnknownOperation,
    /// A node without `op` has no `cmp`.
    MissingComparison,
    /// `cmp` is not known.
    UnknownComparison,
    /// This comparison needs a `key`.
    MissingKey,
    /// This comparison needs a `val` that is not empty.
    MissingValue,
    /// This comparison takes no `val`.
    UnexpectedValue,
    /// This comparison needs `vals`.
    MissingValues,
    /// This comparison takes no `vals`.
    UnexpectedValues,
    /// `and` or `or` without `nodes`.
    NoNodes,
    /// `not` with so many nodes instead of one.
    NotOneNode(usize),
    /// More levels than [`FilterLimits::max_depth`], which is this.
    TooDeep(usize),
    /// More nodes than [`FilterLimits::max_nodes`], which is this.
    TooManyNodes(usize),
    /// More values than [`FilterLimits::max_values`], which is this.
    TooManyValues(usize),
}

impl fmt::Display for FilterProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOperation => f.write_str("op is none of and, or, not and empty"),
            Self::MissingComparison => f.write_str("a node without op needs cmp"),
            Self::UnknownComparison => f.write_str("cmp is not known"),
            Self::MissingKey => f.write_str("the comparison needs a key"),
            Self::MissingValue => f.write_str("the comparison needs val"),
            Self::UnexpectedValue => f.write_str("the comparison takes no val"),
            Self::MissingValues => f.write_str("the comparison needs vals"),
            Self::UnexpectedValues => f.write_str("the comparison takes no vals"),
            Self::NoNodes => f.write_str("and, or need at least one node"),
            Self::NotOneNode(count) => write!(f, "not needs exactly one node and has {count}"),
            Self::TooDeep(limit) => write!(f, "the filter has more than {limit} levels"),
            Self::TooManyNodes(limit) => write!(f, "the filter has more than {limit} nodes"),
            Self::TooManyValues(limit) => write!(f, "the filter has more than {limit} values"),
        }
    }
}

impl fmt::Display for FilterError {
    /// As in `nodes[1].nodes[0]: the comparison needs val`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (level, at) in self.path.iter().enumerate() {
            write!(f, "{}nodes[{at}]", if level == 0 { "" } else { "." })?;
        }
        write!(f, "{}{}", if self.path.is_empty() { "" } else { ": " }, self.problem)
    }
}

impl Error for FilterError {}

/// The way to the node that is looked at, and what may still come.
pub(super) struct Walk {
    limits: FilterLimits,
    path: Vec<usize>,
    nodes: usize,
    values: usize,
}

impl Walk {
    pub(super) const fn new(limits: FilterLimits) -> Self {
        Self { limits, path: Vec::new(), nodes: 0, values: 0 }
    }

    pub(super) fn error(&self, problem: FilterProblem) -> FilterError {
        FilterError { path: self.path.clone(), problem }
    }

    /// Counts the node that the path leads to.
    pub(super) fn node(&mut self) -> Result<(), FilterError> {
        let limits = self.limits;
        self.nodes += 1;
        if self.path.len() >= limits.max_depth {
            return Err(self.error(FilterProblem::TooDeep(limits.max_depth)));
        }
        if self.nodes > limits.max_nodes {
            return Err(self.error(FilterProblem::TooManyNodes(limits.max_nodes)));
        }
        Ok(())
    }

    /// Counts values of the node that the path leads to.
    pub(super) fn values(&mut self, count: usize) -> Result<(), FilterError> {
        self.values = self.values.saturating_add(count);
        if self.values > self.limits.max_values {
            return Err(self.error(FilterProblem::TooManyValues(self.limits.max_values)));
        }
        Ok(())
    }

    /// The problem, unless it is as it should be.
    pub(super) fn expect(&self, holds: bool, problem: FilterProblem) -> Result<(), FilterError> {
        if holds { Ok(()) } else { Err(self.error(problem)) }
    }

    /// Goes to one of the nodes of the node that the path leads to, and back.
    pub(super) fn step<T>(&mut self, at: usize, visit: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(at);
        let result = visit(self);
        self.path.pop();
        result
    }
}
