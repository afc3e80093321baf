//! Short texts that take no memory of their own.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use smol_str::SmolStr;

/// A text that is short as a rule: up to 23 bytes stand in the value itself, longer ones are shared by its clones.
///
/// For names that come with every command or connection, such as the method of a call.
///
/// ```
/// use tourbillon_types::Text;
///
/// let method = Text::from("get_profile");
/// assert_eq!(method, "get_profile");
/// assert!(method.starts_with("get_"));
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(SmolStr);

impl Text {
    /// The text without characters.
    #[must_use]
    pub const fn new() -> Self {
        Self(SmolStr::new_static(""))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(SmolStr::new(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(SmolStr::from(text))
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0.into()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_text_is_its_characters() {
        for text in ["", "echo", "exactly twenty-three by", "a text that does not fit into the value itself"]
        {
            let (borrowed, owned) = (Text::from(text), Text::from(text.to_owned()));
            assert_eq!(borrowed, owned);
            assert_eq!((borrowed.as_str(), &borrowed, borrowed.to_string()), (text, &owned, text.to_owned()));
            assert_eq!(format!("{borrowed:?}"), format!("{text:?}"));
            assert!(borrowed == text && borrowed == *text);
            assert!(HashSet::from([borrowed]).contains(text));
            assert_eq!(String::from(owned), text);
        }
        assert_eq!(Text::new(), Text::default());
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_text_is_small() {
        assert!(size_of::<Option<Text>>() <= 24);
    }
}
