//! What channels keep, read by clients and the server side (CMD-10, HID-72..74, API-28, API-29).

use serde_json::{Value, json};
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{HistoryQuery, NodeConfig};
use tourbillon_types::{Channel, Epoch, ReplyError, StreamPosition};

use crate::harness::{Client, TestNode, start, start_on};
use crate::scripted::{ByName, Scripted, at};

const CHANNEL: &str = "history_a";

/// A channel with seven publications, of which five are kept, and a client that has it.
async fn seven() -> (TestNode, Client) {
    let test = start(ByName, NodeConfig::default());
    for number in 1..=7 {
        test.publish(CHANNEL, &number.to_string()).await;
    }
    let mut client = test.client().await;
    client.subscribe(CHANNEL).await;
    (test, client)
}

async fn read(client: &mut Client, rest: &str) -> Value {
    client.call(&format!(r#""history":{{"channel":"{CHANNEL}"{rest}}}"#)).await
}

fn offsets(reply: &Value) -> Vec<u64> {
    let publications = reply["history"]["publications"].as_array().map(Vec::as_slice).unwrap_or_default();
    publications.iter().map(|publication| publication["offset"].as_u64().expect("an offset")).collect()
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_it_is_the_position_that_is_told() {
    let (test, mut client) = seven().await;
    let reply = read(&mut client, "").await;
    assert_eq!(reply["history"]["offset"], 7);
    assert_eq!(reply["history"]["epoch"].as_str().map(str::len), Some(8), "{reply}");
    assert_eq!(offsets(&reply), [0; 0]);
    drop(client);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn history_is_read_in_pages_both_ways() {
    let (test, mut client) = seven().await;
    assert_eq!(offsets(&read(&mut client, r#","limit":-1"#).await), [3, 4, 5, 6, 7]);
    assert_eq!(offsets(&read(&mut client, r#","limit":2"#).await), [3, 4]);
    assert_eq!(offsets(&read(&mut client, r#","limit":2,"since":{"offset":4}"#).await), [5, 6]);
    assert_eq!(offsets(&read(&mut client, r#","limit":2,"reverse":true"#).await), [7, 6]);
    let back = r#","limit":9,"reverse":true,"since":{"offset":5}"#;
    assert_eq!(offsets(&read(&mut client, back).await), [4, 3]);
    let data = &read(&mut client, r#","limit":1"#).await["history"]["publications"][0]["data"];
    assert_eq!(*data, json!(3));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn clients_read_no_more_at_once_than_they_may() {
    let mut config = NodeConfig::default();
    config.history_max_publication_limit = 2;
    let test = start(ByName, config);
    for number in 1..=4 {
        test.publish(CHANNEL, &number.to_string()).await;
    }
    let mut client = test.client().await;
    client.subscribe(CHANNEL).await;
    assert_eq!(offsets(&read(&mut client, r#","limit":-1"#).await), [1, 2]);
    assert_eq!(offsets(&read(&mut client, r#","limit":3"#).await), [1, 2]);
    let all = test.node.history(&Channel::from(CHANNEL), &HistoryQuery::of_api(None, -1, false)).await;
    assert_eq!(all.expect("a page").publications.len(), 4, "the server side has no limit");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn bad_questions_are_answered_by_their_errors() {
    let (test, mut client) = seven().await;
    for (rest, code) in [
        (r#","limit":1,"reverse":true,"since":{"offset":0}"#, 107),
        (r#","limit":1,"since":{"offset":5,"epoch":"another"}"#, 112),
    ] {
        assert_eq!(read(&mut client, rest).await["error"]["code"], code, "{rest}");
    }
    let reply = client.call(r#""history":{"channel":"plain"}"#).await;
    assert_eq!(reply["error"]["code"], 108, "it keeps none");
    let reply = client.call(r#""history":{"channel":"history_b"}"#).await;
    assert_eq!(reply["error"]["code"], 103, "the application says no");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_fails_is_told() {
    let scripted = Scripted::new(at(0, "a"));
    let test = start_on(scripted.clone(), ByName, NodeConfig::default());
    let mut client = test.client().await;
    client.subscribe(CHANNEL).await;
    scripted.fail();
    assert_eq!(read(&mut client, "").await["error"]["code"], 100);
    scripted.keep(&[], at(0, "a"));
    // A broker that does not answer is not waited for.
    scripted.answer(false);
    assert_eq!(read(&mut client, "").await["error"]["code"], 100);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn publications_of_clients_are_kept_too_and_carry_their_offset() {
    let (test, mut client) = seven().await;
    client.send(r#"{"id":90,"publish":{"channel":"history_a","data":{"n":8}}}"#);
    let push = client.message().await;
    assert_eq!(push["push"]["pub"]["offset"], 8);
    assert_eq!(client.message().await, json!({"id": 90, "publish": {}}));
    let found = client_history(&test).await;
    assert_eq!(found.publications.last().map(|publication| publication.offset), Some(8));
    assert!(found.publications.last().is_some_and(|publication| publication.info.is_some()));
    test.end().await;
}

async fn client_history(test: &TestNode) -> tourbillon_node::Page {
    test.node.history(&Channel::from(CHANNEL), &HistoryQuery::latest(1)).await.expect("a page")
}

#[tokio::test(start_paused = true)]
async fn removing_history_leaves_the_position_and_the_subscribers() {
    let (test, mut client) = seven().await;
    let channel = Channel::from(CHANNEL);
    test.node.remove_history(&channel).await.expect("removed");
    assert_eq!(offsets(&read(&mut client, r#","limit":-1"#).await), [0; 0]);
    test.publish(CHANNEL, "8").await;
    let push = client.message().await;
    assert_eq!(push["push"]["pub"]["offset"], 8);
    let plain = Channel::from("plain");
    assert_eq!(test.node.remove_history(&plain).await, Err(ReplyError::NOT_AVAILABLE));
    let query = HistoryQuery::latest(1);
    assert_eq!(test.node.history(&plain, &query).await, Err(ReplyError::NOT_AVAILABLE));
    let other = StreamPosition { offset: 1, epoch: Epoch::from("other") };
    let answer = test.node.history(&channel, &HistoryQuery::since(other)).await;
    assert_eq!(answer, Err(ReplyError::UNRECOVERABLE_POSITION));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_without_streams_has_no_history_and_no_positions() {
    let test = start_on(crate::scripted::Plain(MemoryEngine::default()), ByName, NodeConfig::default());
    let mut client = test.client().await;
    let reply = client.call(r#""subscribe":{"channel":"history_position_recover"}"#).await;
    assert_eq!(reply["subscribe"], json!({}));
    let reply = client.call(r#""history":{"channel":"history_position_recover"}"#).await;
    assert_eq!(reply["error"]["code"], 108);
    test.end().await;
}

/// HID-10: in JSON as it is on the wire.
#[tokio::test(start_paused = true)]
async fn a_live_publication_names_its_epoch_only_where_a_stream_begins() {
    let test = start(ByName, NodeConfig::default());
    let mut client = test.client().await;
    let subscribed = client.call(r#""subscribe":{"channel":"history_position"}"#).await;
    for offset in 1..=3 {
        test.publish("history_position", "0").await;
        let push = client.message().await["push"]["pub"].clone();
        assert_eq!(push["offset"], offset);
        let epoch = if offset == 1 { subscribed["subscribe"]["epoch"].clone() } else { Value::Null };
        assert_eq!(push["epoch"], epoch);
    }
    test.end().await;
}
