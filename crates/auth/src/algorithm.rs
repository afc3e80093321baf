//! The signature algorithms of tokens.

use std::fmt;

macro_rules! algorithms {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $family:ident;)*) => {
        /// A signature algorithm, as a token's header names it (KEY-01, KEY-03, KEY-04, KEY-05).
        ///
        /// Naming an algorithm says nothing about whether a verifier has a key for it. `none` is not among them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Algorithm {
            $($(#[$doc])* $variant,)*
        }

        impl Algorithm {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The algorithm of that exact name (RFC 7518 section 3.1: names are case-sensitive).
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Some(match name {
                    $($name => Self::$variant,)*
                    _ => return None,
                })
            }

            /// The name in a token's header.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The kind of key that the algorithm needs.
            #[must_use]
            pub const fn family(self) -> Family {
                match self {
                    $(Self::$variant => Family::$family,)*
                }
            }
        }
    };
}

algorithms! {
    /// HMAC with SHA-256.
    Hs256 = "HS256", Hmac;
    /// HMAC with SHA-384.
    Hs384 = "HS384", Hmac;
    /// HMAC with SHA-512.
    Hs512 = "HS512", Hmac;
    /// RSA with PKCS #1 v1.5 padding and SHA-256.
    Rs256 = "RS256", Rsa;
    /// RSA with PKCS #1 v1.5 padding and SHA-384.
    Rs384 = "RS384", Rsa;
    /// RSA with PKCS #1 v1.5 padding and SHA-512.
    Rs512 = "RS512", Rsa;
    /// RSA with PSS padding and SHA-256.
    Ps256 = "PS256", Rsa;
    /// RSA with PSS padding and SHA-384.
    Ps384 = "PS384", Rsa;
    /// RSA with PSS padding and SHA-512.
    Ps512 = "PS512", Rsa;
    /// ECDSA on P-256 with SHA-256.
    Es256 = "ES256", Ec;
    /// ECDSA on P-384 with SHA-384.
    Es384 = "ES384", Ec;
    /// ECDSA on P-521 with SHA-512.
    Es512 = "ES512", Ec;
    /// EdDSA on Ed25519; Ed448 is not supported.
    EdDsa = "EdDSA", Okp;
}

/// A kind of key, as key sets have it (`kty`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// A shared secret (`oct`).
    Hmac,
    /// `RSA`
    Rsa,
    /// `EC`
    Ec,
    /// `OKP`
    Okp,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(*algorithm));
        }
        for other in
            ["none", "None", "NONE", "", "hs256", "HS256 ", "HS1", "dir", "EdDsa", "Ed25519", "ES256K"]
        {
            assert_eq!(Algorithm::from_name(other), None, "{other}");
        }
    }
}
