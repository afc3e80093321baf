//! Where PEM comes from: the option's value itself, base64 of it, or a file, tried in this order.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Every block begins so.
const BEGIN: &str = "-----BEGIN ";

/// The longest text that is taken for the path of a file, in bytes.
const LONGEST_PATH: usize = 4096;

/// Why there is no PEM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PemError {
    /// It is none of the three. What it is instead is not told: it may be half of a key.
    #[error("is neither PEM, nor base64 of PEM, nor the path of a file that is there")]
    None,
    /// There is a file, which cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// There is a file, and no PEM in it.
    #[error("there is no PEM in the file")]
    NoPem,
}

/// The PEM that an option's value stands for.
pub(crate) fn read(value: &str) -> Result<Vec<u8>, PemError> {
    if value.contains(BEGIN) {
        return Ok(value.as_bytes().to_vec());
    }
    if let Some(decoded) = decoded(value) {
        return Ok(decoded);
    }
    let Some(path) = file(value) else { return Err(PemError::None) };
    let content = std::fs::read(path).map_err(|error| PemError::Unreadable(error.to_string()))?;
    if contains_pem(&content) { Ok(content) } else { Err(PemError::NoPem) }
}

/// The file that a value names, if it does.
pub(crate) fn file(value: &str) -> Option<&Path> {
    let named = value.len() <= LONGEST_PATH && !value.contains(BEGIN) && !value.contains('\n');
    named.then(|| Path::new(value)).filter(|path| path.exists())
}

fn decoded(value: &str) -> Option<Vec<u8>> {
    // Tools break base64 into lines.
    let text: String = value.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok().filter(|decoded| contains_pem(decoded))
}

fn contains_pem(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    #[test]
    fn text_base64_and_files_are_taken_and_nothing_else() {
        let file = std::env::temp_dir().join(format!("tourbillon-pem-{}", std::process::id()));
        let path = file.to_str().expect("a path");
        assert_eq!(read(PEM), Ok(PEM.as_bytes().to_vec()));
        let lines = STANDARD.encode(PEM).chars().collect::<Vec<_>>();
        let lines: Vec<String> = lines.chunks(20).map(|line| line.iter().collect()).collect();
        for base64 in [lines.concat(), lines.join("\n"), format!("{}\n", lines.join("\r\n"))] {
            assert_eq!(read(&base64), Ok(PEM.as_bytes().to_vec()), "{base64}");
        }
        std::fs::write(&file, PEM).expect("written");
        assert_eq!(read(path), Ok(PEM.as_bytes().to_vec()));
        std::fs::write(&file, "no PEM").expect("written");
        assert_eq!(read(path), Err(PemError::NoPem));
        std::fs::remove_file(&file).expect("removed");
        for wrong in [path, "", "nonsense", &STANDARD.encode("no PEM"), "a\nb", &"x".repeat(100_000)] {
            assert_eq!(read(wrong), Err(PemError::None));
        }
        let folder = std::env::temp_dir();
        assert!(matches!(read(folder.to_str().expect("a path")), Err(PemError::Unreadable(_))));
    }
}
