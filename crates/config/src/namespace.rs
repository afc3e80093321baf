//! Elements of `channel.namespaces`.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::describe::{Describe, Texts};
use crate::model::ChannelRules;
use crate::schema::join;

/// An element of `channel.namespaces`: a name, and beside it the rules.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Namespace {
    /// The namespace's name.
    pub name: String,
    /// What its channels look like.
    pub pattern: String,
    /// The rules of its channels.
    #[serde(flatten)]
    pub rules: ChannelRules,
}

impl Describe for Namespace {
    fn describe(path: &str, _: &str, into: &mut Texts) {
        String::describe(&join(path, "name"), "The namespace's name.", into);
        let pattern = "What its channels look like, such as `/users/:name`, in place of its name; needs `channel.patterns`.";
        String::describe(&join(path, "pattern"), pattern, into);
        ChannelRules::describe(path, "", into);
    }
}

impl<'de> Deserialize<'de> for Namespace {
    /// As the derived implementation would, but for errors, which keep the name of the option that is wrong.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Namespace;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a name")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Namespace, A::Error> {
                let (mut name, mut pattern) = (String::new(), String::new());
                let rest = Rest { members, name: &mut name, pattern: &mut pattern };
                let rules = ChannelRules::deserialize(MapAccessDeserializer::new(rest))?;
                Ok(Namespace { name, pattern, rules })
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// The members but for name and pattern, which are put aside.
struct Rest<'a, A> {
    members: A,
    name: &'a mut String,
    pattern: &'a mut String,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.members.next_key::<String>()? {
            match key.as_str() {
                "name" => *self.name = self.members.next_value()?,
                "pattern" => *self.pattern = self.members.next_value()?,
                _ => return seed.deserialize(StringDeserializer::new(key)).map(Some),
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.members.next_value_seed(seed)
    }
}
