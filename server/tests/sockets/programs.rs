//! Other programs' TLS and HTTP/2 against ours. Where one is not installed, its part tells nothing.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use crate::certificates::Authority;
use crate::harness::start;
use crate::tls::Folder;

/// What a program writes, in both ways; `None` where it is not there.
async fn output(program: &'static str, arguments: Vec<String>) -> Option<String> {
    let run = move || Command::new(program).args(arguments).stdin(Stdio::null()).output();
    match tokio::task::spawn_blocking(run).await.expect("no panic") {
        Ok(output) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Some(text(&output.stdout) + &text(&output.stderr))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{program}: {error}"),
    }
}

#[tokio::test]
async fn curl_speaks_both_versions_of_http() {
    let (authority, folder) = (Authority::new("root"), Folder::new("curl"));
    let server = start(|options| authority.issue("localhost").on(options)).await;
    let root = folder.write("root.pem", &authority.pem());
    for (flags, expected) in [
        (["--http2", "--tlsv1.3"], "2 200"),
        (["--http2", "--tlsv1.2"], "2 200"),
        (["--http1.1", "--tlsv1.2"], "1.1 200"),
    ] {
        let address = format!("https://localhost:{}/health", server.external.port());
        let more =
            ["-sS", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", "--cacert", &root, &address];
        let arguments = flags.into_iter().chain(more).map(str::to_owned).collect();
        let Some(said) = output("curl", arguments).await else { break };
        assert_eq!(said, expected, "{flags:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn openssl_is_content_with_the_handshake() {
    let (authority, folder) = (Authority::new("root"), Folder::new("openssl"));
    let server = start(|options| authority.issue("localhost").on(options)).await;
    let root = folder.write("root.pem", &authority.pem());
    for (flag, protocol, is_spoken) in [
        ("-tls1_3", "TLSv1.3", true),
        ("-tls1_2", "TLSv1.2", true),
        ("-tls1_1", "TLSv1.1", false),
        ("-tls1", "TLSv1", false),
    ] {
        let address = server.external.to_string();
        let arguments = [
            "s_client",
            "-connect",
            &address,
            "-servername",
            "localhost",
            "-alpn",
            "h2",
            "-CAfile",
            &root,
            flag,
        ];
        let Some(said) = output("openssl", arguments.map(str::to_owned).to_vec()).await else { break };
        let good = said.contains("Verify return code: 0 (ok)") && said.contains("ALPN protocol: h2");
        let negotiated = said.contains(&format!("New, {protocol}, Cipher is TLS_"))
            || said.contains(&format!("New, {protocol}, Cipher is ECDHE-"));
        assert_eq!((good && negotiated), is_spoken, "{flag}: {said}");
    }
    server.end().await;
}
