//! Tag filters: what matches, what is refused, what is the same, and that evaluating allocates nothing.
#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tourbillon_types::{
    FilterError, FilterLimits, FilterProblem as Problem, Publication, TagFilter, TagMatcher, Tags,
};

fn leaf(key: &str, cmp: &str, val: &str) -> TagFilter {
    TagFilter { key: key.into(), cmp: cmp.into(), val: val.into(), ..TagFilter::default() }
}

fn set(key: &str, cmp: &str, vals: &[&str]) -> TagFilter {
    TagFilter { vals: vals.iter().map(|&val| val.into()).collect(), ..leaf(key, cmp, "") }
}

fn node<const N: usize>(op: &str, nodes: [TagFilter; N]) -> TagFilter {
    TagFilter { op: op.into(), nodes: nodes.into(), ..TagFilter::default() }
}

fn matcher(filter: &TagFilter) -> TagMatcher {
    TagMatcher::new(filter, FilterLimits::default()).expect("a valid filter")
}

fn refused(filter: &TagFilter, limits: FilterLimits) -> FilterError {
    TagMatcher::new(filter, limits).expect_err("not a valid filter")
}

fn tags<const N: usize>(tags: [(&str, &str); N]) -> Tags {
    tags.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

/// TF-01
#[test]
fn every_comparison_of_texts() {
    let tags = tags([("a", "hello world"), ("empty", ""), ("", "nameless")]);
    for (filter, expected) in [
        (leaf("a", "eq", "hello world"), true),
        (leaf("a", "eq", "hello"), false),
        (leaf("a", "eq", "Hello world"), false),
        (leaf("b", "eq", "hello"), false),
        (leaf("a", "neq", "hello"), true),
        (leaf("a", "neq", "hello world"), false),
        (leaf("b", "neq", "hello"), true),
        (set("a", "in", &["x", "hello world", "y"]), true),
        (set("a", "in", &["x", "hello", "y"]), false),
        (set("b", "in", &["x"]), false),
        (set("a", "nin", &["x", "hello", "y"]), true),
        (set("a", "nin", &["y", "x", "hello world"]), false),
        (set("b", "nin", &["x"]), true),
        // A tag that is not there is like an empty one, in sets only.
        (set("b", "in", &["x", ""]), true),
        (set("b", "nin", &["x", ""]), false),
        (set("empty", "in", &["x", ""]), true),
        (leaf("a", "ex", ""), true),
        (leaf("empty", "ex", ""), true),
        (leaf("b", "ex", ""), false),
        (leaf("", "ex", ""), true),
        (leaf("a", "nex", ""), false),
        (leaf("b", "nex", ""), true),
        (leaf("a", "sw", "hello"), true),
        (leaf("a", "sw", "world"), false),
        (leaf("b", "sw", "hello"), false),
        (leaf("a", "ew", "world"), true),
        (leaf("a", "ew", "hello"), false),
        (leaf("b", "ew", "world"), false),
        (leaf("a", "ct", "lo wo"), true),
        (leaf("a", "ct", "low"), false),
        (leaf("b", "ct", "hello"), false),
    ] {
        assert_eq!(matcher(&filter).matches(&tags), expected, "{filter:?}");
    }
}

/// TF-01: numbers are decimals, and what is none does not match.
#[test]
fn every_comparison_of_numbers() {
    // Whether gt, gte, lt and lte hold.
    let (greater, equal, less) =
        ([true, true, false, false], [false, true, false, true], [false, false, true, true]);
    let none = [false; 4];
    for (tag, value, expected) in [
        ("10", "9", greater),
        ("9", "10", less),
        ("10", "10.0", equal),
        ("1.50", "1.5", equal),
        ("+1", "01", equal),
        ("-0", "0", equal),
        ("-5", "-6", greater),
        ("0.1", "0.10000000001", less),
        ("340282366920938463463374607431768211457", "340282366920938463463374607431768211456", greater),
        ("abc", "1", none),
        ("", "1", none),
        ("1", "abc", none),
        ("1e3", "1", none),
        (".5", "0", none),
        ("5", "NaN", none),
    ] {
        let tags = tags([("n", tag)]);
        let found = ["gt", "gte", "lt", "lte"].map(|cmp| matcher(&leaf("n", cmp, value)).matches(&tags));
        assert_eq!(found, expected, "{tag} and {value}");
        let found = ["gt", "gte", "lt", "lte"].map(|cmp| matcher(&leaf("other", cmp, value)).matches(&tags));
        assert_eq!(found, none, "a tag that is not there");
    }
}

/// TF-01
#[test]
fn combinations_of_filters() {
    let tags = tags([("a", "1"), ("b", "2")]);
    let (yes, no) = (|| leaf("a", "eq", "1"), || leaf("b", "eq", "1"));
    for (filter, expected) in [
        (node("and", [yes()]), true),
        (node("and", [yes(), no()]), false),
        (node("and", [yes(), yes()]), true),
        (node("or", [no()]), false),
        (node("or", [no(), yes()]), true),
        (node("or", [no(), no()]), false),
        (node("not", [no()]), true),
        (node("not", [yes()]), false),
        (node("not", [leaf("a", "gt", "abc")]), true),
        (node("and", [yes(), node("not", [node("or", [no(), no()])])]), true),
    ] {
        assert_eq!(matcher(&filter).matches(&tags), expected, "{filter:?}");
    }
}

#[test]
fn what_a_node_does_not_use_is_ignored() {
    let mut filter = leaf("a", "eq", "1");
    filter.nodes.push(leaf("b", "nonsense", ""));
    assert_eq!(matcher(&filter), matcher(&leaf("a", "eq", "1")));
    let filter = TagFilter { key: "k".into(), cmp: "nonsense".into(), ..node("not", [leaf("a", "ex", "")]) };
    assert_eq!(matcher(&filter), matcher(&node("not", [leaf("a", "ex", "")])));
}

/// Whether they are few or many.
#[test]
fn every_tag_is_found() {
    let mut many = Tags::new();
    for count in 0..20 {
        for at in 0..20 {
            let (key, value) = (format!("k{at}"), format!("v{at}"));
            assert_eq!(matcher(&leaf(&key, "eq", &value)).matches(&many), at < count);
        }
        many.insert(format!("k{count}"), format!("v{count}"));
    }
}

#[test]
fn a_publication_without_tags_has_no_tag() {
    let tagged = Publication { tags: Some(Arc::new(tags([("a", "1")]))), ..Publication::default() };
    let bare = Publication::default();
    let found = |filter| {
        let matcher = matcher(&filter);
        (matcher.matches_publication(&tagged), matcher.matches_publication(&bare))
    };
    assert_eq!(found(leaf("a", "eq", "1")), (true, false));
    assert_eq!(found(leaf("a", "nex", "")), (false, true));
}

/// TF-02
#[test]
fn a_malformed_filter_is_refused_with_the_reason() {
    for cmp in ["eq", "neq", "sw", "ew", "ct", "gt", "gte", "lt", "lte"] {
        for (filter, problem) in [
            (leaf("a", cmp, ""), Problem::MissingValue),
            (TagFilter { val: "1".into(), ..set("a", cmp, &["x"]) }, Problem::UnexpectedValues),
            (leaf("", cmp, "1"), Problem::MissingKey),
        ] {
            assert_eq!(refused(&filter, FilterLimits::default()).problem, problem, "{cmp}");
        }
    }
    for cmp in ["in", "nin"] {
        for (filter, problem) in [
            (leaf("a", cmp, ""), Problem::MissingValues),
            (leaf("a", cmp, "1"), Problem::MissingValues),
            (TagFilter { val: "1".into(), ..set("a", cmp, &["x"]) }, Problem::UnexpectedValue),
            (set("", cmp, &["x"]), Problem::MissingKey),
        ] {
            assert_eq!(refused(&filter, FilterLimits::default()).problem, problem, "{cmp}");
        }
    }
    for cmp in ["ex", "nex"] {
        assert_eq!(refused(&leaf("a", cmp, "1"), FilterLimits::default()).problem, Problem::UnexpectedValue);
        assert_eq!(
            refused(&set("a", cmp, &["1"]), FilterLimits::default()).problem,
            Problem::UnexpectedValues
        );
    }
    for (filter, problem) in [
        (leaf("a", "", "1"), Problem::MissingComparison),
        (leaf("a", "EQ", "1"), Problem::UnknownComparison),
        (leaf("a", "like", "1"), Problem::UnknownComparison),
        (node("xor", [leaf("a", "ex", "")]), Problem::UnknownOperation),
        (node("and", []), Problem::NoNodes),
        (node("or", []), Problem::NoNodes),
        (node("not", []), Problem::NotOneNode(0)),
        (node("not", [leaf("a", "ex", ""), leaf("b", "ex", "")]), Problem::NotOneNode(2)),
    ] {
        assert_eq!(refused(&filter, FilterLimits::default()).problem, problem);
        assert!(!problem.to_string().is_empty());
    }
}

#[test]
fn an_error_says_where_it_is_and_nothing_of_the_texts() {
    let bad = node("or", [leaf("a", "ex", ""), node("not", [leaf("secret", "eq", "")])]);
    let error = refused(&bad, FilterLimits::default());
    assert_eq!(error, FilterError { path: vec![1, 0], problem: Problem::MissingValue });
    assert_eq!(error.to_string(), "nodes[1].nodes[0]: the comparison needs val");
    let error = refused(&leaf("a", "secret", "1"), FilterLimits::default());
    assert_eq!(error.to_string(), "cmp is not known");
}

#[test]
fn the_limits_are_exact() {
    let deep = |levels: usize| (1..levels).fold(leaf("a", "ex", ""), |inner, _| node("not", [inner]));
    let limits = FilterLimits { max_depth: 5, ..FilterLimits::default() };
    assert!(TagMatcher::new(&deep(5), limits).is_ok());
    let error = refused(&deep(6), limits);
    assert_eq!((error.path.len(), error.problem), (5, Problem::TooDeep(5)));

    let wide = |leaves| TagFilter {
        op: "or".into(),
        nodes: vec![leaf("a", "ex", ""); leaves],
        ..TagFilter::default()
    };
    let limits = FilterLimits { max_nodes: 10, ..FilterLimits::default() };
    assert!(TagMatcher::new(&wide(9), limits).is_ok());
    assert_eq!(refused(&wide(10), limits), FilterError { path: vec![9], problem: Problem::TooManyNodes(10) });

    let limits = FilterLimits { max_values: 3, ..FilterLimits::default() };
    let sets = |second: &[&str]| node("and", [set("a", "in", &["1", "1"]), set("a", "nin", second)]);
    assert!(TagMatcher::new(&sets(&["1"]), limits).is_ok());
    assert_eq!(refused(&sets(&["1", "2"]), limits).problem, Problem::TooManyValues(3));
    assert_eq!(refused(&deep(1), FilterLimits { max_depth: 0, ..limits }).problem, Problem::TooDeep(0));
}

#[test]
fn matchers_are_equal_when_filters_mean_the_same() {
    let hasher = RandomState::new();
    for (a, b) in [
        (set("a", "in", &["x", "y"]), set("a", "in", &["y", "x", "y"])),
        (leaf("a", "gt", "1.50"), leaf("a", "gt", "+01.5")),
        (leaf("a", "lte", "-0"), leaf("a", "lte", "0.00")),
        // No number matches either.
        (leaf("a", "lt", "abc"), leaf("a", "lt", "def")),
    ] {
        let (a, b) = (matcher(&a), matcher(&b));
        assert_eq!(a, b);
        assert_eq!(hasher.hash_one(&a), hasher.hash_one(&b));
    }
    for (a, b) in [
        (leaf("a", "gt", "1"), leaf("a", "gte", "1")),
        (leaf("a", "gt", "1"), leaf("b", "gt", "1")),
        (leaf("a", "gt", "1"), leaf("a", "gt", "-1")),
        (leaf("a", "eq", "1.0"), leaf("a", "eq", "1")),
        (set("a", "in", &["x"]), set("a", "nin", &["x"])),
        (leaf("a", "ex", ""), leaf("a", "nex", "")),
        (node("and", [leaf("a", "ex", "")]), node("or", [leaf("a", "ex", "")])),
    ] {
        assert_ne!(matcher(&a), matcher(&b));
    }
}

#[test]
fn evaluating_allocates_nothing() {
    let every = node(
        "and",
        [
            leaf("a", "eq", "12.5"),
            leaf("a", "neq", "13"),
            set("a", "in", &["x", "12.5"]),
            set("a", "nin", &["x", "y"]),
            leaf("a", "ex", ""),
            leaf("b", "nex", ""),
            leaf("a", "sw", "12"),
            leaf("a", "ew", ".5"),
            leaf("a", "ct", "2.5"),
            leaf("a", "gt", "3.25"),
            leaf("a", "gte", "12.5"),
            leaf("a", "lt", "100"),
            leaf("a", "lte", "12.50"),
            node("or", [leaf("b", "ex", ""), node("not", [leaf("b", "eq", "1")])]),
        ],
    );
    let (matcher, tags) = (matcher(&every), tags([("a", "12.5")]));
    let publication = Publication::default();
    let info = allocation_counter::measure(|| {
        assert!(matcher.matches(&tags));
        assert!(!matcher.matches_publication(&publication));
    });
    assert_eq!(info.count_total, 0);
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "b", "ab", "ba", "1", "1.0", "-2", "10", "x y", "+0.50", "-00.0"])
        .prop_map(String::from)
}

