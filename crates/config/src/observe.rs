//! What operators look at: metrics, the admin pages and those about the process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tourbillon::node::{Form, Measures};
use tourbillon_admin::AdminConfig;

use crate::check::Checker;
use crate::describe::{Describe, Texts, path_of};
use crate::model::options;
use crate::secret::SecretText;

options! {
    /// `prometheus`.
    Prometheus {
        /// Switches the endpoint for Prometheus on, and with it the measuring of durations.
        enabled: bool = false,
        /// The path.
        handler_prefix: String = "/metrics".to_owned(),
        /// Counts HTTP requests by path, method and status.
        instrument_http_handlers: bool = false,
        /// Measures how many publications subscriptions recover.
        recovered_publications_histogram: bool = false,
        /// Connections are told apart by these of their labels, too, as `app_<label>`: labels with few values. An option of
        /// Centrifugo PRO.
        client_labels: Vec<String> = Vec::new(),
        /// Native histograms instead of classic ones and summaries. Prometheus has to ask for them.
        native_histograms: bool = false,
    }
}

/// Metrics for Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrometheusSettings {
    /// The path.
    pub path: String,
    /// What is measured.
    pub measures: Measures,
    /// Whether HTTP requests are counted.
    pub http_requests: bool,
}

/// OBS-01.
pub(crate) fn prometheus(check: &mut Checker, options: &Prometheus) -> Option<PrometheusSettings> {
    let path = check.prefix("prometheus.handler_prefix", &options.handler_prefix);
    for label in &options.client_labels {
        if label.is_empty() || !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            check.error("prometheus.client_labels", format!("{label:?} must be of letters, digits and _"));
        }
    }
    let form = if options.native_histograms { Form::Native } else { Form::Classic };
    let mut measures = Measures::new(form);
    measures.recovered_publications = options.recovered_publications_histogram;
    options.enabled.then_some(PrometheusSettings {
        path,
        measures,
        http_requests: options.instrument_http_handlers,
    })
}

options! {
    /// `debug`.
    Debugging {
        /// Switches the pages on by which the process tells about itself: its memory, threads and runtime.
        enabled: bool = false,
        /// The path that they are below.
        handler_prefix: String = "/debug/pprof".to_owned(),
    }
}

options! {
    /// `admin`.
    Admin {
        /// Switches the admin page and its API on.
        enabled: bool = false,
        /// The path that both are below; empty for none.
        handler_prefix: String = String::new(),
        /// The password. Without one nobody can log in.
        password: SecretText = SecretText::default(),
        /// What tokens are signed with, the same on all nodes. Without one nobody can log in.
        secret: SecretText = SecretText::default(),
        /// Lets everybody do everything, without a password: for development. Asked for by `localhost` or an address only.
        insecure: bool = false,
        /// A directory with a page to serve instead of the embedded one.
        web_path: String = String::new(),
        /// On the external port too, where there are two.
        external: bool = false,
    }
}

/// The admin page and its API.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdminSettings {
    /// How they behave.
    pub config: AdminConfig,
    /// Whether they are on the external port too.
    pub external: bool,
}

/// ADM-01.
pub(crate) fn admin(check: &mut Checker, options: &Admin) -> Option<AdminSettings> {
    let mut config = AdminConfig::default();
    let prefix = options.handler_prefix.as_str();
    if !prefix.is_empty() {
        let prefix = check.prefix("admin.handler_prefix", prefix);
        config.prefix = if prefix == "/" { String::new() } else { prefix };
    }
    config.password = options.password.expose().to_owned();
    config.secret = options.secret.expose().to_owned();
    config.insecure = options.insecure;
    config.web_path = Some(&options.web_path).filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(path) = config.web_path.as_ref().filter(|path| options.enabled && !path.is_dir()) {
        check.error("admin.web_path", format!("{} is not a directory", path.display()));
    }
    options.enabled.then_some(AdminSettings { config, external: options.external })
}

/// What of it is allowed and insecure, or useless.
pub(crate) fn admin_warnings(options: &Admin) -> Vec<String> {
    let mut warnings = Vec::new();
    if options.enabled && options.insecure {
        warnings.push(
            "admin.insecure: whoever reaches the admin page can do everything; for development only"
                .to_owned(),
        );
    } else if options.enabled {
        for (name, value) in [("password", &options.password), ("secret", &options.secret)] {
            if value.is_empty() {
                warnings.push(format!("admin.{name} is empty: nobody can log in to the admin page"));
            }
        }
    }
    warnings
}
