//! Filters on tags of one channel's subscribers. Those who have the same share their evaluation.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use tourbillon_types::{Publication, TagMatcher};

/// What decides which publications a subscriber gets: those that both match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TagFilters {
    /// What the server lets it have (TF-04); `None` for all.
    pub server: Option<Arc<TagMatcher>>,
    /// What the client wants to have; `None` for all.
    pub client: Option<Arc<TagMatcher>>,
}

impl TagFilters {
    /// Whether there is none.
    pub const fn is_none(&self) -> bool {
        self.server.is_none() && self.client.is_none()
    }

    /// Whether they let a publication pass. Allocates nothing.
    pub fn show(&self, publication: &Publication) -> bool {
        let shows = |filter: &Arc<TagMatcher>| filter.matches_publication(publication);
        self.server.as_ref().is_none_or(shows) && self.client.as_ref().is_none_or(shows)
    }
}

/// The filters of a subscriber; the default are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterId(u32);

/// The different filters in use.
#[derive(Debug, Default)]
pub struct Filters {
    filters: Vec<Filter>,
    free: Vec<FilterId>,
    ids: HashMap<TagFilters, FilterId, RandomState>,
    /// Counts publications.
    turn: u64,
}

#[derive(Debug)]
struct Filter {
    /// None when nobody has them any more.
    filters: TagFilters,
    users: usize,
    /// The turn that `shows` is about.
    turn: u64,
    shows: bool,
}

impl FilterId {
    /// Whether there are none.
    #[must_use]
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    fn at(self) -> Option<usize> {
        usize::try_from(self.0).ok()?.checked_sub(1)
    }
}

impl Filters {
    /// Takes filters for one more subscriber.
    pub fn add(&mut self, filters: &TagFilters) -> FilterId {
        if filters.is_none() {
            return FilterId::default();
        }
        if let Some(id) = self.ids.get(filters).copied() {
            if let Some(filter) = id.at().and_then(|at| self.filters.get_mut(at)) {
                filter.users += 1;
            }
            return id;
        }
        let filter = Filter { filters: filters.clone(), users: 1, turn: u64::MAX, shows: false };
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
        self.ids.insert(filters.clone(), id);
        id
    }

    /// Gives filters up for one subscriber.
    pub fn remove(&mut self, id: FilterId) {
        let Some(filter) = id.at().and_then(|at| self.filters.get_mut(at)) else { return };
        filter.users = filter.users.saturating_sub(1);
        if filter.users == 0 {
            self.ids.remove(&std::mem::take(&mut filter.filters));
            self.free.push(id);
        }
        if self.ids.is_empty() {
            *self = Self { turn: self.turn, ..Self::default() };
        }
    }

    /// Whether nobody has a filter.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Another publication is asked about from now on.
    #[inline]
    pub fn next(&mut self) {
        self.turn += 1;
    }

    /// Whether filters hide the publication of this turn. Evaluates them once a turn, without allocating.
    #[inline]
    pub fn hides(&mut self, id: FilterId, publication: &Publication) -> bool {
        let Some(filter) = id.at().and_then(|at| self.filters.get_mut(at)) else { return false };
        if filter.turn != self.turn {
            filter.turn = self.turn;
            filter.shows = filter.filters.show(publication);
        }
        !filter.shows
    }

    /// The filters themselves.
    pub fn of(&self, id: FilterId) -> TagFilters {
        id.at().and_then(|at| self.filters.get(at)).map(|filter| filter.filters.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_types::{FilterLimits, TagFilter, Tags};

    use super::*;

    fn matcher(value: &str) -> TagFilters {
        let filter = TagFilter {
            key: "a".to_owned(),
            cmp: "eq".to_owned(),
            val: value.to_owned(),
            ..TagFilter::default()
        };
        let matcher = TagMatcher::new(&filter, FilterLimits::default()).expect("a filter");
        TagFilters { server: None, client: Some(Arc::new(matcher)) }
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
        assert!(!filters.of(one).is_none());
        filters.remove(one);
        assert!(filters.of(one).is_none());
        let third = filters.add(&matcher("3"));
        assert_eq!(third, one, "places are used again");
        filters.next();
        assert!(!filters.hides(third, &tagged("3")));
        filters.remove(third);
        filters.remove(other);
        assert_eq!((filters.filters.capacity(), filters.ids.capacity()), (0, 0));
    }
}
