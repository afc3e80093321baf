//! Text that must not be shown.

use std::fmt;

/// A secret text, such as an HMAC key. It has no `Display`, and its `Debug` tells only whether there is one.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for whoever computes with it. Never to be logged.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no secret.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Secret(none)" } else { "Secret(..)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_text() {
        assert_eq!(format!("{:?}", Secret::from("planted")), "Secret(..)");
        assert_eq!(format!("{:?}", Secret::default()), "Secret(none)");
        assert_eq!(Secret::from("planted".to_owned()).expose(), "planted");
    }
}
