//! Names that nodes keep together until a time.

/// A name that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The name.
    pub name: String,
    /// Until when, in seconds since 1970 UTC; `None` for ever.
    pub until: Option<i64>,
    /// What goes with it; zero for nothing. From 0 to 2^53.
    pub number: i64,
}

impl Record {
    /// A record.
    #[must_use]
    pub const fn new(name: String, until: Option<i64>, number: i64) -> Self {
        Self { name, until, number }
    }
}

/// Which state of the records it is: another after each change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordsVersion {
    /// Another where what keeps them has forgotten all it knew; empty where nothing was ever kept.
    pub life: String,
    /// How many changes there were.
    pub number: u64,
}

impl RecordsVersion {
    /// A state.
    #[must_use]
    pub const fn new(life: String, number: u64) -> Self {
        Self { life, number }
    }
}
