//! Where PostgreSQL is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslMode, TargetSessionAttrs};
use tourbillon_tls::rustls::ClientConfig;

/// The port where none is said.
const PORT: u16 = 5432;

/// How long the way to a host may take, where it is the only one, and where there are others: all of them within the time
/// that a call has.
const ONLY: Duration = Duration::from_secs(3);
const ONE_OF_MANY: Duration = Duration::from_secs(1);

/// A connection is asked whether it lives when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(15);

/// What was sent and is not acknowledged for so long ends a connection.
const UNHEARD: Duration = Duration::from_secs(10);

/// What other clients know and this one does not, which is said instead of something general.
const FOREIGN: &[&str] = &[
    "gssencmode",
    "passfile",
    "pool_max_conn_idle_time",
    "pool_max_conn_lifetime",
    "pool_max_conns",
    "pool_min_conns",
    "service",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
];

/// Where PostgreSQL is, and who we are there.
#[derive(Clone)]
pub struct PostgresConfig {
    pub(crate) connection: Config,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig").field("at", &self.at()).finish_non_exhaustive()
    }
}

/// A text says no place of a PostgreSQL that can be used. Does not repeat the text, which has a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DsnError(String);

impl PostgresConfig {
    /// Reads `postgresql://user:password@host:port/database?sslmode=...`, or `host=... user=...`, as PostgreSQL's own clients
    /// do. Several hosts have commas between them.
    ///
    /// `sslmode` is `disable`, `prefer`, which is the default, or `require`. As with these clients, the last two are content
    /// with any certificate; [`with_tls`](Self::with_tls) is not.
    ///
    /// # Errors
    ///
    /// What is wrong, without what may be secret.
    pub fn parse(dsn: &str) -> Result<Self, DsnError> {
        let mut connection: Config = dsn.parse().map_err(|error| DsnError(problem(dsn, &error)))?;
        let wrong = |text: &str| Err(DsnError(text.to_owned()));
        let (hosts, addresses, ports) =
            (connection.get_hosts().len(), connection.get_hostaddrs().len(), connection.get_ports().len());
        if hosts == 0 && addresses == 0 {
            return wrong("names no host");
        }
        if hosts > 0 && addresses > 0 && hosts != addresses {
            return wrong("has another number of hosts than of addresses");
        }
        if ports > 1 && ports != hosts.max(addresses) {
            return wrong("has another number of ports than of hosts");
        }
        if connection.get_target_session_attrs() == TargetSessionAttrs::ReadOnly {
            return wrong("target_session_attrs must not be read-only: there is something to be kept");
        }
        if connection.get_channel_binding() == ChannelBinding::Require {
            return wrong("channel_binding=require cannot be had: be sure of the server by TLS");
        }
        connection.target_session_attrs(TargetSessionAttrs::ReadWrite);
        // One that does not answer keeps nobody from the next, and one that is gone without a word is noticed.
        if connection.get_connect_timeout().is_none() {
            connection.connect_timeout(if hosts.max(addresses) > 1 { ONE_OF_MANY } else { ONLY });
        }
        if connection.get_tcp_user_timeout().is_none() {
            connection.tcp_user_timeout(UNHEARD);
        }
        if connection.get_keepalives_idle() == Config::new().get_keepalives_idle() {
            connection.keepalives_idle(QUIET);
            connection.keepalives_interval(QUIET / 3).keepalives_retries(3);
        }
        if connection.get_application_name().is_none() {
            connection.application_name("tourbillon");
        }
        Ok(Self { connection, tls: None })
    }

    /// Connects by this TLS, and not without.
    ///
    /// # Errors
    ///
    /// Where `sslmode=disable` says the opposite.
    pub fn with_tls(mut self, config: Arc<ClientConfig>) -> Result<Self, DsnError> {
        if self.connection.get_ssl_mode() == SslMode::Disable {
            return Err(DsnError(
                "sslmode=disable says that there is no TLS, and the options of TLS that there is".to_owned(),
            ));
        }
        self.connection.ssl_mode(SslMode::Require);
        self.tls = Some(config);
        Ok(self)
    }

    /// Whether a connection is encrypted for whoever shows any certificate.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        self.tls.is_none() && self.connection.get_ssl_mode() == SslMode::Require
    }

    /// The hosts with their ports, for messages.
    #[must_use]
    pub fn at(&self) -> String {
        let (hosts, ports) = (self.connection.get_hosts(), self.connection.get_ports());
        let port = |at: usize| ports.get(at).or_else(|| ports.first()).copied().unwrap_or(PORT);
        let addresses = self.connection.get_hostaddrs().iter().skip(hosts.len());
        let names = hosts.iter().map(name_of).chain(addresses.map(ToString::to_string));
        names.enumerate().map(|(at, name)| format!("{name}:{}", port(at))).collect::<Vec<_>>().join(",")
    }
}

