//! Key sets over real sockets: servers that are slow, huge, broken, or send elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tourbillon_auth::{
    FetchError, HttpJwksFetch, JwksConfig, JwksFetch, JwksProvider, Verifier, VerifierConfig,
};

use crate::NOW;
use crate::jwks::{Issuer, set};

const MAX: usize = 10_000;

fn fetch() -> HttpJwksFetch {
    HttpJwksFetch::new().expect("TLS is there").allow_private_addresses(true)
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("is bound");
    (listener, address)
}

/// A server that does with each connection what the test says.
async fn server<F, Fut>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A hyper server with one answer for every request.
async fn answering(
    answer: impl Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Clone + Send + 'static,
) -> SocketAddr {
    server(move |stream| {
        let answer = answer.clone();
        async move {
            let service = service_fn(move |request| {
                let response = answer(&request);
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await
}

/// A server that writes these bytes and then waits for the peer to leave.
async fn writing(bytes: Vec<u8>) -> SocketAddr {
    server(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            let _ = stream.write_all(&bytes).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
    })
    .await
}

async fn get(address: SocketAddr) -> Result<Bytes, FetchError> {
    fetch().fetch(&format!("http://{address}/keys?a=b"), MAX).await
}

#[tokio::test]
async fn key_06_a_set_is_fetched_and_used() {
    let issuer = Issuer::new("a");
    let keys = set(&[issuer.jwk("")]);
    let address = answering(move |request| {
        assert_eq!(request.uri().to_string(), "/keys");
        assert_eq!(request.method(), "GET");
        assert!(request.headers().contains_key("host"));
        Response::new(Full::new(keys.clone()))
    })
    .await;
    let provider = JwksProvider { endpoint: format!("http://{address}/keys"), ..JwksProvider::default() };
    let jwks = JwksConfig { providers: vec![provider], ..JwksConfig::default() };
    let verifier = Verifier::with_jwks(VerifierConfig::default(), jwks, Arc::new(fetch())).expect("is sound");
    let token = issuer.token(r#"{"sub":"anna"}"#);
    verifier.load_keys(&token, NOW).expect("is not there yet").await;
    assert_eq!(verifier.verify_connect(&token, NOW).expect("genuine").user.as_str(), "anna");
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let elsewhere = answering(|_| panic!("nobody comes here")).await;
    for status in [301, 302, 303, 307, 308] {
        let address = answering(move |_| {
            let location = format!("http://{elsewhere}/");
            let response = Response::builder().status(status).header("location", location);
            response.body(Full::default()).expect("is a response")
        })
        .await;
        assert_eq!(get(address).await, Err(FetchError::Redirect), "{status}");
    }
}

#[tokio::test]
async fn key_06_other_statuses_are_failures() {
    for status in [201, 204, 400, 404, 429, 500, 503] {
        let address = answering(move |_| {
            Response::builder().status(status).body(Full::from("{}")).expect("is a response")
        })
        .await;
        assert_eq!(get(address).await, Err(FetchError::Status(status)), "{status}");
    }
}

#[tokio::test]
async fn a_huge_answer_is_cut_off() {
    let address = answering(|_| Response::new(Full::from(vec![b'a'; MAX]))).await;
    assert_eq!(get(address).await.map(|body| body.len()), Ok(MAX));
    let address = answering(|_| Response::new(Full::from(vec![b'a'; MAX + 1]))).await;
    assert_eq!(get(address).await, Err(FetchError::TooLarge));
    // One that goes on for ever, without saying how long it is.
    let address = server(|mut stream| async move {
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while sent.is_ok() {
            sent = stream.write_all(&[b'a'; 4_096]).await;
        }
    })
    .await;
    assert_eq!(get(address).await, Err(FetchError::TooLarge));
    // A head that goes on for ever.
    let address = server(|mut stream| async move {
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while sent.is_ok() {
            sent = stream
                .write_all(b"x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
                .await;
        }
    })
    .await;
    assert_eq!(get(address).await, Err(FetchError::Broken));
}

#[tokio::test]
async fn servers_that_speak_no_http_or_break_off_are_failures() {
    for bytes in [&b"SSH-2.0-OpenSSH\r\n"[..], b"HTTP/1.1 abc\r\n\r\n", b"\0\0\0"] {
        assert_eq!(get(writing(bytes.to_vec()).await).await, Err(FetchError::Broken));
    }
    let cut = server(|mut stream| async move {
        let mut request = [0; 1];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;
    })
    .await;
    assert_eq!(get(cut).await, Err(FetchError::Broken));
    let (listener, address) = listener().await;
    drop(listener);
    assert_eq!(get(address).await, Err(FetchError::Connect));
    // No TLS where it should be.
    let plain = writing(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()).await;
    assert_eq!(fetch().fetch(&format!("https://{plain}/"), MAX).await, Err(FetchError::Tls));
}

// The clock stands still until nothing else can happen, then jumps to the deadline.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_left_after_a_second() {
    let start = tokio::time::Instant::now();
    for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"] {
        let (listener, address) = listener().await;
        let silent = async {
            let (mut stream, _) = listener.accept().await.expect("comes");
            stream.write_all(bytes).await.expect("is written");
            std::future::pending::<()>().await;
        };
        let request = fetch().timeout(Duration::from_secs(1));
        let fetched = request.fetch(&format!("http://{address}/"), MAX);
        tokio::select! {
            () = silent => unreachable!("never ends"),
            result = fetched => assert_eq!(result, Err(FetchError::Timeout)),
        }
    }
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test]
async fn private_addresses_are_not_asked() {
    let address = answering(|_| panic!("nobody comes here")).await;
    let fetch = HttpJwksFetch::new().expect("TLS is there");
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "10.0.0.1"] {
        let result = fetch.fetch(&format!("http://{host}:{}/", address.port()), MAX).await;
        assert_eq!(result, Err(FetchError::PrivateAddress), "{host}");
    }
}