fn any_filter() -> impl Strategy<Value = TagFilter> {
    let cmp = prop::sample::select(vec![
        "eq", "neq", "in", "nin", "ex", "nex", "sw", "ew", "ct", "gt", "gte", "lt", "lte", "", "odd",
    ]);
    let leaf = (word(), cmp, word(), vec(word(), 0..3)).prop_map(|(key, cmp, val, vals)| TagFilter {
        key,
        cmp: cmp.into(),
        val,
        vals,
        ..TagFilter::default()
    });
    leaf.prop_recursive(4, 20, 3, |inner| {
        let op = prop::sample::select(vec!["and", "or", "not", "", "xor"]);
        (op, vec(inner, 0..3)).prop_map(|(op, nodes)| TagFilter {
            op: op.into(),
            nodes,
            ..TagFilter::default()
        })
    })
}

fn valid_leaf() -> impl Strategy<Value = TagFilter> {
    let cmp = prop::sample::select(vec!["eq", "neq", "sw", "ew", "ct", "gt", "gte", "lt", "lte"]);
    let value = word().prop_filter("a value", |value| !value.is_empty());
    (prop::sample::select(vec!["a", "b"]), cmp, value).prop_map(|(key, cmp, val)| leaf(key, cmp, &val))
}

fn any_tags() -> impl Strategy<Value = Tags> {
    btree_map(prop::sample::select(vec!["a", "b", "c"]).prop_map(String::from), word(), 0..3)
}

