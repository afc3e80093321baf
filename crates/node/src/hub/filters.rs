//! Filters on tags of one channel's subscribers. Those who have the same share its evaluation.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use tourbillon_types::{Publication, TagMatcher};

/// A filter of the channel; the default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FilterId(u32);

/// The different filters in use.
#[derive(Debug, Default)]
pub(super) struct Filters {
    filters: Vec<Filter>,
    free: Vec<FilterId>,
    ids: HashMap<Arc<TagMatcher>, FilterId, RandomState>,
    /// Counts publications.
    turn: u64,
}

#[derive(Debug)]
struct Filter {
    /// `None` when nobody has it any more.
    matcher: Option<Arc<TagMatcher>>,
    users: usize,
    /// The turn that `shows` is about.
    turn: u64,
    shows: bool,
}

impl FilterId {
    pub(super) const fn is_none(self) -> bool {
        self.0 == 0
    }

    fn at(self) -> Option<usize> {
        usize::try_from(self.0).ok()?.checked_sub(1)
    }
}

impl Filters {
    /// Takes a filter for one more subscriber.
    pub(super) fn add(&mut self, matcher: &Arc<TagMatcher>) -> FilterId {
        if let Some(id) = self.ids.get(matcher).copied() {
            if let Some(filter) = id.at().and_then(|at| self.filters.get_mut(at)) {
                filter.users += 1;
            }
            return id;
        }
        let filter = Filter { matcher: Some(matcher.clone()), users: 1, turn: u64::MAX, shows: false };
        let id = if let Some(id) = self.free.pop() {
            if let Some(place) = id.at().and_then(|at| self.filters.get_mut(at)) {
                *place = filter;
            }
            id
        } else {
            self.filters.push(filter);
            // As many as connections at most.
            FilterId(u32::try_from(self.filters.len()).unwrap_or_default())
        };
        self.ids.insert(matcher.clone(), id);
        id
    }

    /// Gives a filter up for one subscriber.
    pub(super) fn remove(&mut self, id: FilterId) {
        let Some(filter) = id.at().and_then(|at| self.filters.get_mut(at)) else { return };
        filter.users = filter.users.saturating_sub(1);
        if filter.users == 0
            && let Some(matcher) = filter.matcher.take()
        {
            self.ids.remove(&matcher);
            self.free.push(id);
        }
        if self.ids.is_empty() {
            *self = Self { turn: self.turn, ..Self::default() };
        }
    }

    /// Whether nobody has a filter.
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Another publication is asked about from now on.
    pub(super) fn next(&mut self) {
        self.turn += 1;
    }

    /// Whether a filter hides the publication of this turn. Evaluates each filter once a turn, without allocating.
    pub(super) fn hides(&mut self, id: FilterId, publication: &Publication) -> bool {
        let Some(filter) = id.at().and_then(|at| self.filters.get_mut(at)) else { return false };
        if filter.turn != self.turn {
            filter.turn = self.turn;
            let matcher = filter.matcher.as_ref();
            filter.shows = matcher.is_none_or(|matcher| matcher.matches_publication(publication));
        }
        !filter.shows
    }

    /// The filter itself.
    pub(super) fn matcher(&self, id: FilterId) -> Option<Arc<TagMatcher>> {
        self.filters.get(id.at()?)?.matcher.clone()
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_types::{FilterLimits, TagFilter, Tags};

    use super::*;

    fn matcher(value: &str) -> Arc<TagMatcher> {
        let filter = TagFilter {
            key: "a".to_owned(),
            cmp: "eq".to_owned(),
            val: value.to_owned(),
            ..TagFilter::default()
        };
        Arc::new(TagMatcher::new(&filter, FilterLimits::default()).expect("a filter"))
    }

    fn tagged(value: &str) -> Publication {
        let tags = Tags::from([("a".to_owned(), value.to_owned())]);
        Publication { tags: Some(Arc::new(tags)), ..Publication::default() }
    }

    #[test]
    fn equal_filters_are_one_and_are_forgotten_with_their_last_user() {
        let mut filters = Filters::default();
        let (one, same, other) =
            (filters.add(&matcher("1")), filters.add(&matcher("1")), filters.add(&matcher("2")));
        assert_eq!(one, same);
        assert_ne!(one, other);
        for value in ["1", "2", "1"] {
            filters.next();
            for _ in 0..2 {
                assert_eq!(filters.hides(one, &tagged(value)), value != "1");
                assert_eq!(filters.hides(other, &tagged(value)), value != "2");
                assert!(!filters.hides(FilterId::default(), &tagged(value)), "no filter hides nothing");
            }
        }
        filters.remove(one);
        assert!(filters.matcher(one).is_some());
        filters.remove(one);
        assert!(filters.matcher(one).is_none());
        let third = filters.add(&matcher("3"));
        assert_eq!(third, one, "places are used again");
        filters.next();
        assert!(!filters.hides(third, &tagged("3")));
        filters.remove(third);
        filters.remove(other);
        assert_eq!((filters.filters.capacity(), filters.ids.capacity()), (0, 0));
    }
}
