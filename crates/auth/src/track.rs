//! Signatures of keys: what lets a client track keys of a polled channel (SP-04, SP-05).
//!
//! A signature is `iat:exp:mac`: when it was made and when it expires, in seconds since 1970 UTC (0 for never), and an
//! HMAC-SHA256 in lower-case hexadecimal over both, the user, the channel and a digest of the keys. Their order counts
//! (HID-42).

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac};

use crate::Secret;

/// How long after its end a signature is still good, for clocks that differ.
const GRACE: i64 = 5;

/// What a signature is for.
#[derive(Clone, Copy, Debug)]
pub struct TrackedKeys<'a, K> {
    /// The user; empty for the anonymous one.
    pub user: &'a str,
    /// The channel.
    pub channel: &'a str,
    /// The keys in the order in which they are sent.
    pub keys: &'a [K],
}

/// Which secrets sign.
#[derive(Clone, Debug, Default)]
pub struct TrackKeysConfig {
    /// `shared_poll.hmac_secret_key`. Empty: nothing is signed, and every signature is refused.
    pub hmac_secret_key: Secret,
    /// `shared_poll.hmac_previous_secret_key`. Empty for none.
    pub hmac_previous_secret_key: Secret,
    /// `shared_poll.hmac_previous_secret_key_valid_until`: what the previous secret signed until then is good, seconds
    /// since 1970 UTC; 0 for whatever it signed.
    pub hmac_previous_secret_key_valid_until: i64,
}

/// Verifies signatures of keys.
#[derive(Clone)]
pub struct TrackVerifier {
    current: hmac::Key,
    previous: Option<hmac::Key>,
    previous_valid_until: i64,
}

/// Why a signature does not let a client track keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrackSignatureError {
    /// It has another form.
    #[error("the signature is malformed")]
    Malformed,
    /// It was made for something else, or by somebody else.
    #[error("the signature does not match")]
    Mismatch,
    /// The previous secret may have made it, which was not to be used any more then.
    #[error("the signature is younger than the previous key")]
    PreviousKeyOver,
    /// It was good once.
    #[error("the signature expired")]
    Expired,
}

