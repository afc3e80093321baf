//! What goes over NATS (NATS-02 to NATS-06).

use std::sync::Arc;

use tourbillon_broker::conformance::Event;
use tourbillon_broker::{Attempt, Broker, BrokerError, Publish};
use tourbillon_broker_nats::RawMode;
use tourbillon_types::{Channel, ClientId, ClientInfo, Payload, Publication, UserId};

use crate::server::{Foreigner, NatsProcess, Running, block_on};

fn publish(channel: &str, data: &str) -> Publish {
    Publish::new(Channel::from(channel), Payload::from(data.as_bytes().to_vec()))
}

fn must_publish(running: &Running, what: Publish) {
    let Attempt::Done(published) = running.broker.publish_now(what) else { panic!("there is room") };
    published.expect("published");
}

fn info(user: &str) -> Arc<ClientInfo> {
    Arc::new(ClientInfo {
        user: UserId::from(user.to_owned()),
        client: Some(ClientId::from_random([7; 16])),
        connection: Payload::from("{}"),
        channel: Payload::empty(),
    })
}

/// NATS-02: byte for byte, apart from when it was published.
#[test]
fn other_nodes_read_what_is_sent_and_the_other_way_round() {
    block_on(async {
        let server = NatsProcess::start(&[]);
        let mut config = server.config();
        "app".clone_into(&mut config.prefix);
        let mut foreigner = Foreigner::at(&config).await;
        foreigner.say("SUB app.client.> 1\r\n").await;
        let running = Running::with(config, &["news"]).await;
        let mut what = publish("news", "{}");
        what.options.tags = Some(Arc::new([("k".to_owned(), "v".to_owned())].into()));
        what.options.info = Some(info("u"));
        must_publish(&running, what);
        let (subject, payload) = foreigner.message().await;
        assert_eq!(subject, "app.client.news");
        // channel, publication, data
        assert_eq!(&payload[..7], b"\x12\x04news\x22");
        assert_eq!(&payload[8..12], b"\x22\x02{}");
        let client = ClientId::from_random([7; 16]).to_string();
        let info_bytes = [&b"\x2a\x2d\x0a\x01u\x12\x24"[..], client.as_bytes(), b"\x1a\x02{}"].concat();
        assert_eq!(&payload[12..12 + info_bytes.len()], info_bytes);
        running.broker.publish_join(&Channel::from("news"), info("j")).await.expect("told");
        let (_, joined) = foreigner.message().await;
        assert_eq!(
            joined,
            [&b"\x12\x04news\x2a\x2f\x0a\x2d\x0a\x01j\x12\x24"[..], client.as_bytes(), b"\x1a\x02{}"]
                .concat()
        );
        running.broker.publish_leave(&Channel::from("news"), info("j")).await.expect("told");
        let (_, left) = foreigner.message().await;
        assert_eq!(left[6], 0x32);
        running.settled(3).await;
        assert_eq!(
            running.log.events()[1..],
            [Event::Join(Channel::from("news"), info("j")), Event::Leave(Channel::from("news"), info("j")),]
        );

        // What another node sends: data, tags, a field that is not known, and what it is not.
        foreigner
            .publish(
                "app.client.news",
                b"\x12\x04news\x22\x0f\x22\x021\x32\x3a\x06\x0a\x01a\x12\x01b\xb8\x06\x00",
            )
            .await;
        foreigner.publish("app.client.news", b"\xff\xff").await;
        foreigner.publish("app.client.news", b"").await;
        foreigner.publish("app.client.other", b"\x12\x04news\x22\x03\x22\x01x").await;
        foreigner.publish("app.client.news", b"\x12\x04news\x22\x03\x22\x01y").await;
        running.settled(5).await;
        let data: Vec<_> = running.log.data("news");
        assert_eq!(data, ["{}", "12", "y"]);
        assert_eq!(
            running.log.publications("news")[1].tags.as_deref(),
            Some(&[("a".to_owned(), "b".to_owned())].into())
        );
    });
}

/// NATS-06.
#[test]
fn that_deltas_may_be_made_is_told_along_without_what_they_follow() {
    block_on(async {
        let server = NatsProcess::start(&[]);
        let running = Running::with(server.config(), &["a"]).await;
        let mut what = publish("a", "1");
        what.options.delta = true;
        must_publish(&running, what);
        running.settled(1).await;
        let Event::Delta(channel, publication, None) = &running.log.events()[0] else { panic!("no delta") };
        assert_eq!((channel.as_str(), publication.data.as_ref(), publication.delta), ("a", &b"1"[..], false));
        assert!(publication.time > 0 && publication.channel.is_none());
    });
}

