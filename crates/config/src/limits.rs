//! `client.rate_limit`: what clients may do in which time.
//!
//! These options are those of Centrifugo's paid edition.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tourbillon_access::{
    Bucket, Buckets, CommandBuckets, CommandLimits, ErrorLimits, LimitsConfig, Operation,
};

use crate::addresses::{IpLimits, Networks};
use crate::check::Checker;
use crate::describe::{Describe, Texts, path_of};
use crate::duration::GoDuration;
use crate::model::{Options, options};
use crate::redis::{self, RatesRedis, RedisPlace};

options! {
    /// `client.rate_limit`.
    RateLimit {
        /// What each connection may do.
        client_command: ClientCommand = ClientCommand::default(),
        /// What each user may do on this node, by all its connections.
        user_command: UserCommand = UserCommand::default(),
        /// What each user may do on all nodes that take from the same buckets, by all its connections. While Redis cannot be
        /// asked, everything passes and the log tells how much. A command waits for Redis, a second at most.
        redis_user_command: RedisUserCommand = RedisUserCommand::default(),
        /// How many errors a connection may cause.
        client_error: ClientError = ClientError::default(),
        /// How often an address may connect.
        ip_connect: IpConnect = IpConnect::default(),
    }
}

/// Options of a layer of limits of commands: what all have, and more.
macro_rules! command_options {
    ($(#[$doc:meta])* $name:ident { $($more:tt)* }) => {
        options! {
            $(#[$doc])*
            $name {
                /// Switches the layer on.
                enabled: bool = false,
                /// Counts and tells what is too much, and refuses nothing.
                dry_run: bool = false,
                $($more)*
                /// Each command without buckets of its own.
                default: Plain = Plain::default(),
                /// Subscribe.
                subscribe: InChannel = InChannel::default(),
                /// Unsubscribe; is counted and never refused.
                unsubscribe: InChannel = InChannel::default(),
                /// Publish.
                publish: InChannel = InChannel::default(),
                /// Setting a key.
                map_publish: InChannel = InChannel::default(),
                /// Removing a key.
                map_remove: InChannel = InChannel::default(),
                /// Tracking keys of a polled channel.
                track: InChannel = InChannel::default(),
                /// Tracking them no more.
                untrack: InChannel = InChannel::default(),
                /// History.
                history: InChannel = InChannel::default(),
                /// Presence.
                presence: InChannel = InChannel::default(),
                /// Numbers of those present.
                presence_stats: InChannel = InChannel::default(),
                /// Refresh of the connection.
                refresh: Plain = Plain::default(),
                /// Refresh of a subscription.
                sub_refresh: InChannel = InChannel::default(),
                /// Calls.
                rpc: OfMethods = OfMethods::default(),
            }
        }

        impl From<&$name> for CommandLimits {
            fn from(option: &$name) -> Self {
                Self {
                    enabled: option.enabled,
                    dry_run: option.dry_run,
                    default: buckets(option.default.enabled, &option.default.buckets),
                    commands: vec![
                        (Operation::Subscribe, (&option.subscribe).into()),
                        (Operation::Unsubscribe, (&option.unsubscribe).into()),
                        (Operation::Publish, (&option.publish).into()),
                        (Operation::MapPublish, (&option.map_publish).into()),
                        (Operation::MapRemove, (&option.map_remove).into()),
                        (Operation::Track, (&option.track).into()),
                        (Operation::Untrack, (&option.untrack).into()),
                        (Operation::History, (&option.history).into()),
                        (Operation::Presence, (&option.presence).into()),
                        (Operation::PresenceStats, (&option.presence_stats).into()),
                        (Operation::Refresh, (&option.refresh).into()),
                        (Operation::SubRefresh, (&option.sub_refresh).into()),
                        (Operation::Rpc, (&option.rpc).into()),
                    ],
                    ..Self::default()
                }
            }
        }
    };
}

command_options! {
    /// `client.rate_limit.client_command`.
    ClientCommand {
        /// Disconnects for good with 3503 who exceeds what is counted and never refused.
        disconnect_on_accounted_limit: bool = false,
        /// All commands together.
        total: Plain = Plain::default(),
    }
}

command_options! {
    /// `client.rate_limit.user_command`.
    UserCommand {
        /// All commands together.
        total: Plain = Plain::default(),
        /// Connections.
        connect: Plain = Plain::default(),
    }
}

command_options! {
    /// `client.rate_limit.redis_user_command`.
    RedisUserCommand {
        /// Where the buckets are.
        redis: RatesRedis = RatesRedis::default(),
        /// Connections.
        connect: Plain = Plain::default(),
    }
}

options! {
    /// `client.rate_limit.client_error`.
    ClientError {
        /// Switches the layer on: who exceeds it is disconnected for good with 3509.
        enabled: bool = false,
        /// Counts and tells what is too much, and disconnects nobody.
        dry_run: bool = false,
        /// All errors but internal ones.
        total: Plain = Plain::default(),
    }
}

options! {
    /// `client.rate_limit.ip_connect`.
    IpConnect {
        /// Switches the layer on: before anything else is looked at, who exceeds it gets the HTTP status 429.
        enabled: bool = false,
        /// Counts and tells what is too much, and refuses nobody.
        dry_run: bool = false,
        /// Objects of `interval`, 1s to 1h, and `rate`: how often an address may connect. All must have room.
        buckets: Vec<BucketOption> = Vec::new(),
        /// The most connections of an address at once; 0 for any number. IPv6 counts by networks of 64 bits.
        max_concurrent_per_ip: usize = 0,
        /// The most addresses that are followed at once; others are let pass.
        max_tracked_ips: usize = 100_000,
        /// Addresses and networks whose `X-Forwarded-For` and `X-Real-IP` are believed; empty for loopback and private
        /// ones, `none` for nobody's. Holds for logins to the admin interface, too, whether this layer is on or not. An
        /// extension.
        trusted_proxies: Vec<String> = Vec::new(),
    }
}

options! {
    /// Limits without exceptions.
    Plain {
        /// Switches the limit on.
        enabled: bool = false,
        /// Objects of `interval`, 1s to 1h, and `rate`. All must have room.
        buckets: Vec<BucketOption> = Vec::new(),
    }
}

options! {
    /// Limits of what is done in a channel.
    InChannel {
        /// Switches the limit on.
        enabled: bool = false,
        /// Objects of `interval`, 1s to 1h, and `rate`. All must have room.
        buckets: Vec<BucketOption> = Vec::new(),
        /// What counts instead in a namespace: objects of `namespace_name`, `enabled` and `buckets`.
        namespace_overrides: Vec<NamespaceOverride> = Vec::new(),
    }
}

options! {
    /// Limits of calls.
    OfMethods {
        /// Switches the limit on.
        enabled: bool = false,
        /// Objects of `interval`, 1s to 1h, and `rate`. All must have room.
        buckets: Vec<BucketOption> = Vec::new(),
        /// What counts instead for a method: objects of `method`, `enabled` and `buckets`.
        method_overrides: Vec<MethodOverride> = Vec::new(),
    }
}

/// An element of `buckets`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BucketOption {
    /// The time in which an empty bucket gets full.
    pub interval: GoDuration,
    /// How much it holds.
    pub rate: u32,
}

/// An element of `namespace_overrides`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NamespaceOverride {
    /// Of which namespace.
    pub namespace_name: String,
    /// Whether it counts.
    pub enabled: bool,
    /// What counts; empty for what counts by default.
    pub buckets: Vec<BucketOption>,
}

