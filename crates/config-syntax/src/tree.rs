//! Files as trees of values, read strictly.

use std::fmt;
use std::path::Path;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Reads a file's text in the format that its name says: JSON, YAML or TOML. Names become lower case.
///
/// # Errors
///
/// What is wrong with it, a name that is there twice among it.
pub fn parse(path: &Path, text: &str) -> Result<Value, String> {
    let tree: Result<Tree, String> = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_str(text).map_err(|error| error.to_string()),
        Some("yaml" | "yml") => serde_saphyr::from_str(text).map_err(|error| error.to_string()),
        Some("toml") => toml::from_str(text).map_err(|error| error.to_string()),
        _ => return Err("the name must end in .json, .yaml, .yml or .toml".to_owned()),
    };
    Ok(tree?.0)
}

/// A tree whose names are in lower case, as Centrifugo reads them, and in which no name is there twice: the first
/// of two would be without effect.
struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;

        impl<'de> Visitor<'de> for Anything {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("options")
            }

            fn visit_unit<E: Error>(self) -> Result<Tree, E> {
                Ok(Tree(Value::Null))
            }

            fn visit_none<E: Error>(self) -> Result<Tree, E> {
                Ok(Tree(Value::Null))
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
                Tree::deserialize(deserializer)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree(value.into()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree(value.into()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree(value.into()))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
                let mut values = Vec::new();
                while let Some(Tree(value)) = list.next_element()? {
                    values.push(value);
                }
                Ok(Tree(values.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
                let mut map = Map::new();
                while let Some((name, Tree(value))) = members.next_entry::<String, Tree>()? {
                    let name = name.to_lowercase();
                    if map.contains_key(&name) {
                        return Err(Error::custom(format_args!("{name} is there twice")));
                    }
                    map.insert(name, value);
                }
                Ok(Tree(map.into()))
            }
        }

        deserializer.deserialize_any(Anything)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_read_in_lower_case_and_values_as_they_are() {
        let expected = json!({"client": {"allowed_origins": ["A"], "channel_limit": 5}, "pid_file": null});
        for (name, text) in [
            ("a.json", r#"{"Client":{"Allowed_Origins":["A"],"CHANNEL_LIMIT":5},"pid_file":null}"#),
            ("a.yaml", "Client:\n  Allowed_Origins: [A]\n  CHANNEL_LIMIT: 5\npid_file:\n"),
        ] {
            assert_eq!(parse(Path::new(name), text).as_ref(), Ok(&expected), "{name}");
        }
        let toml = "[Client]\nAllowed_Origins = ['A']\nCHANNEL_LIMIT = 5\n";
        assert_eq!(
            parse(Path::new("a.toml"), toml).map(|tree| tree["client"].clone()),
            Ok(expected["client"].clone())
        );
    }

    #[test]
    fn a_name_given_twice_is_an_error() {
        for (name, text) in [
            ("a.json", r#"{"client":{"insecure":true,"insecure":false}}"#),
            ("a.json", r#"{"client":{},"Client":{}}"#),
            ("a.yaml", "client:\n  insecure: true\n  insecure: false\n"),
            ("a.toml", "[client]\ninsecure = true\ninsecure = false\n"),
            ("a.toml", "[client]\n[Client]\n"),
        ] {
            assert!(parse(Path::new(name), text).is_err(), "{text}");
        }
    }
}