/// NATS-03, CH-07.
#[test]
fn what_is_no_channel_here_is_refused() {
    block_on(async {
        let server = NatsProcess::start(&[]);
        let running = Running::with(server.config(), &["a"]).await;
        let refused = |result: Result<(), BrokerError>| result.is_err_and(|error| error.is_invalid());
        for channel in ["a.*", "a.>", "a b", "a..b", "a\r\nPUB a 0"] {
            let published = running.broker.publish(publish(channel, "1")).await.map(drop);
            assert!(refused(published), "{channel:?}");
            assert!(refused(running.broker.subscribe(&[Channel::from("b"), Channel::from(channel)]).await));
            assert!(refused(running.broker.publish_join(&Channel::from(channel), info("u")).await));
        }
        let large = publish("a", &"x".repeat(1024 * 1024));
        assert!(refused(running.broker.publish(large).await.map(drop)), "larger than the server takes");
        must_publish(&running, publish("b", "no"));
        must_publish(&running, publish("a", "yes"));
        running.settled(1).await;
        assert_eq!((running.log.data("a"), running.log.len()), (vec!["yes".to_owned()], 1));
    });
}

/// NATS-03, NATS-04.
#[test]
fn a_pattern_gets_what_is_published_in_its_channels_with_their_names() {
    block_on(async {
        let server = NatsProcess::start(&[]);
        let mut config = server.config();
        config.allow_wildcards = true;
        let running = Running::with(config, &["news.*", "news.sport", "all.>"]).await;
        let refused = running.broker.publish(publish("news.*", "1")).await;
        assert!(refused.is_err_and(|error| error.is_invalid()));
        for (channel, data) in [("news.sport", "1"), ("news.art", "2"), ("all.a.b", "3"), ("news.a.b", "4")] {
            must_publish(&running, publish(channel, data));
        }
        running.broker.publish_join(&Channel::from("news.sport"), info("j")).await.expect("told");
        running.broker.publish_join(&Channel::from("news.*"), info("k")).await.expect("told");
        must_publish(&running, publish("all.end", "5"));
        running.settled(7).await;
        let got = |channel: &str| -> Vec<(Option<String>, String)> {
            let publications = running.log.publications(channel);
            let named = |it: &Arc<Publication>| it.channel.as_ref().map(ToString::to_string);
            publications
                .iter()
                .map(|it| (named(it), String::from_utf8_lossy(it.data.as_ref()).into_owned()))
                .collect()
        };
        let of = |channel: &str, data: &str| (Some(channel.to_owned()), data.to_owned());
        assert_eq!(got("news.*"), [of("news.sport", "1"), of("news.art", "2")]);
        assert_eq!(got("news.sport"), [(None, "1".to_owned())]);
        assert_eq!(got("all.>"), [of("all.a.b", "3"), of("all.end", "5")]);
        let joins = running.log.events().into_iter().filter_map(|event| match event {
            Event::Join(channel, info) => Some((channel.to_string(), info.user.to_string())),
            _ => None,
        });
        let told = |channel: &str, user: &str| (channel.to_owned(), user.to_owned());
        assert_eq!(joins.collect::<Vec<_>>(), [told("news.sport", "j"), told("news.*", "k")]);
    });
}

/// NATS-05.
#[test]
fn raw_publications_are_bare_data() {
    block_on(async {
        let server = NatsProcess::start(&[]);
        let mut config = server.config();
        let mut raw = RawMode::default();
        "raw.".clone_into(&mut raw.prefix);
        raw.replacements = vec![(":".to_owned(), ".".to_owned())];
        config.raw = Some(raw);
        config.allow_wildcards = true;
        let mut foreigner = Foreigner::at(&config).await;
        foreigner.say("SUB raw.> 1\r\n").await;
        let running = Running::with(config, &["a:b", "a.b", "c:*"]).await;
        assert!(!Broker::capabilities(&*running.broker).join_leave);
        must_publish(&running, publish("a:b", "1"));
        assert_eq!(foreigner.message().await, ("raw.a.b".to_owned(), b"1".to_vec()));
        // One subject, and two channels that are there.
        running.settled(2).await;
        foreigner.publish("raw.c.d", b"\x00\xff").await;
        running.settled(3).await;
        assert_eq!(
            (running.log.data("a:b"), running.log.data("a.b")),
            (vec!["1".to_owned()], vec!["1".to_owned()])
        );
        let of_pattern = running.log.publications("c:*");
        let named = of_pattern[0].channel.as_ref().map(ToString::to_string);
        assert_eq!((named.as_deref(), of_pattern[0].data.as_ref()), (Some("c:d"), &b"\x00\xff"[..]));
        let refused = running.broker.publish_join(&Channel::from("a:b"), info("u")).await;
        assert!(refused.is_err_and(|error| error.is_unsupported()));
    });
}
