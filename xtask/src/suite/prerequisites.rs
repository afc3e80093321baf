//! What the run needs that cargo does not bring: Node, the npm packages of the SDK tests, a browser, a reverse proxy,
//! Python's packages.
//!
//! What is missing is installed where that can be done. Where it cannot, the steps that need it are left out, and
//! the run says so at the top, in its report and nowhere quietly.

use std::path::Path;

use crate::command::Command;

/// The folder with the tests that use the official SDK.
pub(super) const SDK: &str = "tests/sdk";

/// The folder with the tests in Python.
pub(super) const PYTHON: &str = "tests/python";

/// The program, and the Debian package that has it.
const BROWSER: &str = "chromium";

/// Reverse proxies: the programs, and the Debian packages that have them.
const PROXIES: [&str; 3] = ["nginx", "haproxy", "caddy"];

/// What servers share in the tests that have several.
const REDIS: &str = "redis-server";
/// Likewise.
const NATS: &str = "nats-server";

/// Likewise. A package whose programs are not in the path.
const POSTGRES: &str = "postgresql";

/// What brokers are made for. Tests start processes of their own.
pub(super) const SERVICES: &[&str] = &[REDIS, NATS, POSTGRES];

/// What is not there, with the reason.
#[derive(Debug, Default)]
pub(super) struct Missing {
    pub(super) node: Option<String>,
    pub(super) browser: Option<String>,
    /// The tests behind it are left out then, and say so.
    pub(super) proxy: Option<String>,
    /// Likewise.
    pub(super) redis: Option<String>,
    pub(super) nats: Option<String>,
    pub(super) postgres: Option<String>,
}

/// Installs what the wanted steps need and is missing.
pub(super) fn install(root: &Path, sdk: bool, browser: bool) -> Result<Missing, String> {
    let mut missing = Missing::default();
    if sdk {
        missing.node = node(root);
        if missing.node.is_none() {
            packages(root)?;
        }
        let proxies = PROXIES.iter().filter_map(|proxy| package_missing(root, proxy));
        missing.proxy = proxies.reduce(|all, one| format!("{all}; {one}"));
        missing.redis = package_missing(root, REDIS);
        missing.nats = package_missing(root, NATS);
        missing.postgres = package_missing(root, POSTGRES);
    }
    if browser {
        missing.browser = package_missing(root, BROWSER);
    }
    Ok(missing)
}

fn node(root: &Path) -> Option<String> {
    let version = Command::new(root, "node --version").capture().unwrap_or_default();
    let major =
        version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(20..) if Command::new(root, "npm --version").answers() => None,
        Some(20..) => Some("npm is not installed".to_owned()),
        Some(_) => Some(format!("Node 20 is needed, this is {}", version.trim())),
        None => Some("Node 20 is not installed (https://nodejs.org)".to_owned()),
    }
}

/// The packages of the lock file, unless they are there already.
fn packages(root: &Path) -> Result<(), String> {
    let folder = root.join(SDK);
    let changed = |file: &str| std::fs::metadata(folder.join(file)).and_then(|meta| meta.modified()).ok();
    let Some(locked) = changed("package-lock.json") else {
        println!("{SDK} has no package-lock.json: nothing to install");
        return Ok(());
    };
    if changed("node_modules/.package-lock.json").is_some_and(|installed| installed >= locked) {
        println!("{SDK}: packages are there");
        return Ok(());
    }
    let install = Command::new(&folder, "npm ci --no-audit --no-fund");
    println!("$ {}", install.shown(root));
    if install.run()? { Ok(()) } else { Err(install.shown(root)) }
}

/// The Python of a virtual environment in `folder` that has the packages of the tests, or why there is none.
pub(super) fn python(root: &Path, folder: &Path) -> Result<Result<String, String>, String> {
    let program = folder.join("bin/python").to_string_lossy().into_owned();
    if !Command::new(root, "python3 --version").answers() {
        return Ok(Err("Python 3 is not installed".to_owned()));
    }
    if !Command::at(root, &program).argument("--version").answers() {
        let make = Command::new(root, "python3 -m venv").argument(folder.to_string_lossy());
        println!("$ {}", make.shown(root));
        if !make.run()? {
            return Ok(Err("Python 3 cannot make virtual environments (python3-venv)".to_owned()));
        }
    }
    let mut install = Command::at(root, &program);
    for argument in ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"] {
        install = install.argument(argument);
    }
    let install = install.argument(format!("{PYTHON}/requirements.txt"));
    println!("$ {}", install.shown(root));
    Ok(if install.run()? { Ok(program) } else { Err(format!("no packages: {}", install.shown(root))) })
}

/// Whether a program is there, or, of a package without one, what it has.
fn is_there(root: &Path, program: &str) -> bool {
    if program == POSTGRES {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        return versions.map(|version| version.path().join("bin/initdb")).any(|path| path.exists())
            || Command::new(root, "initdb --version").answers();
    }
    let asked = |flag| Command::new(root, &format!("{program} {flag}")).answers();
    asked("--version") || asked("-v")
}

/// Why a program is missing that Debian has in a package of the same name, and that could not be installed.
pub(super) fn package_missing(root: &Path, program: &str) -> Option<String> {
    let there = || is_there(root, program);
    if there() {
        println!("{program} is there");
        return None;
    }
    let wanted = format!("Debian's package {program} is not installed");
    if !Command::new(root, "apt-get --version").answers() {
        return Some(format!("{wanted}, and there is no apt-get"));
    }
    if Command::new(root, "id -u").capture().is_ok_and(|user| user.trim() != "0") {
        return Some(format!("{wanted}: run `apt-get install {program}` as root"));
    }
    let apt = |line: &str| {
        let command =
            Command::new(root, &format!("apt-get {line}")).environment("DEBIAN_FRONTEND", "noninteractive");
        println!("$ {}", command.shown(root));
        command.run().unwrap_or(false)
    };
    let install = format!("install --yes --no-install-recommends {program}");
    // The list of packages may be older than the packages that are still to be had.
    let installed = apt(&install) || (apt("update") && apt(&install));
    (!installed || !there()).then(|| format!("{wanted}, and apt-get could not install it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_asked_for_where_nothing_is_wanted() {
        let missing = install(Path::new("/"), false, false).expect("nothing to do");
        assert!(missing.node.is_none() && missing.browser.is_none());
        assert!(missing.proxy.is_none() && missing.redis.is_none());
        assert!(missing.nats.is_none() && missing.postgres.is_none());
    }

    #[test]
    fn a_folder_without_lock_file_needs_no_packages() {
        assert_eq!(packages(Path::new("/no/such/folder")), Ok(()));
    }
}