fn name_of(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

/// The parser's own words may repeat parts of what it did not understand.
fn problem(dsn: &str, error: &tokio_postgres::Error) -> String {
    let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    if let Some(option) = said.strip_prefix("invalid value for option ") {
        let option = option.trim_matches('`');
        return match option {
            "sslmode" => {
                "sslmode must be disable, prefer or require: whom to be sure of, the options of TLS say"
                    .to_owned()
            }
            option => format!("{option} has a value that it cannot have"),
        };
    }
    let unknown = said.strip_prefix("unknown option ").map(|option| option.trim_matches('`'));
    match FOREIGN.iter().find(|option| unknown == Some(**option)) {
        Some(option) => format!("{option} is not known here"),
        None if dsn.is_empty() => "must be set".to_owned(),
        None => "must be like postgresql://user:password@host:5432/database".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(dsn: &str) -> Result<String, String> {
        PostgresConfig::parse(dsn).map(|config| config.at()).map_err(|error| error.to_string())
    }

    #[test]
    fn no_host_that_is_silent_is_waited_for_too_long() {
        let connection = |dsn| PostgresConfig::parse(dsn).expect("a place").connection;
        let timeout = |dsn| connection(dsn).get_connect_timeout().copied();
        assert_eq!(timeout("host=a,b,c user=ann"), Some(ONE_OF_MANY));
        assert_eq!(timeout("host=a user=ann"), Some(ONLY));
        assert_eq!(timeout("host=a,b user=ann connect_timeout=7"), Some(Duration::from_secs(7)));
        let keepalives = |dsn| connection(dsn).get_keepalives_idle();
        assert_eq!(keepalives("host=a user=ann"), QUIET);
        assert_eq!(keepalives("host=a user=ann keepalives_idle=60"), Duration::from_secs(60));
    }

    #[test]
    fn places_are_read_as_other_clients_read_them() {
        for (dsn, expected) in [
            ("postgresql://ann:p@db", "db:5432"),
            ("postgres://ann:p%40@db:1,other:2/base?sslmode=require&connect_timeout=3", "db:1,other:2"),
            ("host=db,other port=7 user=ann password='a b'", "db:7,other:7"),
            ("hostaddr=127.0.0.1 user=ann", "127.0.0.1:5432"),
            ("host=/run/postgresql user=ann", "/run/postgresql:5432"),
        ] {
            assert_eq!(at(dsn).as_deref(), Ok(expected), "{dsn}");
        }
    }

    #[test]
    fn what_is_no_place_is_told_without_its_secrets() {
        for (dsn, expected) in [
            ("", "names no host"),
            ("postgresql://", "names no host"),
            ("user=ann password=secret", "names no host"),
            (
                "postgres//ann:secret@db/x?sslmode=disable",
                "must be like postgresql://user:password@host:5432/database",
            ),
            ("secret", "must be like postgresql://user:password@host:5432/database"),
            ("host=db secret=1", "must be like postgresql://user:password@host:5432/database"),
            ("postgresql://ann:secret@db:none/x", "port has a value that it cannot have"),
            ("postgresql://ann:secret@db?sslrootcert=/secret", "sslrootcert is not known here"),
            ("host=a,b,c port=1,2", "has another number of ports than of hosts"),
            ("host=a,b hostaddr=127.0.0.1", "has another number of hosts than of addresses"),
            (
                "host=a target_session_attrs=read-only",
                "target_session_attrs must not be read-only: there is something to be kept",
            ),
            (
                "host=a channel_binding=require",
                "channel_binding=require cannot be had: be sure of the server by TLS",
            ),
            (
                "postgresql://ann:secret@db?sslmode=verify-full",
                "sslmode must be disable, prefer or require: whom to be sure of, the options of TLS say",
            ),
        ] {
            let told = at(dsn).expect_err(dsn);
            assert_eq!(told, expected, "{dsn}");
            assert!(!told.contains("secret"));
        }
    }

    #[test]
    fn tls_is_not_given_up_by_accident() {
        let tls = Arc::new(tourbillon_tls::TlsClient::default().config().expect("a configuration"));
        let of = |dsn| PostgresConfig::parse(dsn).expect("a place");
        assert!(of("host=a sslmode=require").is_unsure());
        assert!(!of("host=a").is_unsure());
        let with = of("host=a sslmode=prefer").with_tls(tls.clone()).expect("no contradiction");
        assert_eq!(with.connection.get_ssl_mode(), SslMode::Require);
        assert!(!with.is_unsure());
        assert!(of("host=a sslmode=disable").with_tls(tls).is_err());
    }

    #[test]
    fn a_place_is_shown_without_its_password() {
        let config = PostgresConfig::parse("postgresql://ann:secret@db/base").expect("a place");
        assert_eq!(format!("{config:?}"), r#"PostgresConfig { at: "db:5432", .. }"#);
    }
}
