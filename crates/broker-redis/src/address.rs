//! The forms in which addresses are written (RED-01, RED-02).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tourbillon_tls::TlsClient;

use crate::config::{Connection, HostPort, RedisTls, Servers, ShardConfig};

/// The port where the address names none.
const PORT: u16 = 6379;

/// What is wrong with an address. Says nothing of what is in it: there may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

impl AddressError {
    fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

impl ShardConfig {
    /// The shard at this address: `host:port`, or a URL with scheme `redis`, `rediss`, `tcp`, `unix`, `redis+sentinel`,
    /// `rediss+sentinel` or `redis+cluster`. What the URL says goes before `defaults`; its path is the database, `addr` in
    /// the query names further nodes.
    ///
    /// # Errors
    ///
    /// What is wrong, without the address.
    pub fn parse(address: &str, defaults: &Connection) -> Result<Self, AddressError> {
        let Some((scheme, rest)) = address.split_once("://") else {
            return Ok(Self::new(Servers::Standalone(host_port(address, None)?), defaults.clone()));
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (credentials, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let mut connection = defaults.clone();
        read_credentials(credentials, &mut connection)?;
        let mut query = Query::read(query, &mut connection)?;
        if scheme == "unix" {
            if path.is_empty() {
                return Err(AddressError::new("a unix:// address needs the path of a socket"));
            }
            query.is_used_up()?;
            return Ok(Self::new(Servers::Unix(PathBuf::from(decoded(path)?)), connection));
        }
        if let Some(database) = path.strip_prefix('/').filter(|database| !database.is_empty()) {
            connection.database =
                database.parse().map_err(|_| AddressError::new("the database is a number from 0 to 255"))?;
        }
        let mut hosts = vec![host_port(&decoded(host)?, Some(PORT))?];
        hosts.append(&mut query.nodes);
        if scheme.starts_with("rediss") {
            trust_everybody_known(&mut connection)?;
        }
        let servers = match scheme {
            "redis+cluster" => Servers::Cluster(hosts),
            "redis+sentinel" | "rediss+sentinel" => {
                let master = query.master.take();
                let master = master
                    .ok_or_else(|| AddressError::new("a sentinel address needs sentinel_master_name"))?;
                Servers::Sentinel { hosts, master }
            }
            "redis" | "rediss" | "tcp" => match (query.master.take(), hosts.len()) {
                (Some(master), _) => Servers::Sentinel { hosts, master },
                (None, 1) => Servers::Standalone(hosts.remove(0)),
                (None, _) => {
                    return Err(AddressError::new("several nodes are of a cluster: redis+cluster://"));
                }
            },
            _ => {
                return Err(AddressError::new(format!(
                    "the scheme {scheme:?} is not known: redis, rediss, tcp, unix, redis+sentinel, rediss+sentinel, \
                     redis+cluster"
                )));
            }
        };
        query.is_used_up()?;
        Ok(Self::new(servers, connection))
    }

    /// A shard that is a cluster with these nodes, `host:port` each, joined by commas (`cluster_address`).
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn cluster(nodes: &str, connection: &Connection) -> Result<Self, AddressError> {
        Ok(Self::new(Servers::Cluster(listed(nodes)?), connection.clone()))
    }

    /// A shard that these sentinels know, `host:port` each, joined by commas (`sentinel_address`).
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and where there is no name of a master.
    pub fn sentinel(nodes: &str, master: &str, connection: &Connection) -> Result<Self, AddressError> {
        if master.is_empty() {
            return Err(AddressError::new("sentinels need the name of a master"));
        }
        let servers = Servers::Sentinel { hosts: listed(nodes)?, master: master.to_owned() };
        Ok(Self::new(servers, connection.clone()))
    }
}

fn listed(nodes: &str) -> Result<Vec<HostPort>, AddressError> {
    nodes.split(',').map(|node| host_port(node, None)).collect()
}

/// What the query of a URL says besides settings of the connection.
#[derive(Debug, Default)]
struct Query {
    nodes: Vec<HostPort>,
    master: Option<String>,
}

impl Query {
    fn read(query: &str, connection: &mut Connection) -> Result<Self, AddressError> {
        let mut it = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(&value.replace('+', " "))?);
            match name.as_str() {
                "addr" => it.nodes.push(host_port(&value, None)?),
                "sentinel_master_name" => it.master = Some(value).filter(|name| !name.is_empty()),
                "connect_timeout" => connection.connect_timeout = duration(&name, &value)?,
                "io_timeout" => connection.io_timeout = duration(&name, &value)?,
                "force_resp2" => connection.force_resp2 = flag(&name, &value)?,
                "sentinel_user" => connection.sentinel_user = value,
                "sentinel_password" => connection.sentinel_password = value,
                // One set of options for both.
                "tls_enabled" | "sentinel_tls_enabled" => {
                    if flag(&name, &value)? {
                        trust_everybody_known(connection)?;
                    }
                }
                "replica_client_enabled" => {
                    if flag(&name, &value)? {
                        return Err(AddressError::new("replicas are not read from: replica_client_enabled"));
                    }
                }
                _ => return Err(AddressError::new(format!("the parameter {name:?} is not known"))),
            }
        }
        Ok(it)
    }

