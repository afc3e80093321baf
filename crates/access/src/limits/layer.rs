//! One layer of limits of commands: which buckets count for which command.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use tourbillon_node::ClientCommand;
use tourbillon_types::Instant;

use super::bucket::{Levels, Set};
use super::config::{BucketProblem, Buckets, CommandBuckets, CommandLimits, LimitsError, Operation};
use super::tally::Tally;

/// A command, as the limits see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) operation: Operation,
    /// The namespace of its channel; empty for channels without one, and for what has no channel.
    pub(crate) namespace: &'a str,
    /// The method of a call.
    pub(crate) method: &'a str,
}

impl Operation {
    pub(crate) const fn of(command: ClientCommand<'_>) -> Option<Self> {
        Some(match command {
            ClientCommand::Subscribe(_) => Self::Subscribe,
            ClientCommand::Unsubscribe(_) => Self::Unsubscribe,
            ClientCommand::Publish(_) => Self::Publish,
            ClientCommand::MapPublish(_) => Self::MapPublish,
            ClientCommand::MapRemove(_) => Self::MapRemove,
            ClientCommand::Track(_) => Self::Track,
            ClientCommand::Untrack(_) => Self::Untrack,
            ClientCommand::History(_) => Self::History,
            ClientCommand::Presence(_) => Self::Presence,
            ClientCommand::PresenceStats(_) => Self::PresenceStats,
            ClientCommand::Rpc(_) => Self::Rpc,
            ClientCommand::Refresh => Self::Refresh,
            ClientCommand::SubRefresh(_) => Self::SubRefresh,
            _ => return None,
        })
    }

    /// Whether it gives up what the server holds for a client. To refuse that would cost more than to do it: an SDK
    /// answers it with a new connection.
    pub(crate) const fn is_release(self) -> bool {
        matches!(self, Self::Unsubscribe)
    }
}

/// What a layer says of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Within,
    /// It is refused.
    Over,
    /// It is carried out, and was too much all the same.
    OverButDone,
}

/// A layer, ready to be asked.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) dry_run: bool,
    pub(crate) disconnect_on_accounted_limit: bool,
    total: Option<Set>,
    /// In the order of [`Operation::ALL`].
    operations: Vec<OperationSets>,
    pub(crate) tally: Tally,
}

#[derive(Debug)]
struct OperationSets {
    base: Option<Set>,
    namespaces: HashMap<Box<str>, Option<Set>, RandomState>,
    methods: HashMap<Box<str>, Option<Set>, RandomState>,
}

/// Gives buckets their numbers.
struct Maker<'a> {
    path: &'a str,
    default: Option<&'a Buckets>,
    next: u16,
}

impl Maker<'_> {
    fn set(&mut self, place: &str, buckets: &Buckets) -> Result<Option<Set>, LimitsError> {
        let wrong = |problem: BucketProblem| {
            let path = if place.is_empty() { self.path.to_owned() } else { format!("{}.{place}", self.path) };
            LimitsError { path: format!("{path}.buckets"), problem }
        };
        // What is off is checked too: it may be switched on one day.
        let set = Set::new(&buckets.buckets, &mut self.next).map_err(wrong)?;
        if buckets.enabled && !buckets.buckets.is_empty() {
            return Ok(Some(set));
        }
        Ok(None)
    }

    /// The buckets of something of its own: those that it has, or copies of those of `default`.
    fn own(&mut self, place: &str, buckets: &Buckets) -> Result<Option<Set>, LimitsError> {
        match (self.set(place, buckets)?, self.default) {
            (Some(set), _) => Ok(Some(set)),
            (None, Some(default)) => self.set("default", default),
            (None, None) => Ok(None),
        }
    }

    fn overrides(
        &mut self,
        place: &str,
        all: &[(String, Buckets)],
    ) -> Result<HashMap<Box<str>, Option<Set>, RandomState>, LimitsError> {
        let mut made = HashMap::default();
        for (at, (name, buckets)) in all.iter().enumerate() {
            let set = self.own(&format!("{place}[{at}]"), buckets)?;
            if buckets.enabled {
                made.insert(Box::from(name.as_str()), set);
            }
        }
        Ok(made)
    }
}

impl Layer {
    /// `None` for a layer that is off. `path` is that of its options below `client.rate_limit`.
    pub(crate) fn new(path: &str, config: &CommandLimits) -> Result<Option<Self>, LimitsError> {
        let default = Some(&config.default).filter(|default| default.enabled && !default.buckets.is_empty());
        let mut maker = Maker { path, default, next: 0 };
        let total = maker.set("total", &config.total)?;
        maker.set("default", &config.default)?;
        let nothing = CommandBuckets::default();
        let mut operations = Vec::with_capacity(Operation::ALL.len());
        for operation in Operation::ALL {
            let name = operation.name();
            let of = config.commands.iter().find(|(of, _)| *of == operation).map_or(&nothing, |(_, of)| of);
            operations.push(OperationSets {
                base: maker.own(name, &of.base)?,
                namespaces: maker.overrides(&format!("{name}.namespace_overrides"), &of.namespaces)?,
                methods: maker.overrides(&format!("{name}.method_overrides"), &of.methods)?,
            });
        }
        Ok(config.enabled.then(|| Self {
            dry_run: config.dry_run,
            disconnect_on_accounted_limit: config.disconnect_on_accounted_limit,
            total,
            operations,
            tally: Tally::default(),
        }))
    }

    /// The buckets that count for a command besides those for all.
    pub(crate) fn set(&self, wanted: Wanted<'_>) -> Option<&Set> {
        let at = Operation::ALL.iter().position(|operation| *operation == wanted.operation)?;
        let sets = self.operations.get(at)?;
        let instead = match wanted.operation {
            Operation::Rpc => sets.methods.get(wanted.method),
            _ => sets.namespaces.get(wanted.namespace),
        };
        instead.unwrap_or(&sets.base).as_ref()
    }

    /// Asks the buckets of somebody, and takes from them.
    pub(crate) fn ask(&self, wanted: Wanted<'_>, levels: &mut Levels, now: Instant) -> Verdict {
        let set = self.set(wanted);
        if !wanted.operation.is_release() {
            let within = levels.take(&[set, self.total.as_ref()], now);
            return if within { Verdict::Within } else { Verdict::Over };
        }
        let within = levels.take(&[set], now);
        if let Some(total) = &self.total {
            levels.drain(total, now);
        }
        if within { Verdict::Within } else { Verdict::OverButDone }
    }
}
