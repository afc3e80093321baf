//! Which pages may connect.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Which pages may connect, by the `Origin` header of their requests.
///
/// Requests without the header do not come from a page and always pass (ORI-02). Without patterns every request
/// that has one is refused (ORI-03).
#[derive(Clone, Debug, Default)]
pub struct OriginPolicy {
    patterns: GlobSet,
    any: bool,
}

/// A pattern that is none.
#[derive(Debug, thiserror::Error)]
#[error("origin pattern {pattern:?}: {reason}")]
pub struct OriginError {
    pattern: String,
    reason: String,
}

impl OriginPolicy {
    /// Allows every page. A page of anybody's can then connect with whatever credentials the browser adds.
    #[must_use]
    pub fn any() -> Self {
        Self { patterns: GlobSet::empty(), any: true }
    }

    /// Allows the origins that match one of these patterns: `*` stands for any text, `?` for any character,
    /// `[a-z]` for a range and `{a,b}` for alternatives. Origins are compared in lower case, patterns as they
    /// are (ORI-01).
    ///
    /// # Errors
    ///
    /// The pattern that is malformed.
    pub fn patterns<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, OriginError> {
        let mut set = GlobSetBuilder::new();
        let mut any = false;
        for pattern in patterns {
            let pattern = pattern.as_ref();
            any |= pattern == "*";
            let error = |error: globset::Error| OriginError {
                pattern: pattern.to_owned(),
                reason: error.kind().to_string(),
            };
            let mut glob = GlobBuilder::new(pattern);
            glob.literal_separator(false).empty_alternates(true).backslash_escape(true);
            set.add(glob.build().map_err(error)?);
        }
        let error = |error: globset::Error| OriginError { pattern: String::new(), reason: error.to_string() };
        Ok(Self { patterns: set.build().map_err(error)?, any })
    }

    /// Whether a request with this `Origin` header may connect.
    #[must_use]
    pub fn allows(&self, origin: Option<&[u8]>) -> bool {
        let Some(origin) = origin else { return true };
        self.any
            || std::str::from_utf8(origin)
                .is_ok_and(|origin| self.patterns.is_match(origin.to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_documented() {
        let cases: &[(&[&str], Option<&str>, bool)] = &[
            (&[], None, true),
            (&[], Some("https://a.example"), false),
            (&["*"], Some("https://a.example"), true),
            (&["https://a.example"], Some("https://a.example"), true),
            (&["https://a.example"], Some("HTTPS://A.EXAMPLE"), true),
            (&["https://A.example"], Some("https://a.example"), false),
            (&["https://*.example.com"], Some("https://x.y.example.com"), true),
            (&["https://*.example.com"], Some("https://example.com"), false),
            (&["http://localhost:*"], Some("http://localhost:3000"), true),
            (&["http://localhost:*"], Some("http://localhost.evil:3000"), false),
            (&["https://{a,b}.example"], Some("https://b.example"), true),
            (&["https://{www.,}a.example"], Some("https://a.example"), true),
            (&["https://[!a-c].example"], Some("https://d.example"), true),
            (&["https://[!a-c].example"], Some("https://b.example"), false),
            (&["https://a.example:808?"], Some("https://a.example:8081"), true),
            (&["**.example"], Some("https://a.b.example"), true),
            (&["https://*"], Some("https://a.example/b.c"), true),
            (&["\\*"], Some("https://a.example"), false),
        ];
        for (patterns, origin, allowed) in cases {
            let policy = OriginPolicy::patterns(*patterns).expect("valid patterns");
            assert_eq!(policy.allows(origin.map(str::as_bytes)), *allowed, "{patterns:?} {origin:?}");
        }
        assert!(!OriginPolicy::patterns(["https://*"]).expect("valid").allows(Some(b"\xff")));
        assert!(OriginPolicy::patterns(["https://[a"]).is_err());
        assert!(OriginPolicy::any().allows(Some(b"null")));
    }
}
