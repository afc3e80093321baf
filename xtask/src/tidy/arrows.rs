//! Which crate may depend on which.

use std::path::Path;

use super::{Finding, Findings};
use crate::metadata::{Metadata, tree_names};

const PREFIX: &str = "tourbillon-";

/// The table of ARCHITECTURE.md, with the crates that are still to come. Names are without prefix.
const TABLE: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("delta", &[]),
    ("shared-poll", &["types"]),
    ("tls", &["types"]),
    ("protocol", &["types"]),
    ("recovery", &["types"]),
    ("fanout", &["types", "protocol", "delta"]),
    ("session", &["types", "protocol", "recovery", "delta"]),
    ("broker", &["types"]),
    ("transport", &["types"]),
    ("auth", &["types"]),
    ("broker-memory", &["broker", "recovery", "types"]),
    ("broker-redis", BROKER),
    ("broker-nats", BROKER),
    ("broker-postgres", BROKER),
    ("transport-websocket", TRANSPORT),
    ("transport-http", TRANSPORT),
    ("transport-webtransport", TRANSPORT),
    ("transport-grpc", TRANSPORT),
    ("metrics", &["protocol", "shared-poll", "transport", "types"]),
    ("control", &["hooks", "metrics", "types"]),
    ("hooks", &["session", "protocol", "recovery", "shared-poll", "broker", "transport", "types"]),
    ("hub", &["hooks", "protocol", "recovery", "shared-poll", "fanout", "transport", "metrics", "types"]),
    (
        "node",
        &[
            "hooks",
            "hub",
            "session",
            "protocol",
            "recovery",
            "shared-poll",
            "fanout",
            "broker",
            "transport",
            "control",
            "metrics",
            "types",
        ],
    ),
    ("load", &["auth", "protocol", "types"]),
    ("access", &["node", "auth", "types"]),
    ("proxy", &["hooks", "broker", "tls", "types"]),
    ("api", &["node", "types"]),
    ("consumers", &["api", "broker-nats", "broker-postgres", "broker-redis", "types"]),
    ("admin", &["api", "node", "types"]),
    (UMBRELLA, LIBRARIES),
    ("config-syntax", &[]),
    ("config", &[UMBRELLA, "config-syntax", "access", "proxy", "api", "consumers", "admin", "tls"]),
    ("server", &[UMBRELLA, "config", "access", "proxy", "api", "consumers", "admin", "tls", "load"]),
];

const BROKER: &[&str] = &["broker", "protocol", "tls", "types"];
const TRANSPORT: &[&str] = &["transport", "protocol", "types"];

/// The crate whose features re-export the others; its package has no prefix to lose.
const UMBRELLA: &str = "tourbillon";

const LIBRARIES: &[&str] = &[
    "types",
    "delta",
    "protocol",
    "recovery",
    "shared-poll",
    "session",
    "broker",
    "transport",
    "tls",
    "auth",
    "broker-memory",
    "broker-redis",
    "broker-nats",
    "broker-postgres",
    "transport-websocket",
    "transport-http",
    "transport-webtransport",
    "transport-grpc",
    "metrics",
    "control",
    "hooks",
    "fanout",
    "hub",
    "node",
    "access",
    "proxy",
    "api",
    "consumers",
    "admin",
];

/// Crates that are no part of the product and may use all of it.
const FREE: &[&str] = &["examples", "tests"];

/// Automation knows nothing of the product.
const AUTOMATION: &str = "xtask";

/// Crates of values and rules: no runtime, no sockets.
const PURE: &[&str] = &["types", "protocol", "delta", "recovery", "shared-poll", "session"];

/// What would give a crate a runtime or a socket.
const RUNTIMES: &[&str] =
    &["tokio", "tokio-util", "mio", "socket2", "async-std", "async-io", "smol", "hyper"];

/// Second providers of what aws-lc-rs and rustls do here.
const BANNED: &[&str] = &["ring", "openssl", "openssl-sys", "native-tls"];

/// What we are built for, as in `deny.toml`: on others, such as browsers, some crates know no other provider.
const TARGETS: &[&str] = &[
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
];

/// Normal and build dependencies count; what a crate needs for its tests is its own affair.
pub(super) fn check(metadata: &Metadata) -> Findings {
    let own: Vec<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let name = short(&package.name);
        let row = TABLE.iter().find(|(row, _)| *row == name);
        if row.is_none() && !FREE.contains(&name) && name != AUTOMATION {
            findings.push(Finding::new(
                &package.name,
                "is not in the table of crates (ARCHITECTURE.md, xtask/src/tidy/arrows.rs)",
            ));
            continue;
        }
        let counted =
            package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
        for dependency in counted.filter(|dependency| own.contains(&dependency.name.as_str())) {
            let allowed = match row {
                Some((_, allowed)) => allowed.contains(&short(&dependency.name)),
                None => FREE.contains(&name),
            };
            if !allowed {
                findings.push(Finding::new(&package.name, format!("must not depend on {}", dependency.name)));
            }
        }
    }
    findings
}

fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

pub(super) fn pure(root: &Path) -> Result<Findings, String> {
    let metadata = Metadata::load(root)?;
    let mut findings = Vec::new();
    for package in metadata.packages.iter().filter(|package| PURE.contains(&short(&package.name))) {
        let names = tree_names(
            root,
            &format!("--package {} --edges normal --target all --all-features", package.name),
        )?;
        findings.extend(forbidden(&package.name, &names, RUNTIMES));
    }
    Ok(findings)
}

pub(super) fn banned(root: &Path) -> Result<Findings, String> {
    let targets: String = TARGETS.iter().map(|target| format!(" --target {target}")).collect();
    let names = tree_names(root, &format!("--workspace --all-features --edges normal,build,dev{targets}"))?;
    Ok(forbidden("the workspace", &names, BANNED))
}

fn forbidden(whose: &str, names: &[String], list: &[&str]) -> Findings {
    let found = names.iter().filter(|name| list.contains(&name.as_str()));
    found.map(|name| Finding::new(whose, format!("must not have {name} among its dependencies"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Named<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);

    fn workspace(packages: &[Named<'_>]) -> Metadata {
        let packages: Vec<_> = packages
            .iter()
            .map(|(name, dependencies)| {
                let dependencies: Vec<_> = dependencies
                    .iter()
                    .map(|(name, kind)| serde_json::json!({ "name": name, "kind": kind }))
                    .collect();
                serde_json::json!({ "name": name, "dependencies": dependencies })
            })
            .collect();
        let text = serde_json::json!({ "packages": packages, "target_directory": "/" }).to_string();
        Metadata::parse(&text).expect("metadata")
    }

    #[test]
    fn allowed_arrows_are_allowed() {
        let metadata = workspace(&[
            ("tourbillon-types", &[("bytes", None)]),
            ("tourbillon-protocol", &[("tourbillon-types", None), ("tourbillon-node", Some("dev"))]),
            ("tourbillon-node", &[("tourbillon-protocol", None)]),
            ("tourbillon", &[("tourbillon-node", None)]),
            ("tourbillon-server", &[("tourbillon", None)]),
            ("tourbillon-tests", &[("tourbillon-server", None)]),
            ("xtask", &[("toml", None)]),
        ]);
        assert_eq!(check(&metadata), Vec::new());
    }

    #[test]
    fn forbidden_arrows_are_found() {
        for (from, to) in [
            ("tourbillon-types", "tourbillon-node"),
            ("tourbillon-session", "tourbillon-node"),
            ("tourbillon-node", "tourbillon-broker-memory"),
            ("tourbillon-node", "tourbillon-transport-websocket"),
            ("tourbillon-transport-websocket", "tourbillon-node"),
            ("tourbillon-broker-redis", "tourbillon-recovery"),
            ("tourbillon-api", "tourbillon-access"),
            ("tourbillon", "tourbillon-server"),
            ("tourbillon-server", "tourbillon-node"),
            ("xtask", "tourbillon-types"),
        ] {
            for kind in [None, Some("build")] {
                let metadata = workspace(&[(from, &[(to, kind)]), (to, &[])]);
                let expected = Finding::new(from, format!("must not depend on {to}"));
                assert_eq!(check(&metadata), [expected], "{from} -> {to}");
            }
        }
    }

    #[test]
    fn a_crate_outside_the_table_is_found() {
        let findings = check(&workspace(&[("tourbillon-extra", &[])]));
        assert_eq!(findings.len(), 1, "{findings:?}");
    }

    #[test]
    fn the_table_names_only_crates_it_has() {
        let known = |name: &&str| TABLE.iter().any(|(row, _)| row == name);
        assert!(TABLE.iter().flat_map(|(_, allowed)| *allowed).all(known));
        assert!(PURE.iter().all(known));
        // All but the umbrella itself, the server, the two of its configuration and the load.
        assert_eq!(LIBRARIES.len() + 5, TABLE.len(), "the umbrella reaches every library");
    }

    #[test]
    fn a_runtime_in_a_pure_crate_is_found() {
        let names = ["bytes".to_owned(), "tokio".to_owned()];
        assert_eq!(forbidden("tourbillon-types", &names, RUNTIMES).len(), 1);
        assert_eq!(forbidden("tourbillon-types", &names[..1], RUNTIMES), Vec::new());
        assert_eq!(forbidden("the workspace", &["ring".to_owned()], BANNED).len(), 1);
    }
}
