//! Who is let in, and what is told by the status of calls.

use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::support::{Api, SERVICE, block_on, start};
use crate::wire::{InfoRequest, InfoResponse, PublishRequest, PublishResponse};

async fn info(api: &Api, metadata: &[(&'static str, &str)]) -> Result<InfoResponse, Status> {
    let mut request = Request::new(InfoRequest {});
    for (name, value) in metadata {
        request.metadata_mut().append(*name, value.parse().expect("a value"));
    }
    api.send(&format!("/{SERVICE}/Info"), request).await
}

/// API-08, HID-82.
#[test]
fn without_a_key_everybody_may_call() {
    block_on(async {
        let api = start(|_| {}).await;
        assert!(info(&api, &[]).await.is_ok());
        assert!(info(&api, &[("authorization", "whatever")]).await.is_ok());
    });
}

/// API-07.
#[test]
fn a_key_must_be_shown_to_the_letter() {
    block_on(async {
        let api = start(|config| "a key".clone_into(&mut config.key)).await;
        assert!(info(&api, &[("authorization", "apikey a key")]).await.is_ok());
        for metadata in [
            &[][..],
            &[("authorization", "apikey another")],
            &[("authorization", "apikey a ke")],
            &[("authorization", "apikey a key2")],
            &[("authorization", "a key")],
            &[("authorization", "Apikey a key")],
            &[("authorization", "apikey  a key")],
            &[("authorization", "apikey ")],
            &[("x-api-key", "a key")],
            &[("authorization", "wrong"), ("authorization", "apikey a key")],
        ] {
            let refused = info(&api, metadata).await.expect_err("refused");
            assert_eq!(refused.code(), Code::Unauthenticated, "{metadata:?}");
        }
    });
}

/// API-05.
#[test]
fn errors_are_told_by_the_status_if_the_configuration_or_the_call_says_so() {
    block_on(async {
        for (configured, metadata, by_status) in [
            (false, None, false),
            (false, Some("transport"), true),
            (false, Some("other"), false),
            (true, None, true),
        ] {
            let api = start(|config| config.transport_errors = configured).await;
            let publish = PublishRequest {
                channel: "nowhere:a".to_owned(),
                data: b"1".to_vec().into(),
                ..PublishRequest::default()
            };
            let mut request = Request::new(publish);
            if let Some(mode) = metadata {
                request.metadata_mut().insert("x-centrifugo-error-mode", MetadataValue::from_static(mode));
            }
            let answer = api.send::<_, PublishResponse>(&format!("/{SERVICE}/Publish"), request).await;
            if by_status {
                let status = answer.expect_err("a status");
                assert_eq!((status.code(), status.message()), (Code::NotFound, "unknown channel"));
                assert!(!status.details().is_empty());
            } else {
                assert_eq!(answer.expect("a message").error.map(|error| error.code), Some(102));
            }
        }
    });
}

#[test]
fn what_is_no_call_of_a_method_is_told_so() {
    block_on(async {
        let api = start(|config| config.max_receive_message_size = 100).await;
        for path in ["/centrifugal.centrifugo.api.CentrifugoApi/DeviceList", "/other.Service/Info", "/"] {
            let refused = api.send::<_, InfoResponse>(path, Request::new(InfoRequest {})).await;
            assert_eq!(refused.expect_err("refused").code(), Code::Unimplemented, "{path}");
        }
        let sized = |size| PublishRequest { channel: "x".repeat(size), ..PublishRequest::default() };
        // Two bytes are around it.
        let fits = sized(98);
        assert_eq!(fits.encoded_len(), 100);
        let path = format!("/{SERVICE}/Publish");
        assert!(api.send::<_, PublishResponse>(&path, Request::new(fits)).await.is_ok());
        let refused = api.send::<_, PublishResponse>(&path, Request::new(sized(99))).await;
        assert_eq!(refused.expect_err("refused").code(), Code::ResourceExhausted);
        // A field of InfoRequest that is none of PublishRequest: `channel` as a number.
        let odd = Odd { channel: 7 };
        let refused = api.send::<_, PublishResponse>(&path, Request::new(odd)).await;
        assert_eq!(refused.expect_err("refused").code(), Code::Internal);
    });
}

#[derive(Clone, PartialEq, Message)]
struct Odd {
    #[prost(uint32, tag = "1")]
    channel: u32,
}

/// `grpc_api.reflection`.
#[test]
fn the_schema_is_told_to_those_who_may_call_if_it_is_to_be() {
    block_on(async {
        for (reflection, key, code) in [
            (false, "", Some(Code::Unimplemented)),
            (true, "a key", Some(Code::Unauthenticated)),
            (true, "", None),
        ] {
            let api = start(|config| {
                config.reflection = reflection;
                key.clone_into(&mut config.key);
            })
            .await;
            let ask = |what| ServerReflectionRequest { host: String::new(), message_request: Some(what) };
            let asked = [
                ask(MessageRequest::ListServices(String::new())),
                ask(MessageRequest::FileContainingSymbol(SERVICE.to_owned())),
            ];
            let mut client = ServerReflectionClient::new(api.channel.clone());
            let answers = client.server_reflection_info(futures_util::stream::iter(asked)).await;
            let mut answers = match (answers, code) {
                (Ok(answers), None) => answers.into_inner(),
                (answers, code) => {
                    assert_eq!(answers.err().map(|status| status.code()), code);
                    continue;
                }
            };
            let mut answer = async || -> Option<MessageResponse> {
                let answer: Option<ServerReflectionResponse> = answers.message().await.expect("an answer");
                answer.and_then(|answer| answer.message_response)
            };
            let Some(MessageResponse::ListServicesResponse(list)) = answer().await else { panic!("no list") };
            assert!(list.service.iter().any(|service| service.name == SERVICE), "{list:?}");
            let Some(MessageResponse::FileDescriptorResponse(file)) = answer().await else {
                panic!("no file")
            };
            let file = file.file_descriptor_proto.concat();
            assert!(file.windows(14).any(|window| window == b"PublishRequest"));
        }
    });
}
