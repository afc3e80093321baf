//! Reading a filter from data that describes itself, such as the JSON of a token.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::TagFilter;

impl<'de> Deserialize<'de> for TagFilter {
    /// Reads an object. `null` is the same as no member; members of other names are passed over, and a repeated one is
    /// refused, since two readers could then read two things.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Node)
    }
}

struct Node;

impl<'de> Visitor<'de> for Node {
    type Value = TagFilter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that is a filter")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TagFilter, A::Error> {
        const NAMES: [&str; 6] = ["op", "key", "cmp", "val", "vals", "nodes"];
        let mut filter = TagFilter::default();
        let mut seen = [false; NAMES.len()];
        while let Some(name) = map.next_key::<String>()? {
            for (seen, known) in seen.iter_mut().zip(NAMES) {
                if name == known && std::mem::replace(seen, true) {
                    return Err(A::Error::duplicate_field(known));
                }
            }
            match name.as_str() {
                "op" => filter.op = given(&mut map)?,
                "key" => filter.key = given(&mut map)?,
                "cmp" => filter.cmp = given(&mut map)?,
                "val" => filter.val = given(&mut map)?,
                "vals" => filter.vals = given(&mut map)?,
                "nodes" => filter.nodes = given(&mut map)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(filter)
    }
}

/// The value that follows, or the default for `null`.
fn given<'de, A: MapAccess<'de>, T: Deserialize<'de> + Default>(map: &mut A) -> Result<T, A::Error> {
    map.next_value::<Option<T>>().map(Option::unwrap_or_default)
}
