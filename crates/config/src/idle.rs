//! Options that are set and have no effect, since another one says so (OBS-09).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::duration::GoDuration;
use crate::load::pointer;
use crate::schema::{is_default, join, lists, ours};

/// Groups that count where an option has this value.
const OF_TYPES: &[(&str, &str, &str)] = &[
    ("broker.nats", "broker.type", "nats"),
    ("broker.postgres", "broker.type", "postgres"),
    ("broker.redis", "broker.type", "redis"),
    ("controller.postgres", "controller.type", "postgres"),
    ("engine.redis", "engine.type", "redis"),
    ("map_broker.redis", "map_broker.type", "redis"),
    ("presence_manager.redis", "presence_manager.type", "redis"),
    ("token_revoke.redis", "token_revoke.storage_type", "redis"),
    ("user_block.redis", "user_block.storage_type", "redis"),
    ("user_tokens_invalidate.redis", "user_tokens_invalidate.storage_type", "redis"),
];

/// What is worth no word: `genconfig` writes the first two for later.
const EXCEPTIONS: &[&str] = &["admin.password", "admin.secret"];

/// What counts though the group that it is in is off.
const COUNTS: &[&str] = &["broker.memory", "client.rate_limit.ip_connect.trusted_proxies"];

/// A line for each group that has no effect, and in which something is set. `set` is what the sources say, `options` what
/// it comes to.
pub(crate) fn warnings(set: &Value, options: &Value) -> Vec<String> {
    let mut idle = BTreeMap::new();
    for (path, default) in ours() {
        if is_set(set, path, path, default)
            && let Some((group, why)) = reason(path, options)
        {
            idle.insert(group.to_owned(), why);
        }
    }
    for list in lists() {
        let place = pointer(list.path);
        let of =
            |tree: &'_ Value| tree.pointer(&place).and_then(Value::as_array).cloned().unwrap_or_default();
        for (at, (set, element)) in of(set).iter().zip(&of(options)).enumerate() {
            for (path, default) in list.options {
                if is_set(set, path, &join(list.path, path), default)
                    && let Some(group) = off(path, element)
                {
                    let group = format!("{}[{at}].{group}", list.path);
                    let why = format!("{group}.enabled is false");
                    idle.insert(group, why);
                }
            }
        }
    }
    idle.into_iter().map(|(group, why)| format!("{group} has no effect: {why}")).collect()
}

/// The outermost group of an option that has no effect, and why.
fn reason<'a>(path: &'a str, options: &Value) -> Option<(&'a str, String)> {
    let is_below =
        |group: &str| path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if EXCEPTIONS.contains(&path) {
        return None;
    }
    if !COUNTS.iter().any(|counts| is_below(counts))
        && let Some(group) = off(path, options)
    {
        return Some((group, format!("{group}.enabled is false")));
    }
    let (group, option, value) = OF_TYPES.iter().find(|(group, ..)| is_below(group))?;
    let is_so = options.pointer(&pointer(option)).and_then(Value::as_str) == Some(value);
    (!is_so).then(|| (*group, format!("{option} is not {value:?}")))
}

/// The outermost group of an option that is switched off.
fn off<'a>(path: &'a str, options: &Value) -> Option<&'a str> {
    let ends = path.match_indices('.').map(|(at, _)| at);
    let mut groups = ends.filter_map(|at| path.get(..at));
    groups.find(|group| {
        let switch = join(group, "enabled");
        switch != path && options.pointer(&pointer(&switch)) == Some(&Value::Bool(false))
    })
}

/// Whether an option is set to something else than its default, ours and that of Centrifugo. `known` is its path without
/// indices.
fn is_set(set: &Value, path: &str, known: &str, default: &Value) -> bool {
    let length = |value: &Value| value.as_str().and_then(GoDuration::parse);
    set.pointer(&pointer(path)).is_some_and(|value| {
        let is_same = value == default || length(value).is_some() && length(value) == length(default);
        !is_same && !is_default(known, value)
    })
}
