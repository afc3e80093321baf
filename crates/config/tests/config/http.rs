//! The endpoints of connections over plain HTTP.

use expect_test::{Expect, expect};

use crate::harness::Sources;

const TRANSFORMS: &str =
    r#"[{"code":109,"to":{"status_code":401}},{"code":4001,"to":{"status_code":404,"body":"no"}}]"#;

#[test]
fn transforms_come_from_a_file_or_a_variable() {
    let file = format!(
        r#"{{"uni_sse":{{"connect_code_to_http_response":{{"enabled":true,"transforms":{TRANSFORMS}}}}}}}"#
    );
    let variable = "CENTRIFUGO_UNI_SSE_CONNECT_CODE_TO_HTTP_RESPONSE_TRANSFORMS";
    for sources in [Sources::json(&file), Sources::json("{}").variables(&[(variable, TRANSFORMS)])] {
        let options = sources.taken().options.uni_sse.connect_code_to_http_response;
        let [first, second] = &options.transforms[..] else { panic!("{options:?}") };
        assert_eq!((first.code, first.to.status_code, &*first.to.body), (109, 401, ""));
        assert_eq!((second.code, second.to.status_code, &*second.to.body), (4001, 404, "no"));
    }
}

#[test]
fn what_makes_no_sense_is_named() {
    let of = |option: &str, value: &str| format!(r#"{{"uni_http_stream":{{"{option}":{value}}}}}"#);
    let transforms = |element: &str| {
        of("connect_code_to_http_response", &format!(r#"{{"enabled":true,"transforms":[{element}]}}"#))
    };
    let cases: [(String, Expect); 7] = [
        (
            of("handler_prefix", r#""stream""#),
            expect![[r#"uni_http_stream.handler_prefix: "stream" must begin with a slash"#]],
        ),
        (
            of("max_request_body_size", "-1"),
            expect!["uni_http_stream.max_request_body_size: invalid value: integer `-1`, expected usize"],
        ),
        (
            transforms(r#"{"code":0,"to":{"status_code":400}}"#),
            expect!["uni_http_stream.connect_code_to_http_response.transforms[0].code: must be set"],
        ),
        (
            transforms(r#"{"code":5,"to":{"body":"x"}}"#),
            expect![
                "uni_http_stream.connect_code_to_http_response.transforms[0].to.status_code: must be an HTTP status, 200 to 999"
            ],
        ),
        (
            transforms(r#"{"code":5,"to":{"status_code":101}}"#),
            expect![
                "uni_http_stream.connect_code_to_http_response.transforms[0].to.status_code: must be an HTTP status, 200 to 999"
            ],
        ),
        (
            transforms(r#"{"code":5,"to":{"status":400}}"#),
            expect![
                "uni_http_stream.connect_code_to_http_response.transforms[0].to.status: unknown field `status`, expected `status_code` or `body`"
            ],
        ),
        (
            transforms(r#"{"code":"five"}"#),
            expect![[
                r#"uni_http_stream.connect_code_to_http_response.transforms[0].code: invalid type: string "five", expected u32"#
            ]],
        ),
    ];
    for (text, expected) in cases {
        Sources::json(&text).refused(expected);
    }
}

/// A command may be as large as the largest body that brings one.
#[test]
fn the_largest_body_bounds_commands() {
    let large = r#"{"enabled":true,"max_request_body_size":1000000}"#;
    for (text, limit) in [
        ("{}".to_owned(), 65_536),
        (format!(r#"{{"http_stream":{large}}}"#), 1_000_000),
        (format!(r#"{{"uni_sse":{large}}}"#), 1_000_064),
        (format!(r#"{{"sse":{}}}"#, large.replace("true", "false")), 65_536),
    ] {
        let loaded = Sources::json(&text).taken();
        let settings = tourbillon_config::Settings::new(&loaded.options).expect("sound");
        assert_eq!(settings.node.message_size_limit, limit, "{text}");
    }
}
