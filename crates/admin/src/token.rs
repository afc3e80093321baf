//! What somebody gets who knew the password: a time, signed (ADM-04, HID-106).

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How long it is good for.
pub(crate) const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What is signed begins with this, so that nothing else that is signed with the secret is a token.
const PURPOSE: &str = "tourbillon admin 1 ";

/// Signs tokens and knows them again, also those of other nodes with the same secret.
pub(crate) struct Tokens(hmac::Key);

impl Tokens {
    pub(crate) fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    pub(crate) fn issue(&self, unix_seconds: i64) -> String {
        let lifetime = i64::try_from(LIFETIME.as_secs()).unwrap_or(i64::MAX);
        let expires = unix_seconds.saturating_add(lifetime);
        let signature = hmac::sign(&self.0, format!("{PURPOSE}{expires}").as_bytes());
        format!("{expires}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub(crate) fn knows(&self, token: &str, unix_seconds: i64) -> bool {
        let Some((expires, signature)) = token.split_once('.') else { return false };
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        let signed = hmac::verify(&self.0, format!("{PURPOSE}{expires}").as_bytes(), &signature).is_ok();
        signed && expires.parse::<i64>().is_ok_and(|expires| unix_seconds < expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_thirty_days_and_for_its_secret() {
        let tokens = Tokens::new("secret");
        let token = tokens.issue(1_000);
        let days = |days: i64| 1_000 + days * 24 * 60 * 60;
        assert!(tokens.knows(&token, 1_000) && tokens.knows(&token, days(30) - 1));
        assert!(!tokens.knows(&token, days(30)), "expired");
        assert!(Tokens::new("secret").knows(&token, 1_000), "as on another node");
        assert!(!Tokens::new("other").knows(&token, 1_000));
        let (expires, signature) = token.split_once('.').expect("two parts");
        let later = format!("{}.{signature}", expires.parse::<i64>().expect("a time") + 1);
        for forged in
            ["", ".", "1", &later, &format!("{expires}."), &format!("{expires}.AAAA"), &format!("+{token}")]
        {
            assert!(!tokens.knows(forged, 1_000), "{forged}");
        }
    }
}