    fn is_used_up(&self) -> Result<(), AddressError> {
        if !self.nodes.is_empty() {
            return Err(AddressError::new("further nodes do not go with this scheme: addr"));
        }
        if self.master.is_some() {
            return Err(AddressError::new("sentinels do not go with this scheme: sentinel_master_name"));
        }
        Ok(())
    }
}

/// TLS as browsers have it, unless the options say how.
fn trust_everybody_known(connection: &mut Connection) -> Result<(), AddressError> {
    if connection.tls.is_none() {
        let config = TlsClient::default().config().map_err(|error| AddressError::new(error.to_string()))?;
        connection.tls = Some(RedisTls::new(Arc::new(config), None));
    }
    Ok(())
}

fn read_credentials(text: &str, connection: &mut Connection) -> Result<(), AddressError> {
    let (user, password) = text.split_once(':').map_or((text, None), |(user, it)| (user, Some(it)));
    if !user.is_empty() {
        connection.user = decoded(user)?;
    }
    if let Some(password) = password {
        connection.password = decoded(password)?;
    }
    Ok(())
}

fn host_port(text: &str, port: Option<u16>) -> Result<HostPort, AddressError> {
    let malformed = || AddressError::new("malformed address, must be a Redis URL or host:port");
    let (host, rest) = match text.strip_prefix('[') {
        Some(text) => text.split_once(']').ok_or_else(malformed)?,
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) => digits.parse().map_err(|_| malformed())?,
        None if rest.is_empty() => port.ok_or_else(malformed)?,
        None => return Err(malformed()),
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(malformed());
    }
    Ok(HostPort { host: host.to_owned(), port })
}

fn decoded(text: &str) -> Result<String, AddressError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| AddressError::new("what is behind the percent signs is no UTF-8"))
}

fn flag(name: &str, value: &str) -> Result<bool, AddressError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(AddressError::new(format!("{name} is true or false"))),
    }
}

