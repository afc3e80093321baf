//! Options as a file of a test's own, environment and flags would give them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use expect_test::Expect;
use tourbillon_config::{Given, Loaded, Settings, load};

/// What a test gives; its file is gone with the value.
pub(crate) struct Sources {
    pub(crate) given: Given,
    file: PathBuf,
}

impl Sources {
    pub(crate) fn file(extension: &str, text: &str) -> Self {
        static LAST: AtomicUsize = AtomicUsize::new(0);

        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("tourbillon-config-{}-{number}.{extension}", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, text).expect("written");
        Self { given: Given { file: Some(file.clone()), ..Given::default() }, file }
    }

    pub(crate) fn json(text: &str) -> Self {
        Self::file("json", text)
    }

    pub(crate) fn variables(mut self, variables: &[(&str, &str)]) -> Self {
        self.given.variables.extend(pairs(variables));
        self
    }

    pub(crate) fn flags(mut self, flags: &[(&str, &str)]) -> Self {
        self.given.flags.extend(pairs(flags));
        self
    }

    pub(crate) fn lenient(mut self, lenient: bool) -> Self {
        self.given.lenient = lenient;
        self
    }

    /// What is loaded, and checked; or what is wrong, a line each, without the name of the file.
    pub(crate) fn read(&self) -> Result<Loaded, String> {
        let checked = load(&self.given).and_then(|loaded| Settings::new(&loaded.options).map(|_| loaded));
        checked.map_err(|errors| {
            let lines = tourbillon_config::lines(&errors).replace("\nerror: ", "\n");
            lines.replace(&self.file.display().to_string(), "FILE")
        })
    }

    pub(crate) fn taken(&self) -> Loaded {
        self.read().unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[expect(clippy::needless_pass_by_value, reason = "expectations are made where they are used")]
    pub(crate) fn refused(&self, expected: Expect) {
        expected.assert_eq(&self.read().err().unwrap_or_default());
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn pairs(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
}
