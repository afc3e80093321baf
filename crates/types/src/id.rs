//! Identifiers of clients, sessions and nodes: random UUIDs (RFC 9562, version 4).

use std::fmt;
use std::str::FromStr;

/// Text that is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a UUID: 36 characters, hexadecimal digits in groups of 8-4-4-4-12")
    }
}

impl std::error::Error for ParseIdError {}

macro_rules! uuid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// A fresh identifier from the operating system's randomness.
            ///
            /// # Panics
            ///
            /// When the operating system has no randomness to give, which supported systems never report
            /// after boot.
            #[must_use]
            pub fn random() -> Self {
                Self::from_random(random_bytes())
            }

            /// The version-4 UUID made of the given random bytes.
            #[must_use]
            pub const fn from_random(mut bytes: [u8; 16]) -> Self {
                bytes[6] = (bytes[6] & 0x0f) | 0x40;
                bytes[8] = (bytes[8] & 0x3f) | 0x80;
                Self(bytes)
            }

            /// The sixteen bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// The usual text form, on the stack.
            #[must_use]
            pub fn text(&self) -> IdText {
                IdText::new(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text().as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text().as_str())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text).map(Self)
            }
        }
    };
}

uuid! {
    /// The public identifier of one connection; the protocol's `client`.
    ClientId
}

uuid! {
    /// The identifier of a running node.
    NodeId
}

/// Fresh randomness from the operating system, for whoever makes many identifiers at a time.
///
/// # Panics
///
/// As [`ClientId::random`].
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "no identifier can be made without randomness")]
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}

/// The secret that names a connection to the emulation endpoint and the server API. Never logged: its `Debug`
/// shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(NodeId);

impl SessionId {
    /// A fresh secret.
    #[must_use]
    pub fn random() -> Self {
        Self(NodeId::random())
    }

    /// The secret's text form.
    #[must_use]
    pub fn text(&self) -> IdText {
        self.0.text()
    }
}

impl SessionId {
    /// The secret made of the given random bytes.
    #[must_use]
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(NodeId::from_random(bytes))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

impl FromStr for SessionId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse().map(Self)
    }
}

/// The text of an identifier: 36 ASCII characters, lower case.
#[derive(Clone, Copy)]
pub struct IdText([u8; Self::LENGTH]);

const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl IdText {
    /// The length of the text of any identifier, in bytes.
    pub const LENGTH: usize = 36;

    fn new(bytes: &[u8; 16]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; Self::LENGTH];
        let mut at = 0;
        for byte in bytes {
            if HYPHENS.contains(&at) {
                at += 1;
            }
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 0x0f)];
            at += 2;
        }
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Every byte written is ASCII, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdText(..)")
    }
}

fn parse(text: &str) -> Result<[u8; 16], ParseIdError> {
    let text: &[u8; IdText::LENGTH] = text.as_bytes().try_into().map_err(|_| ParseIdError)?;
    let mut bytes = [0; 16];
    let mut at = 0;
    for byte in &mut bytes {
        if HYPHENS.contains(&at) {
            if text[at] != b'-' {
                return Err(ParseIdError);
            }
            at += 1;
        }
        *byte = digit(text[at])? << 4 | digit(text[at + 1])?;
        at += 2;
    }
    Ok(bytes)
}

fn digit(byte: u8) -> Result<u8, ParseIdError> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(ParseIdError),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn random_identifiers_are_version_four() {
        let text = ClientId::random().to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "4");
        assert!("89ab".contains(&text[19..20]));
        assert_ne!(ClientId::random(), ClientId::random());
    }

    #[test]
    fn text_is_lower_case_in_five_groups() {
        let id = ClientId::from_random([0xab; 16]);
        assert_eq!(id.to_string(), "abababab-abab-4bab-abab-abababababab");
        assert_eq!(format!("{id:?}"), id.to_string());
        for other in [
            "",
            "abababab-abab-4bab-abab-ababababababab",
            "abababab_abab_4bab_abab_abababababab",
            "ábababab-abab-4bab-abab-abababababa",
        ] {
            assert_eq!(other.parse::<ClientId>(), Err(ParseIdError), "{other}");
        }
    }

    #[test]
    fn sessions_keep_their_secret_out_of_debug_output() {
        let session = SessionId::random();
        assert!(!format!("{session:?}").contains(session.text().as_str()));
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 16]) {
            let id = ClientId::from_random(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        }

        #[test]
        fn any_other_text_is_refused(text in ".{0,40}") {
            if let Ok(id) = text.parse::<ClientId>() {
                prop_assert_eq!(id.to_string(), text.to_lowercase());
            }
        }
    }
}
