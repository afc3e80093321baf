//! What an application decides before anything is done for a command, and whether a connection stays.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_node::hooks::Judgement;
use tourbillon_node::{
    Client as Connection, ClientCommand, ConnectDecision, ConnectRequest, Hooks, NodeConfig, RefreshDecision,
    RefreshRequest, Refusal, SubRefreshRequest, SubscribeDecision, SubscribeRequest, Target, TokenMark,
};
use tourbillon_types::{Channel, Direction, Disconnect, Now, ReplyError, Unsubscribe, UserId};

use tourbillon_transport::memory::Sent;

use crate::harness::start;

/// Notes what it is asked, and refuses what the test wants.
#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    asked: Vec<String>,
    errors: Vec<u32>,
    /// Commands from now on get this.
    answer: Option<Refusal>,
    /// The so-manieth error ends the connection.
    patience: Option<usize>,
    /// Whoever has a token with this identifier may not stay.
    banned: Option<String>,
    ticks: usize,
    /// Commands from now on are judged after this long, and get `verdict`.
    after: Option<Duration>,
    verdict: Option<Refusal>,
}

impl Keeper {
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().asked)
    }
}

impl Hooks for Keeper {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        let mut decision = ConnectDecision::new(UserId::from("ann"));
        decision.token = TokenMark::new(Some(&request.token), None);
        assert!(request.headers.is_empty(), "none came with the connection itself");
        let headers = request.emulated_headers.iter().map(|(name, value)| format!("{name}: {value}"));
        self.0.lock().asked.extend(headers);
        Ok(decision)
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        self.0.lock().asked.push("decided".to_owned());
        let mut decision = SubscribeDecision::default();
        decision.token = TokenMark::new(Some(&request.token), None);
        Ok(decision)
    }

    async fn sub_refresh(&self, request: SubRefreshRequest) -> Result<RefreshDecision, Refusal> {
        let mut decision = RefreshDecision::until(None);
        decision.token = Some(TokenMark::new(Some(&request.token), None).unwrap_or_default());
        Ok(decision)
    }

    async fn refresh(&self, request: RefreshRequest) -> Result<RefreshDecision, Refusal> {
        let mut decision = RefreshDecision::until(None);
        decision.token = TokenMark::new(Some(&request.token), None);
        Ok(decision)
    }

    fn command(
        &self,
        client: &Connection,
        command: ClientCommand<'_>,
        _: Now,
    ) -> Result<Option<Judgement>, Refusal> {
        assert_eq!(client.user, UserId::from("ann"));
        let mut state = self.0.lock();
        state.asked.push(format!("{command:?}"));
        state.answer.clone().map_or(Ok(()), Err)?;
        let Some(after) = state.after else { return Ok(None) };
        let state = self.0.clone();
        Ok(Some(Box::pin(async move {
            // tidy: allow-sleep the clock is paused
            tokio::time::sleep(after).await;
            state.lock().verdict.clone().map_or(Ok(()), Err)
        })))
    }

    fn erred(&self, _: &Connection, error: &ReplyError, _: Now) -> Result<(), Disconnect> {
        let mut state = self.0.lock();
        state.errors.push(error.code.0);
        if state.patience.is_some_and(|patience| state.errors.len() >= patience) {
            return Err(Disconnect::TOO_MANY_ERRORS);
        }
        Ok(())
    }

    fn stays(&self, client: &Connection, _: Now) -> Result<(), Disconnect> {
        let state = self.0.lock();
        let banned =
            client.token.as_ref().is_some_and(|token| Some(token.id.as_str()) == state.banned.as_deref());
        if banned { Err(Disconnect::STATE_INVALIDATED) } else { Ok(()) }
    }

    fn subscription_stays(
        &self,
        client: &Connection,
        channel: &Channel,
        token: &TokenMark,
        _: Now,
    ) -> Result<(), Unsubscribe> {
        assert_eq!(client.user, UserId::from("ann"));
        let mut state = self.0.lock();
        state.asked.push(format!("{channel} by {}", token.id));
        if Some(token.id.as_str()) == state.banned.as_deref() {
            return Err(Unsubscribe::STATE_INVALIDATED);
        }
        Ok(())
    }

    fn tick(&self, _: Now) {
        self.0.lock().ticks += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_command_costs_nothing_but_its_answer() {
    let keeper = Keeper::default();
    let test = start(keeper.clone(), NodeConfig::default());
    let mut client = test.client().await;
    client.subscribe("a").await;
    assert_eq!(keeper.asked(), ["Subscribe(\"a\")", "decided"]);
    keeper.0.lock().answer = Some(ReplyError::TOO_MANY_REQUESTS.into());
    for (command, asked) in [
        (r#""subscribe":{"channel":"b"}"#, r#"Subscribe("b")"#),
        (r#""publish":{"channel":"b","data":1}"#, r#"Publish("b")"#),
        (r#""history":{"channel":"b"}"#, r#"History("b")"#),
        (r#""presence":{"channel":"b"}"#, r#"Presence("b")"#),
        (r#""presence_stats":{"channel":"b"}"#, r#"PresenceStats("b")"#),
        (r#""rpc":{"method":"m"}"#, r#"Rpc("m")"#),
        (r#""refresh":{"token":"t"}"#, "Refresh"),
        (r#""sub_refresh":{"channel":"b","token":"t"}"#, r#"SubRefresh("b")"#),
        (r#""unsubscribe":{"channel":"a"}"#, r#"Unsubscribe("a")"#),
    ] {
        let reply = client.call(command).await;
        assert_eq!(reply["error"]["code"], 111, "{reply}");
        assert_eq!(reply["error"]["temporary"], true, "{reply}");
        assert_eq!(keeper.asked(), [asked], "and nobody else is asked");
    }
    assert_eq!(std::mem::take(&mut keeper.0.lock().errors), [111; 9]);
    // What was refused changed nothing, and what comes after is worked on.
    keeper.0.lock().answer = None;
    test.publish("a", "1").await;
    assert_eq!(client.publication("a").await, 1);
    client.subscribe("b").await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_judged_after_a_while_is_worked_on_then_and_in_order() {
    let keeper = Keeper::default();
    let test = start(keeper.clone(), NodeConfig::default());
    let mut client = test.client().await;
    client.subscribe("a").await;
    keeper.0.lock().after = Some(Duration::from_secs(1));
    keeper.asked();
    client.send(concat!(
        r#"{"id":11,"subscribe":{"channel":"b"}}"#,
        "\n",
        r#"{"id":12,"unsubscribe":{"channel":"b"}}"#
    ));
    client.silence().await;
    assert_eq!(keeper.asked(), ["Subscribe(\"b\")"], "the next one waits, and nothing has been done");
    // What does not come from the client does not wait.
    test.publish("a", "1").await;
    assert_eq!(client.publication("a").await, 1);
    let (first, second) = (client.message().await, client.message().await);
    assert_eq!((&first["id"], first["subscribe"].is_object()), (&11.into(), true), "{first}");
    assert_eq!((&second["id"], second["unsubscribe"].is_object()), (&12.into(), true), "{second}");
    assert_eq!(keeper.asked(), ["decided", "Unsubscribe(\"b\")"]);
    keeper.0.lock().verdict = Some(ReplyError::TOO_MANY_REQUESTS.into());
    let refused = client.call(r#""subscribe":{"channel":"b"}"#).await;
    assert_eq!(refused["error"]["code"], 111, "{refused}");
    assert_eq!(keeper.asked(), ["Subscribe(\"b\")"], "and nobody else is asked");
    assert_eq!(keeper.0.lock().errors, [111]);
    // Longer than any call may take.
    keeper.0.lock().after = Some(Duration::from_secs(3_600));
    let late = client.call(r#""subscribe":{"channel":"b"}"#).await;
    assert_eq!(late["error"]["code"], 100, "{late}");
    keeper.0.lock().after = Some(Duration::from_secs(1));
    keeper.0.lock().verdict = Some(Disconnect::FORCE_DISCONNECT.into());
    client.send(r#"{"id":13,"subscribe":{"channel":"b"}}"#);
    assert_eq!(client.closed().await.code, 3503);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn pongs_and_messages_are_not_asked_about_and_one_way_clients_neither() {
    let keeper = Keeper::default();
    let test = start(keeper.clone(), NodeConfig::default());
    let mut client = test.client().await;
    keeper.0.lock().answer = Some(Disconnect::TOO_MANY_REQUESTS.into());
    assert!(matches!(client.next().await, Sent::Message(ping) if &ping[..] == b"{}"));
    client.send("{}");
    client.silence().await;
    let mut deaf = test.open(1 << 20, |info| info.direction = Direction::Unidirectional);
    deaf.send(r#"{"id":1,"connect":{}}"#);
    assert!(deaf.message().await["connect"].is_object());
    deaf.send(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    deaf.silence().await;
    assert_eq!(keeper.asked(), [""; 0]);
    client.send(r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    assert_eq!(client.closed().await.code, 3013);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn errors_are_told_and_may_end_the_connection_after_its_answer() {
    let keeper = Keeper::default();
    keeper.0.lock().patience = Some(2);
    let test = start(keeper.clone(), NodeConfig::default());
    let mut client = test.client().await;
    let first = client.call(r#""publish":{"channel":"a","data":1}"#).await;
    assert_eq!(first["error"]["code"], 103);
    let second = client.call(r#""rpc":{"method":"m"}"#).await;
    assert_eq!(second["error"]["code"], 108, "{second}");
    assert_eq!(client.closed().await.code, 3509);
    assert_eq!(keeper.0.lock().errors, [103, 108]);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_recheck_ends_who_may_not_stay() {
    let keeper = Keeper::default();
    let test = start(keeper.clone(), NodeConfig::default());
    let open = || async {
        let mut client = test.open(1 << 20, |_| {});
        assert!(client.call(r#""connect":{"token":"old"}"#).await["connect"].is_object());
        client
    };
    let (mut one, mut two) = (open().await, open().await);
    // A new token is another one.
    assert!(two.call(r#""refresh":{"token":"new"}"#).await["refresh"].is_object());
    keeper.0.lock().banned = Some("old".to_owned());
    test.node.recheck(Some(&UserId::from("bob"))).await.expect("told");
    one.silence().await;
    test.node.recheck(Some(&UserId::from("ann"))).await.expect("told");
    assert_eq!(one.closed().await.code, 3014);
    two.silence().await;
    keeper.0.lock().banned = Some("new".to_owned());
    test.node.recheck(None).await.expect("told");
    assert_eq!(two.closed().await.code, 3014);
    // Whoever comes too late to be found is looked at as it comes.
    let mut late = test.open(1 << 20, |_| {});
    late.send(r#"{"id":1,"connect":{"token":"new"}}"#);
    assert_eq!(late.closed().await.code, 3014);
    test.node
        .disconnect(&Target::user(UserId::from("ann")), Disconnect::FORCE_DISCONNECT, &[])
        .await
        .expect("told");
    test.end().await;
}

/// PRO-35, PRO-36.
#[tokio::test(start_paused = true)]
async fn a_recheck_ends_subscriptions_by_their_tokens() {
    let keeper = Keeper::default();
    let test = start(keeper.clone(), NodeConfig::default());
    let mut client = test.client().await;
    client.subscribe("free").await;
    for (channel, token) in [("a", "old"), ("b", "old"), ("c", "new")] {
        let subscribe = format!(r#""subscribe":{{"channel":"{channel}","token":"{token}"}}"#);
        assert!(client.call(&subscribe).await["subscribe"].is_object());
    }
    // Another token, and one that says nothing of itself.
    let refresh = r#""sub_refresh":{"channel":"b","token":"new"}"#;
    assert!(client.call(refresh).await["sub_refresh"].is_object());
    keeper.asked();
    test.node.recheck(None).await.expect("told");
    client.silence().await;
    let mut asked = keeper.asked();
    asked.sort();
    assert_eq!(asked, ["a by old", "b by new", "c by new"], "the one without a token is not asked about");
    keeper.0.lock().banned = Some("old".to_owned());
    test.node.recheck(None).await.expect("told");
    let push = client.message().await;
    assert_eq!((&push["push"]["channel"], &push["push"]["unsubscribe"]["code"]), (&"a".into(), &2502.into()));
    client.silence().await;
    assert_eq!(test.node.stats().subscriptions, 3, "the others go on");
    // Whoever comes too late to be found is looked at as it comes, and with each new token.
    let reply = client.call(r#""subscribe":{"channel":"a","token":"old"}"#).await;
    assert!(reply["subscribe"].is_object(), "{reply}");
    assert_eq!(client.message().await["push"]["unsubscribe"]["code"], 2502);
    let reply = client.call(r#""sub_refresh":{"channel":"c","token":"old"}"#).await;
    assert!(reply["sub_refresh"].is_object(), "{reply}");
    let push = client.message().await;
    assert_eq!((&push["push"]["channel"], &push["push"]["unsubscribe"]["code"]), (&"c".into(), &2502.into()));
    // What has ended is not asked about.
    client.call(r#""unsubscribe":{"channel":"b"}"#).await;
    keeper.asked();
    test.node.recheck(None).await.expect("told");
    assert_eq!(keeper.asked(), [""; 0]);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_application_hears_of_every_second() {
    let keeper = Keeper::default();
    let test = start(keeper.clone(), NodeConfig::default());
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ticks = keeper.0.lock().ticks;
    assert!((9..=10).contains(&ticks), "{ticks}");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn connections_that_say_nothing_are_counted() {
    let test = start(Keeper::default(), NodeConfig::default());
    let silent = test.open(1 << 20, |_| {});
    let mut other = test.open(1 << 20, |_| {});
    assert_eq!(test.node.half_open(), 2);
    other.call(r#""connect":{}"#).await;
    assert_eq!(test.node.half_open(), 1);
    // Until they are sent away.
    let mut silent = silent;
    assert_eq!(silent.closed().await.code, 3502);
    drop(silent);
    while test.node.half_open() > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    test.end().await;
}

/// LIFE-09.
#[tokio::test(start_paused = true)]
async fn headers_of_the_first_message_are_told_and_told_apart() {
    let keeper = Keeper::default();
    let test = start(keeper.clone(), NodeConfig::default());
    let mut client = test.open(1 << 20, |_| {});
    client.call(r#""connect":{"headers":{"x-device":"7"}}"#).await;
    assert_eq!(keeper.asked(), ["x-device: 7"]);
    test.end().await;
}

/// Its pong waits behind the command.
#[tokio::test(start_paused = true)]
async fn a_client_is_not_taken_for_dead_while_its_command_is_judged() {
    let keeper = Keeper::default();
    let test = start(keeper.clone(), NodeConfig::default());
    let mut client = test.client().await;
    assert_eq!(client.next().await, Sent::Message("{}".into()));
    keeper.0.lock().after = Some(Duration::from_secs(9));
    client.send(r#"{"id":9,"subscribe":{"channel":"a"}}"#);
    client.send("{}");
    assert_eq!(client.message().await["id"], 9);
    // The next ping comes, and is answered in time.
    assert_eq!(client.next().await, Sent::Message("{}".into()));
    client.send("{}");
    client.silence().await;
    test.end().await;
}
