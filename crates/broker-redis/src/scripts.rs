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

pub(crate) static PUBLISH_ONCE: Script = Script::new(include_str!("lua/publish_once.lua"));
pub(crate) static HISTORY_STREAM: Script = Script::new(include_str!("lua/history_stream.lua"));
pub(crate) static HISTORY_LIST: Script = Script::new(include_str!("lua/history_list.lua"));
pub(crate) static PRESENCE_ADD: Script = Script::new(include_str!("lua/presence_add.lua"));
pub(crate) static PRESENCE_REMOVE: Script = Script::new(include_str!("lua/presence_remove.lua"));
pub(crate) static PRESENCE: Script = Script::new(include_str!("lua/presence.lua"));
pub(crate) static PRESENCE_STATS: Script = Script::new(include_str!("lua/presence_stats.lua"));
pub(crate) static RATES_TAKE: Script = Script::new(include_str!("lua/rates_take.lua"));

/// A script behind what several have in common.
macro_rules! behind {
    ($common:literal: $name:ident, $file:literal) => {
        pub(crate) static $name: Script = Script::new(concat!(
            include_str!(concat!("lua/", $common, ".lua")),
            include_str!(concat!("lua/", $file, ".lua"))
        ));
    };
}

behind!("publish_common": PUBLISH_STREAM, "publish_stream");
behind!("publish_common": PUBLISH_LIST, "publish_list");
behind!("records_common": RECORDS_KEEP, "records_keep");
behind!("records_common": RECORDS_FORGET, "records_forget");
behind!("records_common": RECORDS_PAGE, "records_page");

behind!("map_common": MAP_SET, "map_set");
behind!("map_common": MAP_REMOVE, "map_remove");
behind!("map_common": MAP_DUE, "map_due");
behind!("map_common": MAP_END, "map_end");
behind!("map_common": MAP_STATE, "map_state");
behind!("map_common": MAP_STREAM, "map_stream");
behind!("map_common": MAP_STATS, "map_stats");
behind!("map_common": MAP_CLEAR, "map_clear");
