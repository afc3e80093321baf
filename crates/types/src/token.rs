//! What a token said of itself.

use crate::Text;

/// What the token of a connection or a subscription said of itself: by it they are found again once that token is
/// revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenMark {
    /// The token's identifier (`jti`); empty for a token without one.
    pub id: Text,
    /// When it was issued (`iat`), seconds since 1970 UTC.
    pub issued_at: Option<i64>,
}

impl TokenMark {
    /// The mark of a token. `None` for one that says nothing of itself: there is nothing to find it by.
    #[must_use]
    pub fn new(id: Option<&str>, issued_at: Option<i64>) -> Option<Box<Self>> {
        let mark = Self { id: Text::from(id.unwrap_or_default()), issued_at };
        (!mark.is_empty()).then(|| Box::new(mark))
    }

    /// Whether the token said nothing of itself.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.id.is_empty() && self.issued_at.is_none()
    }
}