fn valid_filter() -> impl Strategy<Value = TagFilter> {
    let sets = (word(), vec(word(), 1..4), prop::sample::select(vec!["in", "nin"]));
    let sets = sets.prop_map(|(key, vals, cmp)| TagFilter {
        key: format!("k{key}"),
        vals,
        cmp: cmp.into(),
        ..TagFilter::default()
    });
    let presence = prop::sample::select(vec!["ex", "nex"]).prop_map(|cmp| leaf("a", cmp, ""));
    prop_oneof![valid_leaf(), sets, presence].prop_recursive(3, 16, 3, |inner| {
        let several = (prop::sample::select(vec!["and", "or"]), vec(inner.clone(), 1..4));
        let several =
            several.prop_map(|(op, nodes)| TagFilter { op: op.into(), nodes, ..TagFilter::default() });
        prop_oneof![several, inner.prop_map(|one| node("not", [one]))]
    })
}

proptest! {
    #[test]
    fn a_matcher_tells_a_filter_of_which_it_could_be_made(filter in valid_filter()) {
        let one = matcher(&filter);
        prop_assert_eq!(matcher(&one.to_filter()), one);
    }

    #[test]
    fn any_filter_is_refused_or_has_a_matcher(filter in any_filter(), tags in any_tags()) {
        match TagMatcher::new(&filter, FilterLimits::default()) {
            Ok(matcher) => {
                let opposite = TagMatcher::new(&node("not", [filter]), FilterLimits::default()).expect("one more");
                prop_assert_ne!(matcher.matches(&tags), opposite.matches(&tags));
            }
            Err(error) => {
                // The path leads to a node.
                let mut at = &filter;
                for step in error.path {
                    at = &at.nodes[step];
                }
            }
        }
    }

    #[test]
    fn combinations_follow_their_parts(a in valid_leaf(), b in valid_leaf(), tags in any_tags()) {
        let holds = |filter: &TagFilter| matcher(filter).matches(&tags);
        let (a_holds, b_holds) = (holds(&a), holds(&b));
        prop_assert_eq!(holds(&node("and", [a.clone(), b.clone()])), a_holds && b_holds);
        prop_assert_eq!(holds(&node("or", [a, b])), a_holds || b_holds);
    }

    #[test]
    fn a_set_is_one_of_its_values(vals in vec(word(), 1..6), tag in word()) {
        let vals: Vec<&str> = vals.iter().map(String::as_str).collect();
        let tags = tags([("a", tag.as_str())]);
        prop_assert_eq!(matcher(&set("a", "in", &vals)).matches(&tags), vals.contains(&tag.as_str()));
        prop_assert_eq!(matcher(&set("a", "nin", &vals)).matches(&tags), !vals.contains(&tag.as_str()));
    }
}

#[test]
fn filters_are_read_from_json() {
    let json = r#"{"op":"and","nodes":[{"key":"a","cmp":"in","vals":["1","2"]},{"key":"b","cmp":"eq","val":"x","op":""}]}"#;
    let read: TagFilter = serde_json::from_str(json).expect("a filter");
    assert_eq!(read, node("and", [set("a", "in", &["1", "2"]), leaf("b", "eq", "x")]));
    let lax = r#"{"key":"b","cmp":"eq","val":"x","op":null,"vals":null,"nodes":null,"later":[{"key":1}]}"#;
    assert_eq!(serde_json::from_str::<TagFilter>(lax).ok(), Some(leaf("b", "eq", "x")));
    for wrong in [
        "null",
        r#"["","b","eq","x"]"#,
        r#""b""#,
        r#"{"key":1}"#,
        r#"{"key":"a","key":"b"}"#,
        r#"{"nodes":{}}"#,
        r#"{"nodes":[[]]}"#,
        r#"{"vals":[1]}"#,
    ] {
        assert!(serde_json::from_str::<TagFilter>(wrong).is_err(), "{wrong}");
    }
}
