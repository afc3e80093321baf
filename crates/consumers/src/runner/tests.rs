//! A source that does what a test says, and an API that answers what a test says.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tower::service_fn;

use super::*;

/// What a source does when it is asked for messages.
enum Script {
    Batch(&'static [&'static str]),
    Fail,
    Panic,
    Hang,
}

#[derive(Default)]
struct Seen {
    script: Mutex<VecDeque<Script>>,
    /// What the source was told, and that it was reset.
    told: Mutex<Vec<String>>,
    /// When it was asked.
    asked: Mutex<Vec<Duration>>,
    lost: Notify,
    /// It is not asked for more than the script has.
    over: Notify,
    ordered: bool,
    unsettled: bool,
}

struct Scripted(Arc<Seen>, Instant);

impl Source for Scripted {
    fn name(&self) -> &str {
        "a"
    }

    fn is_ordered(&self) -> bool {
        self.0.ordered
    }

    async fn take(&mut self) -> Result<Batch, SourceError> {
        self.0.asked.lock().push(self.1.elapsed());
        let next = self.0.script.lock().pop_front();
        match next {
            Some(Script::Batch(bodies)) => {
                Ok(Batch::new(bodies.iter().map(|body| message(body)).collect(), true))
            }
            Some(Script::Fail) => Err(SourceError("broken".to_owned())),
            Some(Script::Panic) => panic!("at the disco"),
            Some(Script::Hang) => std::future::pending().await,
            None => {
                self.0.over.notify_one();
                Ok(Batch::default())
            }
        }
    }

    async fn settle(&mut self, outcomes: &[Outcome]) -> Result<(), SourceError> {
        let word = |outcome: &Outcome| if *outcome == Outcome::Done { "done" } else { "again" };
        self.0.told.lock().push(outcomes.iter().map(word).collect::<Vec<_>>().join(" "));
        if self.0.unsettled { Err(SourceError("broken".to_owned())) } else { Ok(()) }
    }

    async fn idle(&mut self) {
        std::future::pending().await
    }

    async fn lost(&mut self) -> SourceError {
        self.0.lost.notified().await;
        SourceError("lost".to_owned())
    }

    fn reset(&mut self) {
        self.0.told.lock().push("reset".to_owned());
    }
}

