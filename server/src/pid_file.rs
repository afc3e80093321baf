//! The file that says which process the server is.

use std::io;
use std::path::{Path, PathBuf};

/// A file with the id of this process. Gone with the value, unless it is another's by then.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    text: String,
}

impl PidFile {
    /// Writes it, over what is there. Whoever may fail to start, a second server by mistake, does so before: the file is
    /// that of the one which runs.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn write(path: &Path) -> io::Result<Self> {
        let text = format!("{}\n", std::process::id());
        std::fs::write(path, &text)?;
        Ok(Self { path: path.to_owned(), text })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if std::fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
