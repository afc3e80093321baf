//! A checked filter, in the form that is evaluated.

use std::cmp::Ordering;

use super::TagFilter;
use super::check::{FilterError, FilterLimits, FilterProblem, Walk};
use super::number::{Number, OwnedNumber};
use crate::{Publication, Tags};

/// A value that is no number.
const NO_NUMBER: &str = "-";

/// Up to so many tags are looked through.
const FEW: usize = 8;

/// Tells which publications a subscriber wants. Made of a [`TagFilter`] that is valid.
///
/// Evaluating allocates nothing. Matchers are equal, with equal hashes, when their filters are the same up to what
/// cannot make a difference: the order and repetition of values in a set, and how a number is written. Subscribers
/// with equal matchers can therefore share one evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagMatcher(Rule);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Rule {
    Tag(Box<str>, Test),
    All(Box<[Self]>),
    Any(Box<[Self]>),
    Not(Box<Self>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Test {
    Equal(Box<str>),
    NotEqual(Box<str>),
    /// Sorted, without repetitions.
    In(Box<[Box<str>]>),
    NotIn(Box<[Box<str>]>),
    Exists,
    Missing,
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<str>),
    /// Nothing when the filter's value is no number, which nothing matches.
    Number(Order, Option<OwnedNumber>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl TagMatcher {
    /// Checks the filter and makes a matcher of it.
    ///
    /// # Errors
    ///
    /// The filter is malformed (TF-02) or larger than the limits.
    pub fn new(filter: &TagFilter, limits: FilterLimits) -> Result<Self, FilterError> {
        rule(&mut Walk::new(limits), filter).map(Self)
    }

    /// Whether a publication with these tags is wanted.
    #[must_use]
    pub fn matches(&self, tags: &Tags) -> bool {
        self.0.matches(tags)
    }

    /// A filter of which an equal matcher is made: in the words of the wire, for whoever is to evaluate it elsewhere.
    #[must_use]
    pub fn to_filter(&self) -> TagFilter {
        self.0.to_filter()
    }

    /// Whether this publication is wanted. Without tags it is treated like one with no tag.
    #[must_use]
    pub fn matches_publication(&self, publication: &Publication) -> bool {
        static NO_TAGS: Tags = Tags::new();
        self.matches(publication.tags.as_deref().unwrap_or(&NO_TAGS))
    }
}

impl Rule {
    fn matches(&self, tags: &Tags) -> bool {
        match self {
            Self::Tag(key, test) => test.matches(find(tags, key)),
            Self::All(rules) => rules.iter().all(|rule| rule.matches(tags)),
            Self::Any(rules) => rules.iter().any(|rule| rule.matches(tags)),
            Self::Not(rule) => !rule.matches(tags),
        }
    }

    fn to_filter(&self) -> TagFilter {
        let of = |op: &str, rules: &[Self]| TagFilter {
            op: op.to_owned(),
            nodes: rules.iter().map(Self::to_filter).collect(),
            ..TagFilter::default()
        };
        match self {
            Self::Tag(key, test) => TagFilter { key: key.to_string(), ..test.to_filter() },
            Self::All(rules) => of("and", rules),
            Self::Any(rules) => of("or", rules),
            Self::Not(rule) => of("not", std::slice::from_ref(rule)),
        }
    }
}

/// The value of a tag. Few tags are found faster one by one, because lengths tell most keys apart, than by order.
fn find<'a>(tags: &'a Tags, key: &str) -> Option<&'a str> {
    let value = if tags.len() <= FEW {
        tags.iter().find_map(|(name, value)| (name == key).then_some(value))
    } else {
        tags.get(key)
    };
    value.map(String::as_str)
}

impl Test {
    fn matches(&self, tag: Option<&str>) -> bool {
        match self {
            Self::Equal(value) => tag == Some(value),
            Self::NotEqual(value) => tag != Some(value),
            // Sets compare with a tag that is not there as with an empty one, as Centrifugo does.
            Self::In(values) => contains(values, tag.unwrap_or_default()),
            Self::NotIn(values) => !contains(values, tag.unwrap_or_default()),
            Self::Exists => tag.is_some(),
            Self::Missing => tag.is_none(),
            Self::StartsWith(value) => tag.is_some_and(|tag| tag.starts_with(&**value)),
            Self::EndsWith(value) => tag.is_some_and(|tag| tag.ends_with(&**value)),
            Self::Contains(value) => tag.is_some_and(|tag| tag.contains(&**value)),
            Self::Number(order, value) => match (tag.and_then(Number::parse), value) {
                (Some(tag), Some(value)) => order.holds(tag.cmp(&value.get())),
                _ => false,
            },
        }
    }
}

