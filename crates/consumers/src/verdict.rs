//! What the API's answer means for a message (CONS-04).

use tourbillon_api::{ApiError, ApiReply};

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is done.
    Done,
    /// It is done as far as it can be: trying again would not help.
    Refused(ApiError),
    /// It is to be tried again.
    Again(ApiError),
}

/// Whether a command may succeed later.
fn is_passing(error: &ApiError) -> bool {
    error.code == ApiError::INTERNAL.code
}

/// Only what the server itself failed at is tried again, and a broadcast whole if that is so for one of its channels.
pub(crate) fn judge(answer: Result<ApiReply, ApiError>) -> Verdict {
    let failures = match answer {
        Err(error) => vec![error],
        Ok(ApiReply::Broadcast(parts)) => parts.into_iter().filter_map(Result::err).collect(),
        Ok(_) => Vec::new(),
    };
    let mut refused = None;
    for error in failures {
        if is_passing(&error) {
            return Verdict::Again(error);
        }
        refused.get_or_insert(error);
    }
    refused.map_or(Verdict::Done, Verdict::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cons_04_only_internal_errors_are_tried_again() {
        assert_eq!(judge(Ok(ApiReply::Disconnect)), Verdict::Done);
        assert_eq!(judge(Err(ApiError::INTERNAL)), Verdict::Again(ApiError::INTERNAL));
        for error in [
            ApiError::UNKNOWN_CHANNEL,
            ApiError::NOT_FOUND,
            ApiError::LIMIT_EXCEEDED,
            ApiError::BAD_REQUEST,
            ApiError::NOT_AVAILABLE,
            ApiError::UNRECOVERABLE_POSITION,
            ApiError::CONFLICT,
        ] {
            assert_eq!(judge(Err(error.clone())), Verdict::Refused(error));
        }
    }

    #[test]
    fn cons_04_a_broadcast_is_tried_again_if_one_channel_failed_with_an_internal_error() {
        let bad = || Err(ApiError::BAD_REQUEST);
        let of = |parts| judge(Ok(ApiReply::Broadcast(parts)));
        assert_eq!(of(vec![bad(), Err(ApiError::INTERNAL), bad()]), Verdict::Again(ApiError::INTERNAL));
        assert_eq!(of(vec![bad()]), Verdict::Refused(ApiError::BAD_REQUEST));
        assert_eq!(of(Vec::new()), Verdict::Done);
    }
}
