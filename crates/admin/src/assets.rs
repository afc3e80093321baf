//! The page: embedded, or files of a directory.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use percent_encoding::percent_decode_str;

/// Everything comes from the server itself, and the page talks to nobody else.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                   base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The largest file that is served.
const FILE_LIMIT: u64 = 32 * 1024 * 1024;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The embedded page, by the path below the prefix. The document about the API is made, and put in by whoever serves it.
const EMBEDDED: [(&str, &str, &[u8]); 8] = [
    ("/", HTML, include_bytes!("../assets/index.html")),
    ("/admin/ui/style.css", CSS, include_bytes!("../assets/style.css")),
    ("/admin/ui/app.js", SCRIPT, include_bytes!("../assets/app.js")),
    ("/admin/ui/server.js", SCRIPT, include_bytes!("../assets/server.js")),
    ("/admin/ui/status.js", SCRIPT, include_bytes!("../assets/status.js")),
    ("/admin/ui/actions.js", SCRIPT, include_bytes!("../assets/actions.js")),
    ("/admin/ui/explain.js", SCRIPT, include_bytes!("../assets/explain.js")),
    ("/admin/ui/icon.svg", SVG, include_bytes!("../assets/icon.svg")),
];

/// Whether the embedded page has something at this path below the prefix.
pub(crate) fn has(rest: &str) -> bool {
    EMBEDDED.iter().any(|(path, ..)| *path == rest)
}

/// What the embedded page has at this path below the prefix.
pub(crate) fn embedded(rest: &str) -> Option<Response<Full<Bytes>>> {
    let (_, content_type, body) = EMBEDDED.iter().find(|(path, ..)| *path == rest)?;
    let mut answer = found(content_type, Bytes::from_static(body));
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    Some(answer)
}

pub(crate) fn found(content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

/// The file of a directory at this path below the prefix. `None`: there is none.
pub(crate) async fn of_directory(directory: &Path, rest: &str) -> Option<Response<Full<Bytes>>> {
    let path = file_below(directory, rest)?;
    let metadata = tokio::fs::metadata(&path).await.ok()?;
    if !metadata.is_file() || metadata.len() > FILE_LIMIT {
        return None;
    }
    match tokio::fs::read(&path).await {
        Ok(bytes) => Some(found(content_type(&path), bytes.into())),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a file of the admin page cannot be read");
            let mut answer = found("text/plain; charset=utf-8", Bytes::from_static(b"cannot be read\n"));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Some(answer)
        }
    }
}

/// The file that the path of a request means: below the directory, whatever the path says, and nothing hidden. That of a
/// directory means its `index.html`.
#[must_use]
pub fn file_below(directory: &Path, rest: &str) -> Option<PathBuf> {
    let rest = percent_decode_str(rest.trim_start_matches('/')).decode_utf8().ok()?;
    let mut path = directory.to_path_buf();
    for name in rest.split('/') {
        // Nothing hidden either.
        let plain = !name.starts_with('.') && !name.contains(['\\', '\0', ':']);
        if !plain || (name.is_empty() && !rest.is_empty() && !rest.ends_with('/')) {
            return None;
        }
        path.push(name);
    }
    Some(if rest.is_empty() || rest.ends_with('/') { path.join("index.html") } else { path })
}

/// What is in a file, by the end of its name.
#[must_use]
pub fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" | "htm" => HTML,
        "css" => CSS,
        "js" | "mjs" => SCRIPT,
        "json" | "map" => "application/json",
        "svg" => SVG,
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_a_file_below_the_directory_or_none() {
        let file = |rest| file_below(Path::new("/www"), rest).map(|path| path.display().to_string());
        for (rest, meant) in [
            ("/", Some("/www/index.html")),
            ("/a/", Some("/www/a/index.html")),
            ("/a/b.js", Some("/www/a/b.js")),
            ("/a%20b.js", Some("/www/a b.js")),
            ("/../etc/passwd", None),
            ("/a/../../etc/passwd", None),
            ("/%2e%2e/etc/passwd", None),
            ("/%2e%2e%2fetc/passwd", None),
            ("/..%5cetc", None),
            ("/.env", None),
            ("/a//b", None),
            ("/%00", None),
            ("/%ff", None),
            ("//etc/passwd", Some("/www/etc/passwd")),
        ] {
            assert_eq!(file(rest).map(|path| path.replace('\\', "/")).as_deref(), meant, "{rest}");
        }
    }
}
