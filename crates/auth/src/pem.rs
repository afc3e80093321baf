//! Public keys as PEM texts (RFC 7468) of the kinds that OpenSSL and its like write.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::key::KeyError;

/// The DER form of a public key, either `SubjectPublicKeyInfo` or PKCS #1.
pub(crate) fn public_key(pem: &str) -> Result<Vec<u8>, KeyError> {
    let (label, der) = block(pem)?;
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => Ok(der),
        "CERTIFICATE" => certificate_key(&der).map(<[u8]>::to_vec).ok_or(KeyError::Malformed),
        // Whoever pastes it here gives away what only the issuer of tokens should have.
        label if label.ends_with("PRIVATE KEY") => Err(KeyError::Private),
        _ => Err(KeyError::Label),
    }
}

/// The first block of a PEM text: its label and content.
fn block(pem: &str) -> Result<(&str, Vec<u8>), KeyError> {
    let (_, rest) = pem.split_once("-----BEGIN ").ok_or(KeyError::NotPem)?;
    let (label, rest) = rest.split_once("-----").ok_or(KeyError::NotPem)?;
    let (body, end) = rest.split_once("-----END ").ok_or(KeyError::NotPem)?;
    if !end.strip_prefix(label).is_some_and(|end| end.starts_with("-----")) {
        return Err(KeyError::NotPem);
    }
    // Variables of the environment often have `\n` written out.
    let base64: String = body.replace("\\n", "\n").split_ascii_whitespace().collect();
    let der = STANDARD.decode(base64).map_err(|_| KeyError::NotPem)?;
    Ok((label, der))
}

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
/// The explicit tag 0, with which a certificate's version begins.
const VERSION: u8 = 0xa0;

/// The `SubjectPublicKeyInfo` of a certificate (RFC 5280 section 4.1). Nothing else in it is looked at: its
/// signature and validity are for whoever configures it to judge, as in Centrifugo.
fn certificate_key(der: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) =
        element(certificate.content, SEQUENCE).map(|(signed, rest)| (signed.content, rest))?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest, VERSION)?.1;
    }
    rest = element(rest, INTEGER)?.1;
    // Algorithm, issuer, validity, subject.
    for _ in 0..4 {
        rest = element(rest, SEQUENCE)?.1;
    }
    element(rest, SEQUENCE).map(|(key, _)| key.whole)
}

/// One element of a DER text.
struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
}

/// Takes an element of a kind off the front, and gives what follows it.
fn element(der: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Keys and certificates are smaller than 2^24 bytes.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    let whole = der.get(..der.len() - rest.len())?;
    (found == tag).then_some((Element { whole, content }, rest))
}
