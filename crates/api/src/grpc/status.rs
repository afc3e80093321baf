//! Errors as the status of a call (API-05).

use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

use super::wire;
use crate::command::ApiError;

/// `google.rpc.Status`, which is what details of a status are in.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// The status that tells an error, which is among its details.
pub(super) fn of(error: &ApiError) -> Status {
    let code = code_of(error.code);
    let detail = Detail {
        type_url: "type.googleapis.com/centrifugal.centrifugo.api.Error".to_owned(),
        value: wire::Error::from(error.clone()).encode_to_vec().into(),
    };
    let message = error.message.to_string();
    let details = Details { code: code as i32, message: message.clone(), details: vec![detail] };
    Status::with_details(code, message, details.encode_to_vec().into())
}

const fn code_of(code: u32) -> Code {
    match code {
        102 | 104 => Code::NotFound,
        107 | 108 => Code::InvalidArgument,
        112 => Code::OutOfRange,
        113 => Code::AlreadyExists,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// API-05.
    #[test]
    fn every_error_has_its_status_and_is_among_its_details() {
        for (error, code) in [
            (ApiError::INTERNAL, Code::Internal),
            (ApiError::UNKNOWN_CHANNEL, Code::NotFound),
            (ApiError::NOT_FOUND, Code::NotFound),
            (ApiError::BAD_REQUEST, Code::InvalidArgument),
            (ApiError::NOT_AVAILABLE, Code::InvalidArgument),
            (ApiError::UNRECOVERABLE_POSITION, Code::OutOfRange),
            (ApiError::CONFLICT, Code::AlreadyExists),
        ] {
            let status = of(&error);
            assert_eq!((status.code(), status.message()), (code, &*error.message));
            let mut details = Details::decode(status.details()).expect("google.rpc.Status");
            assert_eq!(details.code, code as i32);
            let detail = details.details.pop().expect("a detail");
            assert!(detail.type_url.ends_with("/centrifugal.centrifugo.api.Error"));
            let told = wire::Error::decode(detail.value).expect("an error");
            assert_eq!((told.code, &*told.message), (error.code, &*error.message));
        }
    }
}