/// An element of `method_overrides`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MethodOverride {
    /// Of which method.
    pub method: String,
    /// Whether it counts.
    pub enabled: bool,
    /// What counts; empty for what counts by default.
    pub buckets: Vec<BucketOption>,
}

fn buckets(enabled: bool, options: &[BucketOption]) -> Buckets {
    let bucket = |option: &BucketOption| Bucket {
        // What is negative is too short.
        interval: option.interval.to_std().unwrap_or_default(),
        rate: option.rate,
    };
    Buckets { enabled, buckets: options.iter().map(bucket).collect() }
}

impl From<&Plain> for CommandBuckets {
    fn from(plain: &Plain) -> Self {
        Self { base: buckets(plain.enabled, &plain.buckets), ..Self::default() }
    }
}

impl From<&InChannel> for CommandBuckets {
    fn from(option: &InChannel) -> Self {
        let namespaces = option
            .namespace_overrides
            .iter()
            .map(|instead| (instead.namespace_name.clone(), buckets(instead.enabled, &instead.buckets)));
        Self {
            base: buckets(option.enabled, &option.buckets),
            namespaces: namespaces.collect(),
            methods: Vec::new(),
        }
    }
}

impl From<&OfMethods> for CommandBuckets {
    fn from(option: &OfMethods) -> Self {
        let methods = option
            .method_overrides
            .iter()
            .map(|instead| (instead.method.clone(), buckets(instead.enabled, &instead.buckets)));
        Self {
            base: buckets(option.enabled, &option.buckets),
            namespaces: Vec::new(),
            methods: methods.collect(),
        }
    }
}

/// The limits of a user: one connection must not end the others.
fn user_commands(limits: CommandLimits, connect: &Plain) -> CommandLimits {
    let mut limits = limits;
    limits.commands.insert(0, (Operation::Connect, connect.into()));
    limits
}

