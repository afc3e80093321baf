//! Pages about the process (OBS-05, NET-02).

use crate::harness::{KEY, Where, ask, start, start_at};

/// The number after a name, in a page of such lines.
fn number(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} in {page}")).trim().parse().expect("a number")
}

#[tokio::test]
async fn obs_05_the_process_tells_about_itself() {
    let server = start(|options| options.debug.enabled = true).await;
    let page = async |name: &str| {
        let answer = server.get(&format!("/debug/pprof/{name}")).await;
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{name}");
        (answer.status, answer.body)
    };
    let (status, command) = page("cmdline").await;
    let own: Vec<String> = std::env::args().collect();
    assert_eq!(
        (status, command.split('\0').collect::<Vec<_>>()),
        (200, own.iter().map(String::as_str).collect())
    );
    let (status, runtime) = page("runtime").await;
    assert_eq!((status, number(&runtime, "workers ")), (200, 1));
    assert!(number(&runtime, "tasks_alive ") > 1, "{runtime}");
    assert!(runtime.contains("worker 0: busy_seconds "), "{runtime}");
    let (status, memory) = page("heap").await;
    let (threads_status, threads) = page("threads").await;
    if cfg!(target_os = "linux") {
        assert_eq!((status, threads_status), (200, 200));
        assert!(number(&memory, "resident_bytes ") > 1 << 20, "{memory}");
        assert!(number(&memory, "virtual_bytes ") >= number(&memory, "resident_bytes "), "{memory}");
        let own = format!("{} ", std::process::id());
        assert!(threads.lines().any(|line| line.starts_with(&own)), "{threads}");
    } else {
        assert_eq!((status, threads_status), (501, 501));
    }
    for (name, instead) in
        [("profile?seconds=5", "perf record"), ("trace", "perf trace"), ("goroutine", "runtime")]
    {
        let (status, why) = page(name).await;
        assert!(status == 501 && why.contains(instead), "{name}: {status} {why}");
    }
    let (status, index) = page("").await;
    assert!(status == 200 && index.contains("/debug/pprof/threads: "), "{index}");
    assert_eq!(page("nothing").await.0, 404);
    let redirected = server.get("/debug/pprof").await;
    assert_eq!((redirected.status, redirected.header("location")), (301, Some("/debug/pprof/")));
    let put = server.ask("PUT /debug/pprof/heap HTTP/1.1\r\nHost: x\r\n", "").await;
    assert_eq!((put.status, put.header("allow")), (405, Some("GET, HEAD")));
    server.end().await;
}

#[tokio::test]
async fn net_02_they_are_off_by_default_and_on_the_internal_port() {
    let server = start(|_| {}).await;
    assert_eq!(server.get("/debug/pprof/").await.status, 404);
    server.end().await;
    let server = start_at(Where::Internal, |options| {
        options.debug.enabled = true;
        "/inside/".clone_into(&mut options.debug.handler_prefix);
        options.http_api.external = true;
    })
    .await;
    let internal = server.internal.expect("a port of its own");
    let head = "GET /inside/heap HTTP/1.1\r\nHost: x\r\n";
    assert_ne!(ask(internal, head, "").await.status, 404);
    assert_eq!(ask(server.external, head, "").await.status, 404, "not for clients");
    assert_eq!(ask(internal, "GET /debug/pprof/ HTTP/1.1\r\nHost: x\r\n", "").await.status, 404);
    assert_eq!(ask(internal, "GET /insider HTTP/1.1\r\nHost: x\r\n", "").await.status, 404);
    let head = format!("POST /api/info HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n");
    assert_eq!(ask(server.external, &head, "{}").await.status, 200);
    server.end().await;
}
