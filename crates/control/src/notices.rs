//! What programs of nodes tell each other (CTL-06).

use bytes::Bytes;
use prost::Message as _;

use crate::control;

/// The question whether a [`Notice`] was understood.
pub const NOTICE: &str = "notice";

/// Something for the program of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub what: String,
    /// What there is to say.
    pub data: Bytes,
}

impl Notice {
    /// The data of the question.
    #[must_use]
    pub fn encode(self) -> Bytes {
        control::Notice { what: self.what, data: self.data }.encode_to_vec().into()
    }

    /// Reads such data; `None` if it is none.
    #[must_use]
    pub fn decode(bytes: Bytes) -> Option<Self> {
        let control::Notice { what, data } = control::Notice::decode(bytes).ok()?;
        Some(Self { what, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard() {
        let notice = Notice { what: "x".to_owned(), data: Bytes::from_static(b"\0\xff") };
        assert_eq!(Notice::decode(notice.clone().encode()), Some(notice));
        assert_eq!(Notice::decode(Bytes::from_static(b"\xff")), None);
    }
}
