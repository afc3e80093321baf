//! What options mean, as their documentation says.

use std::collections::BTreeMap;

use crate::consumers::NamedConsumer;
use crate::duration::GoDuration;
use crate::limits::{BucketOption, MethodOverride, NamespaceOverride};
use crate::model::{
    Addresses, ConnectCodeTransform, DisconnectTransform, JwksProvider, KeyValue, Replacements,
};
use crate::namespace::Namespace;
use crate::proxies::{NamedProxy, RpcNamespace, StatusToCode};
use crate::secret::SecretText;

/// What options mean, by their paths; elements of lists of objects are at `[]`.
pub(crate) type Texts = BTreeMap<String, String>;

/// What is an option, or a group of them.
pub(crate) trait Describe {
    /// Puts what the options at `path` and below it mean into `into`; `text` is what is said of the whole.
    fn describe(path: &str, text: &str, into: &mut Texts);
}

macro_rules! leaves {
    ($($type:ty),*) => {
        $(impl Describe for $type {
            fn describe(path: &str, text: &str, into: &mut Texts) {
                into.insert(path.to_owned(), text.trim().to_owned());
            }
        })*
    };
}

leaves!(
    bool,
    u8,
    u16,
    u32,
    u64,
    usize,
    i32,
    i64,
    String,
    SecretText,
    GoDuration,
    Vec<String>,
    Addresses,
    Replacements,
    Vec<ConnectCodeTransform>,
    Vec<DisconnectTransform>,
    Vec<BucketOption>,
    Vec<NamespaceOverride>,
    Vec<MethodOverride>,
    Vec<StatusToCode>,
    Vec<KeyValue>
);

/// Lists of objects are described by what is in their elements, too.
macro_rules! elements {
    ($($type:ty),*) => {
        $(impl Describe for Vec<$type> {
            fn describe(path: &str, text: &str, into: &mut Texts) {
                String::describe(path, text, into);
                <$type>::describe(&format!("{path}[]"), text, into);
            }
        })*
    };
}

elements!(Namespace, NamedConsumer, NamedProxy, RpcNamespace, JwksProvider);

/// The path of a field's option.
pub(crate) fn path_of(group: &str, field: &str) -> String {
    crate::schema::join(group, field.strip_prefix("r#").unwrap_or(field))
}
