//! Names: channels and users.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Where a name stands.
trait Memory {
    fn new(name: &str) -> Self;
    fn as_str(&self) -> &str;
}

impl Memory for Arc<str> {
    fn new(name: &str) -> Self {
        Self::from(name)
    }

    fn as_str(&self) -> &str {
        self
    }
}

/// The empty name is as frequent as any other: it takes no memory.
impl Memory for Option<Arc<str>> {
    fn new(name: &str) -> Self {
        (!name.is_empty()).then(|| Arc::from(name))
    }

    fn as_str(&self) -> &str {
        self.as_deref().unwrap_or_default()
    }
}

macro_rules! shared_name {
    ($(#[$doc:meta])* $name:ident($memory:ty)) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name($memory);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                Memory::as_str(&self.0)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }

        impl Eq for $name {}

        // As the text, by which it is found in maps.
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.as_str().cmp(other.as_str())
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(Memory::new(name))
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self::from(name.as_str())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    };
}

shared_name! {
    /// The name of a channel. Cloning shares the text.
    ///
    /// The name is opaque here: its length limit (`channel.max_length`, 255 bytes), its namespace and its
    /// boundaries are rules of whoever accepts it.
    Channel(Arc<str>)
}

shared_name! {
    /// The application's identifier of a user. Cloning shares the text. The empty name is the anonymous user.
    UserId(Option<Arc<str>>)
}

impl UserId {
    /// The user without a name.
    #[must_use]
    pub const fn anonymous() -> Self {
        Self(None)
    }

    /// Whether this is the user without a name.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.as_str().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;

    #[test]
    fn a_name_is_found_by_its_text() {
        let channel = Channel::from("news");
        let hashed = HashMap::from([(channel.clone(), 1)]);
        let sorted = BTreeMap::from([(channel, 1)]);
        assert_eq!(hashed.get("news"), Some(&1));
        assert_eq!(sorted.get("news"), Some(&1));
        assert_eq!(hashed.get("new"), None);
    }

    #[test]
    fn clones_share_the_text() {
        let channel = Channel::from("news".to_owned());
        assert_eq!(channel.clone().as_str().as_ptr(), channel.as_str().as_ptr());
    }

    #[test]
    fn a_name_shows_as_its_text() {
        let channel = Channel::from("a\nb");
        assert_eq!(channel.to_string(), "a\nb");
        assert_eq!(format!("{channel:?}"), r#""a\nb""#);
        assert!(channel.starts_with('a'));
    }

    #[test]
    fn the_anonymous_user_has_no_name() {
        assert!(UserId::anonymous().is_anonymous());
        assert!(!UserId::from("anonymous").is_anonymous());
    }
}