impl<K: AsRef<str>> TrackedKeys<'_, K> {
    /// The signature, good from `issued_at` until `expires_at`, seconds since 1970 UTC; `None` for ever. This is what an
    /// application does in its own language.
    ///
    /// ```
    /// use tourbillon_auth::{Secret, TrackKeysConfig, TrackVerifier, TrackedKeys};
    ///
    /// let secret = Secret::from("a long and random text");
    /// let keys = TrackedKeys { user: "ali", channel: "prices", keys: &["gold", "lead"] };
    /// let signature = keys.sign(&secret, 1_700_000_000, Some(1_700_003_600));
    ///
    /// let config = TrackKeysConfig { hmac_secret_key: secret, ..TrackKeysConfig::default() };
    /// let verifier = TrackVerifier::new(&config).ok_or("no key")?;
    /// assert_eq!(verifier.verify(&keys, &signature, 1_700_000_060)?, Some(1_700_003_600));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn sign(&self, secret: &Secret, issued_at: i64, expires_at: Option<i64>) -> String {
        let (iat, exp) = (issued_at.to_string(), expires_at.unwrap_or_default().to_string());
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let mac = self.mac(&key, &iat, &exp);
        format!("{iat}:{exp}:{mac}")
    }

    fn mac(&self, key: &hmac::Key, iat: &str, exp: &str) -> String {
        let mut hash = digest::Context::new(&digest::SHA256);
        for (at, name) in self.keys.iter().enumerate() {
            if at > 0 {
                hash.update(b"\0");
            }
            hash.update(name.as_ref().as_bytes());
        }
        let keys = hexadecimal(hash.finish().as_ref());
        let mut mac = hmac::Context::with_key(key);
        for (at, part) in [iat, exp, self.user, self.channel, &keys].into_iter().enumerate() {
            if at > 0 {
                mac.update(b"\0");
            }
            mac.update(part.as_bytes());
        }
        hexadecimal(mac.sign().as_ref())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

impl TrackVerifier {
    /// `None` without a secret.
    #[must_use]
    pub fn new(config: &TrackKeysConfig) -> Option<Self> {
        let key = |secret: &Secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
            (!secret.is_empty()).then_some(key)
        };
        Some(Self {
            current: key(&config.hmac_secret_key)?,
            previous: key(&config.hmac_previous_secret_key),
            previous_valid_until: config.hmac_previous_secret_key_valid_until,
        })
    }

    /// When the right to track these keys ends, seconds since 1970 UTC; `None` for never. It is good for five seconds more.
    ///
    /// # Errors
    ///
    /// See [`TrackSignatureError`].
    pub fn verify<K: AsRef<str>>(
        &self,
        keys: &TrackedKeys<'_, K>,
        signature: &str,
        unix_seconds: i64,
    ) -> Result<Option<i64>, TrackSignatureError> {
        let mut parts = signature.splitn(3, ':');
        let (Some(iat), Some(exp), Some(mac)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(TrackSignatureError::Malformed);
        };
        let seconds = |text: &str| text.parse::<i64>().map_err(|_| TrackSignatureError::Malformed);
        let (issued_at, expires_at) = (seconds(iat)?, seconds(exp)?);
        if expires_at < 0 {
            return Err(TrackSignatureError::Malformed);
        }
        let by = |key: &hmac::Key| {
            let expected = keys.mac(key, iat, exp);
            constant_time::verify_slices_are_equal(expected.as_bytes(), mac.as_bytes()).is_ok()
        };
        if !by(&self.current) {
            let previous = self.previous.as_ref().ok_or(TrackSignatureError::Mismatch)?;
            if self.previous_valid_until > 0 && issued_at > self.previous_valid_until {
                return Err(TrackSignatureError::PreviousKeyOver);
            }
            if !by(previous) {
                return Err(TrackSignatureError::Mismatch);
            }
        }
        if expires_at > 0 && expires_at.saturating_add(GRACE) < unix_seconds {
            return Err(TrackSignatureError::Expired);
        }
        Ok((expires_at > 0).then_some(expires_at))
    }
}

impl fmt::Debug for TrackVerifier {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackVerifier").field("previous", &self.previous.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IAT: i64 = 1_700_000_000;
    const KEYS: TrackedKeys<'_, &str> =
        TrackedKeys { user: "ali", channel: "prices:eu", keys: &["gold", "lead"] };

    fn verifier(previous: &str, valid_until: i64) -> TrackVerifier {
        let config = TrackKeysConfig {
            hmac_secret_key: "current".into(),
            hmac_previous_secret_key: previous.into(),
            hmac_previous_secret_key_valid_until: valid_until,
        };
        TrackVerifier::new(&config).expect("a key")
    }

    #[test]
    fn sp_04_the_signature_is_the_one_that_others_make() {
        // Made by: python3 -c 'import hmac,hashlib; k=hashlib.sha256(b"gold\0lead").hexdigest().encode();
        // print(hmac.new(b"current", b"\0".join([b"1700000000",b"1700003600",b"ali",b"prices:eu",k]),
        // hashlib.sha256).hexdigest())'
        let signature = KEYS.sign(&"current".into(), IAT, Some(IAT + 3600));
        assert_eq!(
            signature,
            concat!(
                "1700000000:1700003600:",
                "f671a794d194f2ea28f04c112f17b8f3962e15f98f8429173a8111c48400da30"
            )
        );
        assert_eq!(verifier("", 0).verify(&KEYS, &signature, IAT), Ok(Some(IAT + 3600)));
        let for_ever = KEYS.sign(&"current".into(), IAT, None);
        assert!(for_ever.starts_with("1700000000:0:"));
        assert_eq!(verifier("", 0).verify(&KEYS, &for_ever, i64::MAX), Ok(None));
    }