/// A duration as Go writes it, in units of which a timeout may have several.
fn duration(name: &str, value: &str) -> Result<Duration, AddressError> {
    let wrong = || AddressError::new(format!("{name} is a duration above zero, such as 1s or 500ms"));
    let (mut sum, mut rest) = (Duration::ZERO, value);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, behind) = rest.split_at(digits);
        let unit = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            _ => return Err(wrong()),
        };
        let part = number.parse::<f64>().map_err(|_| wrong())? * seconds;
        sum = Duration::try_from_secs_f64(part)
            .ok()
            .and_then(|part| sum.checked_add(part))
            .ok_or_else(wrong)?;
        rest = behind;
    }
    if sum.is_zero() { Err(wrong()) } else { Ok(sum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    fn parse(address: &str) -> ShardConfig {
        match ShardConfig::parse(address, &Connection::default()) {
            Ok(shard) => shard,
            Err(error) => panic!("{address}: {error}"),
        }
    }

    #[test]
    fn red_01_addresses_have_many_forms() {
        let standalone = |host, port| Servers::Standalone(at(host, port));
        let sentinel = |hosts| Servers::Sentinel { hosts, master: "m".to_owned() };
        for (address, servers) in [
            ("redis.example:7000", standalone("redis.example", 7000)),
            ("[::1]:7000", standalone("::1", 7000)),
            ("redis://127.0.0.1:6379", standalone("127.0.0.1", 6379)),
            ("redis://h", standalone("h", 6379)),
            ("tcp://h:1", standalone("h", 1)),
            ("rediss://[::1]:2/3", standalone("::1", 2)),
            ("unix:///tmp/redis.sock", Servers::Unix("/tmp/redis.sock".into())),
            (
                "redis+cluster://a:1?addr=b:2&addr=c:3",
                Servers::Cluster(vec![at("a", 1), at("b", 2), at("c", 3)]),
            ),
            ("redis+sentinel://a:1?sentinel_master_name=m&addr=b:2", sentinel(vec![at("a", 1), at("b", 2)])),
            ("rediss+sentinel://a:1?sentinel_master_name=m", sentinel(vec![at("a", 1)])),
            ("redis://a:1?sentinel_master_name=m", sentinel(vec![at("a", 1)])),
        ] {
            let shard = parse(address);
            assert_eq!(shard.servers, servers, "{address}");
            assert_eq!(shard.connection.tls.is_some(), address.starts_with("rediss"), "{address}");
        }
    }

    #[test]
    fn red_01_addresses_say_how_to_connect() {
        let address = "redis://us%40er:p%3Ass@h:1/7?connect_timeout=1m1.5s&io_timeout=250ms&force_resp2=true";
        let Connection { user, password, database, connect_timeout, io_timeout, force_resp2, .. } =
            parse(address).connection;
        assert_eq!((user.as_str(), password.as_str(), database), ("us@er", "p:ss", 7));
        assert_eq!(connect_timeout, Duration::from_millis(61_500));
        assert_eq!((io_timeout, force_resp2), (Duration::from_millis(250), true));
        let address = "redis+sentinel://:p@h:1?sentinel_master_name=m&sentinel_user=u&sentinel_password=q%26";
        let connection = parse(address).connection;
        assert_eq!((connection.user.as_str(), connection.password.as_str()), ("", "p"));
        assert_eq!((connection.sentinel_user.as_str(), connection.sentinel_password.as_str()), ("u", "q&"));
        assert!(parse("redis://h:1?tls_enabled=1").connection.tls.is_some());
        let defaults = Connection { user: "d".to_owned(), database: 3, ..Connection::default() };
        let connection = ShardConfig::parse("redis://h", &defaults).map(|shard| shard.connection);
        assert!(connection.is_ok_and(|connection| connection.user == "d" && connection.database == 3));
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        for (address, problem) in [
            ("localhost", "host:port"),
            (":6379", "host:port"),
            ("h:port", "host:port"),
            ("http://u:secret@h:1", "scheme"),
            ("redis://u:secret@h:port", "host:port"),
            ("redis://u:secret@h:1/x", "database"),
            ("redis://u:secret@h:1/256", "database"),
            ("redis://u:secret@h:1?addr=i:2", "cluster"),
            ("redis://h:1?unknown=secret", "unknown"),
            ("redis://h:1?io_timeout=0s", "io_timeout"),
            ("redis://h:1?io_timeout=5", "io_timeout"),
            ("redis://h:1?force_resp2=secret", "force_resp2"),
            ("redis://h:1?replica_client_enabled=true", "replica"),
            ("redis+sentinel://u:secret@h:1", "sentinel_master_name"),
            ("redis+cluster://h:1?sentinel_master_name=m", "sentinel_master_name"),
            ("unix://", "path"),
            ("unix:///s?addr=a:1", "addr"),
            ("redis://%ff:secret@h:1", "UTF-8"),
        ] {
            let error =
                ShardConfig::parse(address, &Connection::default()).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains("secret"), "{address}: {error}");
        }
    }

    #[test]
    fn red_02_lists_of_nodes() {
        let connection = Connection::default();
        let nodes = vec![at("a", 1), at("b", 2)];
        let cluster = ShardConfig::cluster("a:1,b:2", &connection).map(|shard| shard.servers);
        assert_eq!(cluster, Ok(Servers::Cluster(nodes.clone())));
        let sentinel = ShardConfig::sentinel("a:1,b:2", "m", &connection).map(|shard| shard.servers);
        assert_eq!(sentinel, Ok(Servers::Sentinel { hosts: nodes, master: "m".to_owned() }));
        for wrong in ["", "a", "a:1,", "redis://a:1"] {
            assert!(ShardConfig::cluster(wrong, &connection).is_err(), "{wrong}");
            assert!(ShardConfig::sentinel(wrong, "m", &connection).is_err(), "{wrong}");
        }
        assert!(ShardConfig::sentinel("a:1", "", &connection).is_err());
    }

    #[test]
    fn debug_output_does_not_show_passwords() {
        let address = "redis+sentinel://u:secret@h:1?sentinel_master_name=m&sentinel_password=secret";
        assert!(!format!("{:?}", parse(address)).contains("secret"));
    }
}
