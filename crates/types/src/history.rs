//! What a channel's stream keeps, and how it is asked for it.

use std::sync::Arc;
use std::time::Duration;

use crate::{Publication, ReplyError, StreamPosition};

/// How long a channel's stream keeps what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPolicy {
    /// The most publications kept; at least 1.
    pub size: usize,
    /// How long after the last publication the stream is kept.
    pub ttl: Duration,
    /// How long offset and epoch are kept after the last use; at least `ttl`.
    pub meta_ttl: Duration,
}

impl HistoryPolicy {
    /// Whether a stream under this policy keeps anything at all. Without a size or a time it keeps nothing.
    #[must_use]
    pub const fn keeps(&self) -> bool {
        self.size > 0 && !self.ttl.is_zero()
    }
}

/// A question to a channel's stream (CMD-10, API-28). `Default` asks for everything, oldest first.
///
/// ```
/// use tourbillon_types::{HistoryQuery, StreamPosition};
///
/// let seen = StreamPosition { offset: 7, ..StreamPosition::default() };
/// let next = HistoryQuery::since(seen).limited(10);
/// assert_eq!((next.limit, next.reverse), (Some(10), false));
/// assert!(next.check().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Only publications after this place, or before it when `reverse`. An unknown epoch is any.
    pub since: Option<StreamPosition>,
    /// The most publications wanted; 0 asks for the position only, `None` for all there are.
    pub limit: Option<usize>,
    /// Newest first.
    pub reverse: bool,
}

impl HistoryQuery {
    /// What a client asks (HID-72): 0 for the position only, and never more than `most`
    /// (`client.history_max_publication_limit`), which is also what a negative limit means.
    #[must_use]
    pub fn of_client(since: Option<StreamPosition>, limit: i32, reverse: bool, most: usize) -> Self {
        let limit = usize::try_from(limit).map_or(most, |limit| limit.min(most));
        Self { since, limit: Some(limit), reverse }
    }

    /// What the server API asks (API-28): 0 for the position only, and everything when the limit is negative.
    #[must_use]
    pub fn of_api(since: Option<StreamPosition>, limit: i32, reverse: bool) -> Self {
        Self { since, limit: usize::try_from(limit).ok(), reverse }
    }

    /// Asks where the stream stands and for nothing else.
    #[must_use]
    pub const fn position() -> Self {
        Self { since: None, limit: Some(0), reverse: false }
    }

    /// Asks for the newest publications, newest first.
    #[must_use]
    pub const fn latest(limit: usize) -> Self {
        Self { since: None, limit: Some(limit), reverse: true }
    }

    /// Asks for what came after a place.
    #[must_use]
    pub const fn since(position: StreamPosition) -> Self {
        Self { since: Some(position), limit: None, reverse: false }
    }

    /// The same question for at most so many publications.
    #[must_use]
    pub fn limited(self, limit: usize) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// The same question, newest first.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { reverse: true, ..self }
    }

    /// Whether the question makes sense.
    ///
    /// # Errors
    ///
    /// 107 when it goes back from the beginning (HID-73).
    pub fn check(&self) -> Result<(), ReplyError> {
        let from_the_beginning = self.since.as_ref().is_some_and(|since| since.offset == 0);
        if self.reverse && from_the_beginning { Err(ReplyError::BAD_REQUEST) } else { Ok(()) }
    }

    /// Whether the place asked about is of the stream that stands at `top`.
    ///
    /// # Errors
    ///
    /// 112 when it is of another epoch (API-28).
    pub fn check_epoch(&self, top: &StreamPosition) -> Result<(), ReplyError> {
        match &self.since {
            Some(since) if !since.epoch.is_unknown() && since.epoch != top.epoch => {
                Err(ReplyError::UNRECOVERABLE_POSITION)
            }
            _ => Ok(()),
        }
    }
}

/// The answer to a [`HistoryQuery`]: what the stream still keeps of what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The publications, in the order asked for. None when the place asked about is of another epoch.
    pub publications: Vec<Arc<Publication>>,
    /// Where the stream stands: its last offset and its epoch.
    pub position: StreamPosition,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Epoch;

    fn at(offset: u64, epoch: &str) -> StreamPosition {
        StreamPosition { offset, epoch: Epoch::from(epoch) }
    }

    #[test]
    fn going_back_from_the_beginning_is_refused() {
        assert_eq!(HistoryQuery::since(at(0, "a")).reversed().check(), Err(ReplyError::BAD_REQUEST));
        for fine in [
            HistoryQuery::since(at(0, "a")),
            HistoryQuery::since(at(1, "a")).reversed(),
            HistoryQuery::latest(1),
            HistoryQuery::position(),
        ] {
            assert_eq!(fine.check(), Ok(()), "{fine:?}");
        }
    }

    #[test]
    fn another_epoch_is_told_and_an_unknown_one_is_any() {
        let top = at(5, "a");
        assert_eq!(
            HistoryQuery::since(at(5, "b")).check_epoch(&top),
            Err(ReplyError::UNRECOVERABLE_POSITION)
        );
        for fine in [HistoryQuery::since(at(9, "a")), HistoryQuery::since(at(5, "")), HistoryQuery::latest(1)]
        {
            assert_eq!(fine.check_epoch(&top), Ok(()), "{fine:?}");
        }
    }

    #[test]
    fn limits_of_clients_have_a_limit_and_those_of_the_api_have_none() {
        for (limit, of_client, of_api) in [
            (0, Some(0), Some(0)),
            (7, Some(7), Some(7)),
            (301, Some(300), Some(301)),
            (-1, Some(300), None),
            (i32::MIN, Some(300), None),
        ] {
            assert_eq!(HistoryQuery::of_client(None, limit, true, 300).limit, of_client, "{limit}");
            assert_eq!(HistoryQuery::of_api(Some(at(1, "a")), limit, false).limit, of_api, "{limit}");
        }
    }

    #[test]
    fn a_policy_needs_size_and_time() {
        let policy = HistoryPolicy { size: 1, ttl: Duration::from_secs(1), meta_ttl: Duration::ZERO };
        assert!(policy.keeps());
        assert!(!HistoryPolicy { size: 0, ..policy }.keeps());
        assert!(!HistoryPolicy { ttl: Duration::ZERO, ..policy }.keeps());
    }
}