/// A message whose channel says what becomes of it.
fn message(channel: &str) -> Message {
    let body = Bytes::from(format!(r#"{{"channel":"{channel}","data":1}}"#));
    let attributes = vec![("method".to_owned(), if channel == "none" { "x" } else { "publish" }.to_owned())];
    Message { id: channel.to_owned(), deliveries: 1, body, attributes }
}

struct World {
    seen: Arc<Seen>,
    health: Arc<Health>,
    stop: CancellationToken,
    /// The channels that were published into, in their order.
    published: Arc<Mutex<Vec<String>>>,
    /// How many commands into `later` fail before one does not.
    failing: Arc<Mutex<u32>>,
}

impl World {
    fn new(script: impl IntoIterator<Item = Script>, ordered: bool) -> Self {
        let script = Mutex::new(script.into_iter().collect());
        let seen = Arc::new(Seen { script, ordered, ..Seen::default() });
        Self::of(seen)
    }

    fn of(seen: Arc<Seen>) -> Self {
        Self {
            seen,
            health: Arc::default(),
            stop: CancellationToken::new(),
            published: Arc::default(),
            failing: Arc::new(Mutex::new(2)),
        }
    }

    fn begin(&self) -> tokio::task::JoinHandle<()> {
        let (published, failing) = (self.published.clone(), self.failing.clone());
        let api = service_fn(move |command: ApiCommand| {
            let (published, failing) = (published.clone(), failing.clone());
            async move {
                let ApiCommand::Publish(publish) = command else { panic!("another command") };
                let channel = publish.channel.as_str().to_owned();
                published.lock().push(channel.clone());
                match channel.as_str() {
                    "bad" => Err(ApiError::BAD_REQUEST),
                    "later" if *failing.lock() > 0 => {
                        *failing.lock() -= 1;
                        Err(ApiError::INTERNAL)
                    }
                    "slow" => {
                        // tidy: allow-sleep in paused time: every test here pauses the clock
                        sleep(Duration::from_secs(6)).await;
                        Ok(ApiReply::HistoryRemove)
                    }
                    "never" => std::future::pending().await,
                    "panic" => panic!("in the API"),
                    _ => Ok(ApiReply::HistoryRemove),
                }
            }
        });
        let mode = Mode::Commands { method: "method".to_owned() };
        let source = Scripted(self.seen.clone(), Instant::now());
        let runner = Runner::new("orders", source, mode, api, self.health.clone());
        tokio::spawn(runner.run(self.stop.clone()))
    }

    /// Runs to the end of the script, and stops.
    async fn run(&self) {
        let running = self.begin();
        self.seen.over.notified().await;
        self.stop.cancel();
        running.await.expect("no panic");
    }

    fn told(&self) -> Vec<String> {
        self.seen.told.lock().clone()
    }

    fn counts(&self) -> (u64, u64, u64) {
        let Counts { processed, skipped, errors, .. } = self.health.counts();
        (processed, skipped, errors)
    }
}

use crate::health::Counts;

#[tokio::test(start_paused = true)]
async fn cons_04_what_is_refused_is_done_and_counted_as_skipped() {
    let world = World::new([Script::Batch(&["a", "bad", "none", "b"])], true);
    world.run().await;
    assert_eq!(world.told(), ["done done done done", "reset"]);
    assert_eq!(*world.published.lock(), ["a", "bad", "b"]);
    assert_eq!(world.counts(), (4, 2, 0));
    assert_eq!(world.health.counts().failing, 0);
}

#[tokio::test(start_paused = true)]
async fn cons_07_a_source_that_hangs_is_not_waited_for_at_the_end() {
    let world = World::new([Script::Hang], true);
    let running = world.begin();
    while world.seen.asked.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    world.stop.cancel();
    running.await.expect("no panic");
    assert_eq!((begun.elapsed(), world.told()), (Duration::ZERO, vec!["reset".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_holds_up_those_behind_it_where_there_is_an_order() {
    let again = Script::Batch(&["later", "b"]);
    let world =
        World::new([Script::Batch(&["a", "later", "b"]), again, Script::Batch(&["later", "b"])], true);
    world.run().await;
    assert_eq!(world.told(), ["done again", "again", "done done", "reset"]);
    assert_eq!(*world.published.lock(), ["a", "later", "later", "later", "b"]);
    // And it is told while it does.
    assert_eq!(world.counts(), (3, 0, 2));
    assert_eq!(world.health.counts().failing, 0, "over");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_for_ever_is_tried_ever_more_seldom_and_told_of() {
    let script = (0..40).map(|_| Script::Batch(&["later"]));
    let world = World::new(script, true);
    *world.failing.lock() = u32::MAX;
    let running = world.begin();
    while world.seen.asked.lock().len() < 40 {
        sleep(Duration::from_millis(100)).await;
    }
    let asked = world.seen.asked.lock().clone();
    let pauses: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] <= Duration::from_millis(25), "{pauses:?}");
    assert!(pauses[12..].iter().all(|pause| *pause >= Duration::from_millis(2_500)), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(5_010)), "{pauses:?}");
    assert_eq!(world.health.failing()[0].0, "a");
    world.stop.cancel();
    running.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_is_overtaken_where_there_is_no_order() {
    let world = World::new([Script::Batch(&["later", "b"]), Script::Batch(&["c"])], false);
    world.run().await;
    assert_eq!(world.told(), ["again done", "done", "reset"]);
    assert_eq!(world.counts(), (2, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_panics_or_hangs_is_begun_anew() {
    let script = [Script::Fail, Script::Panic, Script::Hang, Script::Fail, Script::Batch(&["a"])];
    let world = World::new(script, true);
    world.run().await;
    assert_eq!(world.told(), ["reset", "reset", "reset", "reset", "done", "reset"]);
    assert_eq!(world.counts(), (1, 0, 4));
    let asked = world.seen.asked.lock().clone();
    assert!(asked[3] - asked[2] >= SOURCE, "a source that hangs is given up: {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn pauses_begin_anew_only_after_the_source_was_used_with_success() {
    let fail = || (0..20).map(|_| Script::Fail);
    let world = World::new(fail().chain([Script::Batch(&["a"])]).chain(fail()), true);
    world.run().await;
    let asked = world.seen.asked.lock().clone();
    let pauses: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[19] >= Duration::from_millis(2_500), "{pauses:?}");
    assert!(pauses[21] <= Duration::from_millis(25), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_source_could_not_be_told_is_not_counted() {
    let script = Mutex::new([Script::Batch(&["a"])].into());
    let seen = Seen { script, ordered: true, unsettled: true, ..Seen::default() };
    let world = World::of(Arc::new(seen));
    world.run().await;
    assert_eq!(world.told(), ["done", "reset", "reset"]);
    assert_eq!(world.counts(), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn no_message_is_begun_after_the_batch_was_lost() {
    let world = World::new([Script::Batch(&["slow", "b"])], true);
    let running = world.begin();
    sleep(Duration::from_secs(1)).await;
    world.seen.lost.notify_one();
    world.seen.over.notified().await;
    world.stop.cancel();
    running.await.expect("no panic");
    assert_eq!(world.told(), ["reset", "reset"], "and nothing is told to be done");
    assert_eq!(*world.published.lock(), ["slow"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_given_back_before_it_takes_too_long() {
    let world = World::new([Script::Batch(&["slow", "slow", "c"]), Script::Batch(&["c"])], true);
    world.run().await;
    assert_eq!(world.told(), ["done done", "done", "reset"]);
}

#[tokio::test(start_paused = true)]
async fn an_api_that_hangs_or_panics_loses_no_message() {
    let world = World::new([Script::Batch(&["never"]), Script::Batch(&["panic"])], true);
    world.run().await;
    assert_eq!(world.told(), ["again", "reset", "reset"]);
    assert_eq!(world.counts(), (0, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn cons_07_what_was_taken_is_finished_and_told_before_a_stop() {
    let world = World::new([Script::Batch(&["slow", "b"]), Script::Batch(&["c"])], true);
    let running = world.begin();
    sleep(Duration::from_secs(1)).await;
    world.stop.cancel();
    running.await.expect("no panic");
    assert_eq!(world.told(), ["done done", "reset"]);
    assert_eq!(*world.published.lock(), ["slow", "b"]);
}

#[tokio::test(start_paused = true)]
async fn cons_07_neither_a_pause_nor_idleness_delays_a_stop() {
    let failing = World::new((0..99).map(|_| Script::Fail), true);
    let running = failing.begin();
    sleep(Duration::from_secs(60)).await;
    let idle = World::new([], true);
    let idling = idle.begin();
    idle.seen.over.notified().await;
    let before = Instant::now();
    failing.stop.cancel();
    idle.stop.cancel();
    running.await.expect("no panic");
    idling.await.expect("no panic");
    assert_eq!(before.elapsed(), Duration::ZERO);
}
