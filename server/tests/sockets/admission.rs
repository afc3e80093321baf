//! Connections that are too many.

use crate::harness::{Client, start};

/// LIM-05: refused before the upgrade, and room is made by leaving.
#[tokio::test]
async fn one_connection_too_many_is_refused() {
    let server = start(|options| options.client.connection_limit = 2).await;
    let first = Client::subscribed(server.external, "a").await;
    let second = Client::subscribed(server.external, "a").await;
    let refused = Client::try_upgrade(server.external, "").await.err().expect("one too many");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(server.get("/health").await.status, 200, "other requests are not counted");
    drop(first);
    while server.node.connections() == 2 {
        tokio::task::yield_now().await;
    }
    assert!(Client::upgrade(server.external, "").await.is_ok());
    drop(second);
    server.end().await;
}

/// LIM-06, HID-63: as many at once as the option says, and then one a second. How they come back is shown where the
/// clock can be moved.
#[tokio::test]
async fn connections_that_come_too_fast_are_refused() {
    let server = start(|options| options.client.connection_rate_limit = 3).await;
    let mut refused = 0;
    let mut taken = Vec::new();
    for _ in 0..20 {
        match Client::try_upgrade(server.external, "").await {
            Ok(client) => taken.push(client),
            Err(answer) => {
                assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
                refused += 1;
            }
        }
    }
    assert!(taken.len() >= 3 && refused >= 10, "{} taken, {refused} refused", taken.len());
    assert_eq!(server.get("/health").await.status, 200, "other requests are not counted");
    drop(taken);
    server.end().await;
}
