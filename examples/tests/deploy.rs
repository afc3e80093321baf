//! What is in `deploy` is taken by the programs that it is for. A program that is not installed is skipped, and said to be.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]
#![allow(clippy::print_stderr, reason = "what is left out is said to be")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(DEPLOY).join(name)).expect("a file of this directory")
}

/// A directory of its own for each test, gone with the value.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tourbillon-deploy-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("made");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a program says. `None`: it is not installed.
fn ask(place: &Place, program: &str, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(program);
    // Debian has some of them where only root looks.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    match command.args(arguments).env("PATH", path).env("HOME", &place.0).current_dir(&place.0).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: {program} is not installed, so its example is not checked");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// Whether a program takes what it is given, and takes nothing that is wrong.
fn is_taken(place: &Place, program: &str, arguments: &[&str], wrong: &[&str]) {
    let Some(output) = ask(place, program, arguments) else { return };
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{program}: {text}");
    let refused = ask(place, program, wrong).expect("it is there");
    assert!(!refused.status.success(), "{program} takes anything");
}

#[test]
fn dep_08_nginx_takes_its_example() {
    let place = Place::new("nginx");
    let whole = |text: String| {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {name};"));
        // It opens what it listens on, which a test may not do with port 80.
        let socket = |name| format!("listen unix:{}", place.0.join(name).display());
        let text = text.replace("listen 80;", &(socket("clients") + ";"));
        let text = text.replace("listen 8080 ", &(socket("streams") + " "));
        let temporary = temporary.concat();
        format!("pid nginx.pid; error_log stderr; events {{}} http {{ access_log off; {temporary} {text} }}")
    };
    let good = place.write("good.conf", &whole(file("nginx.conf")));
    let wrong = place.write("wrong.conf", &whole(file("nginx.conf").replace("proxy_pass", "proxy_past")));
    let prefix = place.0.display().to_string();
    let check = |path: &str| ["-t", "-p", &prefix, "-e", "stderr", "-c", path].map(str::to_owned);
    let (good, wrong) = (check(&good), check(&wrong));
    let [good, wrong] =
        [&good, &wrong].map(|arguments| arguments.iter().map(String::as_str).collect::<Vec<_>>());
    is_taken(&place, "nginx", &good, &wrong);
}

#[test]
fn dep_08_haproxy_takes_its_example() {
    let place = Place::new("haproxy");
    let wrong =
        place.write("wrong.cfg", &file("haproxy.cfg").replace("balance leastconn", "balance nonsense"));
    let good = place.write("good.cfg", &file("haproxy.cfg"));
    is_taken(&place, "haproxy", &["-c", "-f", &good], &["-c", "-f", &wrong]);
}

#[test]
fn dep_08_caddy_takes_its_example() {
    let place = Place::new("caddy");
    let wrong = place.write("Wrong", &file("Caddyfile").replace("flush_interval", "flash_interval"));
    let good = place.write("Caddyfile", &file("Caddyfile"));
    let check = |path| ["validate", "--adapter", "caddyfile", "--config", path];
    is_taken(&place, "caddy", &check(&good), &check(&wrong));
}

#[test]
fn dep_08_envoy_takes_its_example() {
    let place = Place::new("envoy");
    let wrong = place.write("wrong.yaml", &file("envoy.yaml").replace("stat_prefix", "state_prefix"));
    let good = place.write("good.yaml", &file("envoy.yaml"));
    let check = |path| ["--mode", "validate", "-c", path];
    is_taken(&place, "envoy", &check(&good), &check(&wrong));
}

#[test]
fn dep_10_prometheus_takes_its_example() {
    let place = Place::new("prometheus");
    let wrong = place.write("wrong.yml", &file("prometheus.yml").replace("targets", "target"));
    let good = place.write("good.yml", &file("prometheus.yml"));
    is_taken(&place, "promtool", &["check", "config", &good], &["check", "config", &wrong]);
}

/// The unit makes sense, its socket is handed to it by the name that it asks for, and it can do little else than serve.
#[test]
fn dep_04_systemd_takes_its_units() {
    let place = Place::new("systemd");
    let service = file("tourbillon.service");
    let socket = file("tourbillon.socket");
    let name = socket.lines().find_map(|line| line.strip_prefix("FileDescriptorName=")).expect("a name");
    assert!(service.contains(&format!("--http_server.address=systemd:{name}\n")), "{service}");
    // The server is not where the example has it.
    let here = service.replace("/usr/bin/tourbillon", "/bin/true");
    let good = place.write("tourbillon.service", &here);
    let good_socket = place.write("tourbillon.socket", &socket);
    let wrong = place.write(
        "wrong.service",
        &here.replace("Type=exec", "Type=nonsense").replace("ExecStart=", "ExecBegin="),
    );
    is_taken(
        &place,
        "systemd-analyze",
        &["verify", "--man=no", &good, &good_socket],
        &["verify", "--man=no", &wrong],
    );
    let open = place.write("open.service", "[Service]\nExecStart=/bin/true\n");
    let check = |path| ["security", "--offline=true", "--threshold=20", path];
    is_taken(&place, "systemd-analyze", &check(&good), &check(&open));
}
