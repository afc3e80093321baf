//! What small commands serve while somebody develops: the files of a directory (CLI-11), or a page.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures_util::stream::try_unfold;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tourbillon_admin::{content_type, file_below};

/// How many connections there are at once. More wait.
const MOST_CONNECTIONS: usize = 256;

/// How long the head of a request may take, and the next request of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a file is in memory for an answer.
const PIECE: usize = 64 * 1024;

const HTML: &str = "text/html; charset=utf-8";

/// `serve` (CLI-11).
#[derive(Clone, Debug, Args)]
pub struct ServeFiles {
    /// The directory.
    #[arg(short, long, default_value = "./")]
    pub dir: PathBuf,
    /// The port to serve on; 0 for any.
    #[arg(short, long, default_value_t = 3000)]
    pub port: u16,
    /// The address to serve on.
    #[arg(short, long, default_value = "127.0.0.1")]
    pub address: String,
}

impl ServeFiles {
    /// Serves the directory until the process ends. Files whose names begin with a dot are not served.
    ///
    /// # Errors
    ///
    /// There is no such directory, or the port cannot be had.
    pub fn run(&self) -> Result<String, String> {
        if !self.dir.is_dir() {
            return Err(format!("{} is not a directory", self.dir.display()));
        }
        serve(&self.address, self.port, Served::Directory(self.dir.clone()))
    }
}

/// What is served.
pub(crate) enum Served {
    /// One page, whatever the path.
    Page(Bytes),
    /// The files of a directory.
    Directory(PathBuf),
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Serves until the process ends, and says where.
#[expect(clippy::print_stdout, reason = "a program for people")]
pub(crate) fn serve(address: &str, port: u16, served: Served) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let wrong = |error: io::Error| format!("listening on {address}:{port}: {error}");
        let listener = TcpListener::bind((address, port)).await.map_err(wrong)?;
        println!("serving on http://{}", listener.local_addr().map_err(wrong)?);
        Err(accept(&listener, Arc::new(served)).await.to_string())
    })
}

/// Takes connections until that fails.
async fn accept(listener: &TcpListener, served: Arc<Served>) -> io::Error {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return error,
        };
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request: Request<Incoming>| {
                let served = Arc::clone(&served);
                async move { Ok::<_, Infallible>(served.answer(request.method(), request.uri().path()).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            // A client that goes away is no news.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Served {
    async fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        if method != Method::GET && method != Method::HEAD {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match self {
            Self::Page(page) => full(StatusCode::OK, HTML, page.clone()),
            Self::Directory(directory) => match of_directory(directory, path).await {
                Ok(answer) => answer,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    text(StatusCode::NOT_FOUND, "not found\n")
                }
                Err(_) => text(StatusCode::FORBIDDEN, "cannot be read\n"),
            },
        }
    }
}

/// A file, what a directory holds that has no page of its own, or the place of a directory that was named like a file.
async fn of_directory(directory: &Path, path: &str) -> io::Result<Response<Body>> {
    let meant = file_below(directory, path).ok_or(io::ErrorKind::NotFound)?;
    let is_directory = tokio::fs::metadata(&meant).await.map(|metadata| metadata.is_dir());
    match is_directory {
        Ok(true) => {
            let mut answer = text(StatusCode::MOVED_PERMANENTLY, "it is a directory\n");
            let place = HeaderValue::try_from(format!("/{}/", path.trim_start_matches('/')));
            answer.headers_mut().insert(LOCATION, place.map_err(io::Error::other)?);
            Ok(answer)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.ends_with('/') => {
            let list = listing(meant.parent().unwrap_or(directory)).await?;
            Ok(full(StatusCode::OK, HTML, list.into()))
        }
        Ok(false) => file(&meant).await,
        Err(error) => Err(error),
    }
}

async fn file(path: &Path) -> io::Result<Response<Body>> {
    let file = tokio::fs::File::open(path).await?;
    let length = file.metadata().await?.len();
    // What is appended meanwhile is not part of the answer.
    let pieces = try_unfold(file.take(length), |mut file| async move {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece).await?;
        Ok::<_, io::Error>((read > 0).then(|| (Frame::data(Bytes::from(piece)), file)))
    });
    let mut answer = Response::new(StreamBody::new(pieces).boxed_unsync());
    head(&mut answer, content_type(path));
    answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    Ok(answer)
}

/// A page with a link to everything in a directory that is served.
async fn listing(directory: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    let mut entries = tokio::fs::read_dir(directory).await?;
    while let Some(entry) = entries.next_entry().await? {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !name.starts_with('.') {
            let is_directory =
                tokio::fs::metadata(entry.path()).await.is_ok_and(|metadata| metadata.is_dir());
            names.push(if is_directory { format!("{name}/") } else { name });
        }
    }
    names.sort();
    let mut page = "<!doctype html>\n<meta charset=\"utf-8\">\n<pre>\n".to_owned();
    for name in names {
        let shown = name.replace('&', "&amp;").replace('<', "&lt;");
        let link = utf8_percent_encode(name.trim_end_matches('/'), NON_ALPHANUMERIC);
        let end = if name.ends_with('/') { "/" } else { "" };
        // A text takes everything that is written to it.
        let _ = writeln!(page, "<a href=\"./{link}{end}\">{shown}</a>");
    }
    page.push_str("</pre>\n");
    Ok(page)
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    full(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn full(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let body = Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    head(&mut answer, content_type);
    answer
}

fn head(answer: &mut Response<Body>, content_type: &'static str) {
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
