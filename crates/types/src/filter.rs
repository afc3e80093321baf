//! The filter on publication tags that a subscriber may ask for (features.md TF-01, TF-02).

/// A node of a tags filter as the wire carries it. Not checked: validity and evaluation belong to whoever
/// applies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
