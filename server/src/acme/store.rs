//! Certificates and the account in a folder, so that a restart needs neither anew.
//!
//! A certificate is in a file of its host's name: the key and then the chain, in PEM, as Go's `autocert` has it, whose
//! files are taken over by that.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The account's file, of a name that is no host's.
const ACCOUNT: &str = "account+tourbillon.json";

/// The folder, if there is one.
#[derive(Clone, Debug)]
pub(super) struct Store(Option<PathBuf>);

impl Store {
    pub(super) const fn new(folder: Option<PathBuf>) -> Self {
        Self(folder)
    }

    /// The key and the certificates of a host.
    pub(super) fn certificate(&self, host: &str) -> Option<Vec<u8>> {
        self.read(host)
    }

    pub(super) fn keep_certificate(&self, host: &str, pem: &str) {
        self.write(host, pem.as_bytes());
    }

    pub(super) fn account(&self) -> Option<Vec<u8>> {
        self.read(ACCOUNT)
    }

    pub(super) fn keep_account(&self, credentials: &[u8]) {
        self.write(ACCOUNT, credentials);
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.0.as_ref()?.join(name);
        match fs::read(&path) {
            Ok(content) => Some(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "http_server.tls_autocert.cache_dir: not read");
                None
            }
        }
    }

    /// What cannot be kept is got anew after a restart.
    fn write(&self, name: &str, content: &[u8]) {
        let Some(folder) = &self.0 else { return };
        let path = folder.join(name);
        let unfinished = folder.join(format!("{name}.new"));
        let written = fs::create_dir_all(folder).and_then(|()| {
            // Keys are nobody else's business.
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)
        });
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "http_server.tls_autocert.cache_dir: not written");
        }
    }
}
