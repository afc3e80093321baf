//! What a waiting message belongs to, so that it can be found again in a queue.

/// Names the messages of one source in a [`MessageQueue`](crate::MessageQueue), such as the publications of a channel
/// of which a connection may miss some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane(u32);

impl Lane {
    /// No lane: the message stays until it is written.
    pub const NONE: Self = Self(0);

    /// The largest number of a lane.
    pub const MAX: u32 = u32::MAX >> 1;

    /// A lane whose messages are dropped for others' sake when a queue is full, if `droppable`. Numbers are 1 to
    /// [`MAX`](Self::MAX); others are brought into that range.
    #[must_use]
    pub fn new(number: u32, droppable: bool) -> Self {
        Self(number.clamp(1, Self::MAX) << 1 | u32::from(droppable))
    }

    /// Whether a full queue may drop its messages.
    #[must_use]
    pub const fn is_droppable(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether both have one number, droppable or not. No lane is the same as none.
    #[must_use]
    pub const fn is_same(self, other: Self) -> bool {
        self.0 >> 1 == other.0 >> 1 && self.0 > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_told_apart_by_their_numbers() {
        let (stays, drops) = (Lane::new(7, false), Lane::new(7, true));
        assert!(stays.is_same(drops) && !stays.is_same(Lane::new(8, false)));
        assert!(drops.is_droppable() && !stays.is_droppable());
        assert!(!Lane::NONE.is_same(Lane::NONE) && !Lane::NONE.is_droppable());
        assert!(!Lane::new(0, true).is_same(Lane::NONE));
        assert!(!Lane::new(u32::MAX, false).is_same(Lane::new(1, false)));
    }
}
