//! What tables are called.

use crate::stream::TablePrefix;

/// What tables are called that are read as they grow, and what goes with them.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The table that grows.
    pub(crate) stream: String,
    /// In front of everything else.
    pub(crate) prefix: String,
    pub(crate) binary: bool,
}

impl Names {
    /// Streams of one kind of data.
    pub(crate) fn streams(prefix: &TablePrefix, binary: bool) -> Self {
        let stream = format!("{}{}", prefix.as_str(), if binary { "_binary_stream" } else { "_stream" });
        Self { prefix: format!("{stream}_"), stream, binary }
    }

    /// Messages between nodes.
    pub(crate) fn messages(prefix: &TablePrefix) -> Self {
        let prefix = format!("{}_controller_", prefix.as_str());
        Self { stream: format!("{prefix}messages"), prefix, binary: true }
    }

    /// To what one has to listen to hear of news.
    pub(crate) fn notifications(&self) -> String {
        format!("{}notify", self.prefix)
    }

    /// SQL with the names and types in it.
    pub(crate) fn fill(&self, sql: &str) -> String {
        let data = if self.binary { "bytea" } else { "jsonb" };
        sql.replace("{stream}", &self.stream).replace("{prefix}", &self.prefix).replace("{data}", data)
    }

    /// A column or parameter of data, as bytes.
    pub(crate) fn out(&self, column: &str) -> String {
        if self.binary { column.to_owned() } else { format!("convert_to({column}::text, 'UTF8')") }
    }

    /// Bytes, as what the tables keep.
    pub(crate) fn into(&self, parameter: &str) -> String {
        if self.binary { parameter.to_owned() } else { format!("convert_from({parameter}, 'UTF8')::jsonb") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pgs_01_the_tables_of_both_kinds_have_names_of_their_own() {
        let name =
            |binary| Names::streams(&TablePrefix::default(), binary).fill("{stream} {prefix}meta {data}");
        assert_eq!(name(false), "cf_stream cf_stream_meta jsonb");
        assert_eq!(
            Names::messages(&TablePrefix::default()).fill("{stream} {prefix}x"),
            "cf_controller_messages cf_controller_x"
        );
        assert_eq!(name(true), "cf_binary_stream cf_binary_stream_meta bytea");
    }
}
