//! The filter on publication tags that a subscriber may ask for (TF-01, TF-02).
//!
//! [`TagFilter`] is what somebody asks for, in the words of the wire. [`TagMatcher`] is made of it once, when it is
//! valid, and then tells for each publication whether it is wanted.
//!
//! ```
//! use tourbillon_types::{FilterLimits, TagFilter, TagMatcher, Tags};
//!
//! let leaf = |key: &str, cmp: &str, val: &str| TagFilter {
//!     key: key.to_owned(),
//!     cmp: cmp.to_owned(),
//!     val: val.to_owned(),
//!     ..TagFilter::default()
//! };
//! let filter = TagFilter {
//!     op: "and".to_owned(),
//!     nodes: vec![leaf("ticker", "sw", "AA"), leaf("price", "gte", "100.5")],
//!     ..TagFilter::default()
//! };
//! let matcher = TagMatcher::new(&filter, FilterLimits::default())?;
//!
//! let tags = |price: &str| Tags::from([("ticker", "AAPL"), ("price", price)].map(|(k, v)| (k.into(), v.into())));
//! assert!(matcher.matches(&tags("1000")));
//! assert!(!matcher.matches(&tags("99")));
//! # Ok::<(), tourbillon_types::FilterError>(())
//! ```

mod check;
mod matcher;
mod number;
mod read;

pub use check::{FilterError, FilterLimits, FilterProblem};
pub use matcher::TagMatcher;

/// A node of a tags filter as the wire carries it. Not checked: [`TagMatcher::new`] does that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TagFilter {
    /// Empty for a comparison; `and`, `or` or `not` for a combination of `nodes`.
    pub op: String,
    /// The tag compared.
    pub key: String,
    /// The comparison: `eq`, `neq`, `in`, `nin`, `ex`, `nex`, `sw`, `ew`, `ct`, `gt`, `gte`, `lt` or `lte`.
    pub cmp: String,
    /// What the tag is compared with.
    pub val: String,
    /// The set that `in` and `nin` compare with.
    pub vals: Vec<String>,
    /// What `op` combines.
    pub nodes: Vec<Self>,
}
