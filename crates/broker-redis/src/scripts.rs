//! The scripts that run inside Redis. What they do together, nobody sees half of.

use std::sync::OnceLock;

/// A script and the hash that servers know it by.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    hash: OnceLock<String>,
}

impl Script {
    const fn new(text: &'static str) -> Self {
        Self { text, hash: OnceLock::new() }
    }

    pub(crate) const fn text(&self) -> &'static str {
        self.text
    }

    pub(crate) fn hash(&self) -> &str {
        self.hash.get_or_init(|| fred::util::sha1_hash(self.text))
    }
}

pub(crate) static PUBLISH_STREAM: Script = Script::new(include_str!("lua/publish_stream.lua"));
pub(crate) static PUBLISH_LIST: Script = Script::new(include_str!("lua/publish_list.lua"));
pub(crate) static PUBLISH_ONCE: Script = Script::new(include_str!("lua/publish_once.lua"));
pub(crate) static HISTORY_STREAM: Script = Script::new(include_str!("lua/history_stream.lua"));
pub(crate) static HISTORY_LIST: Script = Script::new(include_str!("lua/history_list.lua"));
pub(crate) static PRESENCE_ADD: Script = Script::new(include_str!("lua/presence_add.lua"));
pub(crate) static PRESENCE_REMOVE: Script = Script::new(include_str!("lua/presence_remove.lua"));
pub(crate) static PRESENCE: Script = Script::new(include_str!("lua/presence.lua"));
pub(crate) static PRESENCE_STATS: Script = Script::new(include_str!("lua/presence_stats.lua"));

/// A script about keyed channels, behind what these have in common.
macro_rules! of_maps {
    ($name:ident, $file:literal) => {
        pub(crate) static $name: Script = Script::new(concat!(
            include_str!("lua/map_common.lua"),
            include_str!(concat!("lua/", $file, ".lua"))
        ));
    };
}

of_maps!(MAP_SET, "map_set");
of_maps!(MAP_REMOVE, "map_remove");
of_maps!(MAP_DUE, "map_due");
of_maps!(MAP_END, "map_end");
of_maps!(MAP_STATE, "map_state");
of_maps!(MAP_STREAM, "map_stream");
of_maps!(MAP_STATS, "map_stats");
of_maps!(MAP_CLEAR, "map_clear");
