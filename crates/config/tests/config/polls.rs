//! Options of polled channels (OPT-24, SP-01).

use expect_test::{Expect, expect};
use tourbillon::node::hooks::{PollMode, PollRules};
use tourbillon_config::Settings;

use crate::harness::Sources;

fn settings(json: &str) -> Result<Settings, String> {
    let options = Sources::json(json).read()?.options;
    Settings::new(&options).map_err(|errors| tourbillon_config::lines(&errors))
}

#[test]
#[expect(clippy::field_reassign_with_default, reason = "it may get another field")]
fn opt_24_polled_channels_are_as_their_options_say() {
    let settings = settings(
        r#"{"shared_poll":{"hmac_secret_key":"s","concurrency_limit":3},
            "channel":{"proxy":{"shared_poll_refresh":{"endpoint":"http://127.0.0.1:3000/poll","timeout":"40s"}},
                "without_namespace":{"subscription_type":"shared_poll"},
                "namespaces":[{"name":"prices","subscription_type":"shared_poll","shared_poll":{
                    "refresh_interval":"2s","refresh_batch_size":7,"max_keys_per_connection":8,"mode":"versioned",
                    "channel_shutdown_delay":"-1s","track_expired_extra_delay":"4s","publish_enabled":true,
                    "keep_latest_data":true,"backpressure_max_interval":"9s"}}]}}"#,
    );
    let settings = settings.expect("settings");
    assert_eq!(settings.node.shared_poll_concurrency, 3);
    assert_eq!(settings.node.shared_poll_call_timeout.as_secs(), 41, "the proxy's own timeout comes first");
    let rules = |channel| settings.namespaces.channel_options(channel).expect("a channel").poll;
    assert_eq!(rules("a"), Some(PollRules::default()));
    let seconds = std::time::Duration::from_secs;
    let mut expected = PollRules::default();
    expected.mode = PollMode::Versioned;
    expected.refresh_interval = seconds(2);
    expected.refresh_batch_size = 7;
    expected.max_keys_per_connection = 8;
    expected.shutdown_delay = seconds(0);
    expected.track_expired_extra_delay = seconds(4);
    expected.publish_enabled = true;
    expected.keep_latest_data = true;
    expected.backpressure_max_interval = Some(seconds(9));
    assert_eq!(rules("prices:a"), Some(expected));
}

#[test]
fn sp_01_what_polled_channels_lack_is_named() {
    let with = |secret: bool, endpoint: bool, rules: &str| {
        let secret = if secret { "s" } else { "" };
        let endpoint = if endpoint { "http://127.0.0.1:3000" } else { "" };
        settings(&format!(
            r#"{{"shared_poll":{{"hmac_secret_key":"{secret}"}},
                "channel":{{"proxy":{{"shared_poll_refresh":{{"endpoint":"{endpoint}"}}}},
                "namespaces":[{{"name":"prices","subscription_type":"shared_poll","shared_poll":{{{rules}}}}}]}}}}"#,
        ))
        .map(drop)
    };
    let check = |found: Result<(), String>, expected: Expect| {
        expected.assert_eq(&found.expect_err("refused"));
    };
    assert_eq!(with(true, true, ""), Ok(()));
    check(
        with(false, true, ""),
        expect!["channel.namespaces[0].subscription_type: needs `shared_poll.hmac_secret_key`"],
    );
    check(with(true, false, ""), expect!["channel.proxy.shared_poll_refresh.endpoint: must be set"]);
    for (rules, expected) in [
        (r#""mode":"x""#, "mode: unknown mode \"x\": it must be \"\", \"versionless\" or \"versioned\""),
        (r#""publish_enabled":true"#, "publish_enabled: needs `shared_poll.mode: versioned`"),
        (r#""keep_latest_data":true"#, "keep_latest_data: needs `shared_poll.mode: versioned`"),
        (
            r#""backpressure_max_interval":"1s""#,
            "backpressure_max_interval: must not be shorter than `shared_poll.refresh_interval`",
        ),
        (r#""refresh_interval":"1ms""#, "refresh_interval: must be at least 10ms"),
    ] {
        let path = "channel.namespaces[0].shared_poll";
        assert_eq!(with(true, true, rules), Err(format!("{path}.{expected}")));
    }
    let unknown = with(true, true, r#""proxy_name":"other""#).expect_err("refused");
    assert!(unknown.contains("channel.namespaces[0].shared_poll.proxy_name: there is no proxy"), "{unknown}");
}