    #[test]
    fn hid_42_whatever_is_signed_counts_the_order_of_keys_too() {
        let signature = KEYS.sign(&"current".into(), IAT, None);
        let refused = |keys: &TrackedKeys<'_, &str>, signature: &str| {
            assert_eq!(verifier("", 0).verify(keys, signature, IAT), Err(TrackSignatureError::Mismatch));
        };
        for keys in
            [&["lead", "gold"][..], &["gold"], &["gold", "lead", "lead"], &["goldlead"], &["gold\0lead", ""]]
        {
            refused(&TrackedKeys { keys, ..KEYS }, &signature);
        }
        refused(&TrackedKeys { user: "bob", ..KEYS }, &signature);
        refused(&TrackedKeys { channel: "prices", ..KEYS }, &signature);
        refused(&TrackedKeys { user: "", channel: "ali", ..KEYS }, &signature);
        refused(&KEYS, &signature.replace("1700000000", "1700000001"));
        refused(&KEYS, &signature.replace(":0:", ":1800000000:"));
        refused(&KEYS, &signature.to_uppercase());
        refused(&KEYS, &signature[..signature.len() - 1]);
        refused(&KEYS, &KEYS.sign(&"other".into(), IAT, None));
    }

    #[test]
    fn what_has_another_form_is_refused() {
        let mac = "0".repeat(64);
        for signature in [
            "",
            ":",
            "::",
            "1:2",
            &format!("x:0:{mac}"),
            &format!("1:x:{mac}"),
            &format!("1:-1:{mac}"),
            &format!("1: 0:{mac}"),
            &format!("99999999999999999999:0:{mac}"),
        ] {
            assert_eq!(
                verifier("", 0).verify(&KEYS, signature, IAT),
                Err(TrackSignatureError::Malformed),
                "{signature}"
            );
        }
    }

    #[test]
    fn sp_04_a_signature_is_good_for_five_seconds_after_it_expired() {
        let signature = KEYS.sign(&"current".into(), IAT, Some(IAT + 60));
        let at = |seconds| verifier("", 0).verify(&KEYS, &signature, IAT + seconds);
        assert_eq!([at(0), at(60), at(65)], [Ok(Some(IAT + 60)); 3]);
        assert_eq!(at(66), Err(TrackSignatureError::Expired));
        let forged = KEYS.sign(&"other".into(), IAT, Some(IAT + 60));
        let late = verifier("", 0).verify(&KEYS, &forged, IAT + 100);
        assert_eq!(late, Err(TrackSignatureError::Mismatch), "who forges does not learn when");
    }

    #[test]
    fn sp_05_the_previous_secret_counts_for_what_it_signed_in_time() {
        let signature = KEYS.sign(&"previous".into(), IAT, None);
        let at = |valid_until| verifier("previous", valid_until).verify(&KEYS, &signature, IAT + 1_000_000);
        assert_eq!([at(0), at(IAT), at(IAT + 1)], [Ok(None); 3]);
        assert_eq!(at(IAT - 1), Err(TrackSignatureError::PreviousKeyOver));
        let current = KEYS.sign(&"current".into(), IAT, None);
        assert_eq!(verifier("previous", 1).verify(&KEYS, &current, IAT), Ok(None));
        let other = KEYS.sign(&"other".into(), IAT, None);
        assert_eq!(verifier("previous", 0).verify(&KEYS, &other, IAT), Err(TrackSignatureError::Mismatch));
    }

    #[test]
    fn without_a_secret_there_is_nothing_to_verify_with() {
        assert!(TrackVerifier::new(&TrackKeysConfig::default()).is_none());
        assert!(!format!("{:?}", verifier("planted", 0)).contains("planted"));
    }
}