impl Test {
    /// A comparison, but for its key.
    fn to_filter(&self) -> TagFilter {
        let with = |cmp: &str, val: &str| TagFilter {
            cmp: cmp.to_owned(),
            val: val.to_owned(),
            ..TagFilter::default()
        };
        let among = |cmp: &str, values: &[Box<str>]| TagFilter {
            vals: values.iter().map(ToString::to_string).collect(),
            ..with(cmp, "")
        };
        match self {
            Self::Equal(value) => with("eq", value),
            Self::NotEqual(value) => with("neq", value),
            Self::In(values) => among("in", values),
            Self::NotIn(values) => among("nin", values),
            Self::Exists => with("ex", ""),
            Self::Missing => with("nex", ""),
            Self::StartsWith(value) => with("sw", value),
            Self::EndsWith(value) => with("ew", value),
            Self::Contains(value) => with("ct", value),
            Self::Number(order, Some(value)) => with(order.name(), &value.get().to_string()),
            Self::Number(order, None) => with(order.name(), NO_NUMBER),
        }
    }
}

impl Order {
    const fn name(self) -> &'static str {
        match self {
            Self::Greater => "gt",
            Self::GreaterOrEqual => "gte",
            Self::Less => "lt",
            Self::LessOrEqual => "lte",
        }
    }

    const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
        }
    }
}

fn contains(values: &[Box<str>], tag: &str) -> bool {
    values.binary_search_by(|value| (**value).cmp(tag)).is_ok()
}

fn rule(walk: &mut Walk, filter: &TagFilter) -> Result<Rule, FilterError> {
    walk.node()?;
    match filter.op.as_str() {
        "" => {
            let test = test(walk, filter)?;
            Ok(Rule::Tag(filter.key.as_str().into(), test))
        }
        "and" | "or" if filter.nodes.is_empty() => Err(walk.error(FilterProblem::NoNodes)),
        "and" => rules(walk, filter).map(Rule::All),
        "or" => rules(walk, filter).map(Rule::Any),
        "not" => match filter.nodes.as_slice() {
            [node] => walk.step(0, |walk| rule(walk, node)).map(|rule| Rule::Not(Box::new(rule))),
            nodes => Err(walk.error(FilterProblem::NotOneNode(nodes.len()))),
        },
        _ => Err(walk.error(FilterProblem::UnknownOperation)),
    }
}

fn rules(walk: &mut Walk, filter: &TagFilter) -> Result<Box<[Rule]>, FilterError> {
    let nodes = filter.nodes.iter().enumerate();
    nodes.map(|(at, node)| walk.step(at, |walk| rule(walk, node))).collect()
}

fn test(walk: &mut Walk, filter: &TagFilter) -> Result<Test, FilterError> {
    let number =
        |order: Order| move |value: &str| Test::Number(order, Number::parse(value).map(Number::to_owned));
    match filter.cmp.as_str() {
        "eq" => with_value(walk, filter, |value| Test::Equal(value.into())),
        "neq" => with_value(walk, filter, |value| Test::NotEqual(value.into())),
        "sw" => with_value(walk, filter, |value| Test::StartsWith(value.into())),
        "ew" => with_value(walk, filter, |value| Test::EndsWith(value.into())),
        "ct" => with_value(walk, filter, |value| Test::Contains(value.into())),
        "gt" => with_value(walk, filter, number(Order::Greater)),
        "gte" => with_value(walk, filter, number(Order::GreaterOrEqual)),
        "lt" => with_value(walk, filter, number(Order::Less)),
        "lte" => with_value(walk, filter, number(Order::LessOrEqual)),
        "in" => with_values(walk, filter).map(Test::In),
        "nin" => with_values(walk, filter).map(Test::NotIn),
        "ex" => without(walk, filter).map(|()| Test::Exists),
        "nex" => without(walk, filter).map(|()| Test::Missing),
        "" => Err(walk.error(FilterProblem::MissingComparison)),
        _ => Err(walk.error(FilterProblem::UnknownComparison)),
    }
}

fn with_value(walk: &Walk, filter: &TagFilter, make: impl Fn(&str) -> Test) -> Result<Test, FilterError> {
    walk.expect(!filter.val.is_empty(), FilterProblem::MissingValue)?;
    walk.expect(filter.vals.is_empty(), FilterProblem::UnexpectedValues)?;
    walk.expect(!filter.key.is_empty(), FilterProblem::MissingKey)?;
    Ok(make(&filter.val))
}

fn with_values(walk: &mut Walk, filter: &TagFilter) -> Result<Box<[Box<str>]>, FilterError> {
    walk.expect(!filter.vals.is_empty(), FilterProblem::MissingValues)?;
    walk.expect(filter.val.is_empty(), FilterProblem::UnexpectedValue)?;
    walk.expect(!filter.key.is_empty(), FilterProblem::MissingKey)?;
    walk.values(filter.vals.len())?;
    let mut values: Vec<Box<str>> = filter.vals.iter().map(|value| value.as_str().into()).collect();
    values.sort_unstable();
    values.dedup();
    Ok(values.into())
}

/// The only comparisons that may do without a key: they ask for the tag whose key is empty then.
fn without(walk: &Walk, filter: &TagFilter) -> Result<(), FilterError> {
    walk.expect(filter.val.is_empty(), FilterProblem::UnexpectedValue)?;
    walk.expect(filter.vals.is_empty(), FilterProblem::UnexpectedValues)
}