/// What the options say of commands and errors. Whether buckets make sense, is found by who makes limits of them.
pub(crate) fn limits(check: &mut Checker, options: &Options) -> LimitsConfig {
    let option = &options.client.rate_limit;
    let (client, user) = (&option.client_command, &option.user_command);
    let config = LimitsConfig {
        client_command: CommandLimits {
            disconnect_on_accounted_limit: client.disconnect_on_accounted_limit,
            total: buckets(client.total.enabled, &client.total.buckets),
            ..client.into()
        },
        user_command: CommandLimits {
            total: buckets(user.total.enabled, &user.total.buckets),
            ..user_commands(user.into(), &user.connect)
        },
        client_error: ErrorLimits {
            enabled: option.client_error.enabled,
            dry_run: option.client_error.dry_run,
            total: buckets(option.client_error.total.enabled, &option.client_error.total.buckets),
        },
    };
    overrides(check, options, "client_command", &config.client_command);
    overrides(check, options, "user_command", &config.user_command);
    if let Err(error) = config.check() {
        check.error(&format!("client.rate_limit.{}", error.path), error.problem.to_string());
    }
    config
}

/// Whether what is limited otherwise is there.
fn overrides(check: &mut Checker, options: &Options, layer: &str, limits: &CommandLimits) {
    for (operation, buckets) in &limits.commands {
        let path = format!("client.rate_limit.{layer}.{}", operation.name());
        for (at, (name, _)) in buckets.namespaces.iter().enumerate() {
            if !options.channel.namespaces.iter().any(|namespace| namespace.name == *name) {
                let path = format!("{path}.namespace_overrides[{at}].namespace_name");
                check.error(&path, format!("{name:?} is no namespace"));
            }
        }
        for (at, (name, _)) in buckets.methods.iter().enumerate() {
            if name.is_empty() {
                check.error(&format!("{path}.method_overrides[{at}].method"), "must be set");
            }
        }
    }
}

/// Limits of users on all nodes together, and where their buckets are.
#[derive(Clone, Debug)]
pub struct SharedLimits {
    /// The limits.
    pub commands: CommandLimits,
    /// Where the buckets are.
    pub place: RedisPlace,
}

/// What the options say of users on all nodes together; `None` where the layer is off.
pub(crate) fn shared(check: &mut Checker, options: &Options) -> Option<SharedLimits> {
    let option = &options.client.rate_limit.redis_user_command;
    let commands = user_commands(option.into(), &option.connect);
    overrides(check, options, "redis_user_command", &commands);
    if let Err(error) = commands.check("redis_user_command") {
        check.error(&format!("client.rate_limit.{}", error.path), error.problem.to_string());
    }
    if !option.enabled {
        return None;
    }
    let place = redis::rates(check, &option.redis, &options.engine)?;
    Some(SharedLimits { commands, place })
}

/// What the options say of addresses; `None` where the layer is off.
pub(crate) fn ip_limits(check: &mut Checker, options: &Options, trusted: Networks) -> Option<IpLimits> {
    let option = &options.client.rate_limit.ip_connect;
    let path = "client.rate_limit.ip_connect";
    if option.max_tracked_ips == 0 {
        check.error(&format!("{path}.max_tracked_ips"), "must not be zero");
    }
    let buckets = buckets(true, &option.buckets).buckets;
    let limits = IpLimits::new(&buckets, option.max_concurrent_per_ip, option.max_tracked_ips, trusted);
    let mut limits = check.ok(&format!("{path}.buckets"), limits)?;
    limits.dry_run = option.dry_run;
    option.enabled.then_some(limits)
}

/// Who is believed in naming the address of others, whether that layer is on or not.
pub(crate) fn trusted_proxies(check: &mut Checker, options: &Options) -> Networks {
    let list = options.client.rate_limit.ip_connect.trusted_proxies.as_slice();
    if list.is_empty() {
        return Networks::private();
    }
    if list == ["none"] {
        return Networks::default();
    }
    networks(check, "client.rate_limit.ip_connect.trusted_proxies", list)
}

/// Networks such as `10.0.0.0/8`, and addresses.
pub(crate) fn networks(check: &mut Checker, path: &str, list: &[String]) -> Networks {
    let mut networks = Networks::default();
    for text in list {
        match network(text) {
            Some((address, bits)) => networks.add(address, bits),
            None => check.error(path, format!("{text:?} is no address and no network such as 10.0.0.0/8")),
        }
    }
    networks
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some((address, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read() {
        let v4: IpAddr = [10, 0, 0, 0].into();
        assert_eq!(network("10.0.0.0/8"), Some((v4, 8)));
        assert_eq!(network("10.0.0.0"), Some((v4, 32)));
        assert_eq!(network("::1/128").map(|(_, bits)| bits), Some(128));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "x/8", "10.0.0.0/", "::1/129", "10.0.0.0/-1"] {
            assert_eq!(network(wrong), None, "{wrong}");
        }
    }
}
