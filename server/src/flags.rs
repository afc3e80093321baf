//! Flags that are options of the configuration (CLI-01).

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// Options that flags set: their paths and texts.
#[derive(Clone, Debug, Default)]
pub struct Flags(Vec<(String, String)>);

impl Flags {
    /// Paths of options and their texts.
    #[must_use]
    pub fn given(&self) -> &[(String, String)] {
        &self.0
    }
}

/// How a flag is written.
#[derive(Clone, Copy)]
enum Form {
    /// What its text is.
    Text(&'static str),
    /// The same, with a short form.
    Short(char, &'static str),
    /// Nothing is the same as `true`.
    Switch,
}

use Form::{Short, Switch, Text};

/// Their paths, forms and what they do.
const FLAGS: [(&str, Form, &str); 33] = [
    ("http_server.address", Short('a', "ADDRESS"), "The address to listen on"),
    ("http_server.port", Short('p', "PORT"), "The port to listen on"),
    ("http_server.internal_address", Text("ADDRESS"), "The address for API and health"),
    ("http_server.internal_port", Text("PORT"), "The port for API and health"),
    ("pid_file", Text("FILE"), "Where to write the process id"),
    ("engine.type", Text("TYPE"), "The engine"),
    ("broker.enabled", Switch, "Another broker than the engine's"),
    ("broker.type", Text("TYPE"), "Which one"),
    ("presence_manager.enabled", Switch, "Another presence manager than the engine's"),
    ("presence_manager.type", Text("TYPE"), "Which one"),
    ("map_broker.type", Text("TYPE"), "What keeps channels with keys"),
    ("log.level", Text("LEVEL"), "none, trace, debug, info, warn, error or fatal"),
    ("log.file", Text("FILE"), "A file for the log"),
    ("debug.enabled", Switch, "Pages about the process"),
    ("admin.enabled", Switch, "The admin page and its API"),
    ("admin.external", Switch, "The admin page is on the external port too"),
    ("admin.insecure", Switch, "The admin page lets everybody do everything"),
    ("client.insecure", Switch, "Everybody may connect, subscribe and publish"),
    ("http_api.insecure", Switch, "The API takes requests without a key"),
    ("http_api.external", Switch, "The API is on the external port too"),
    ("prometheus.enabled", Switch, "Metrics for Prometheus"),
    ("swagger.enabled", Switch, "A page to try the HTTP API"),
    ("health.enabled", Switch, "The health endpoint"),
    ("uni_websocket.enabled", Switch, "WebSocket for clients that never send"),
    ("uni_sse.enabled", Switch, "Server-sent events for clients that never send"),
    ("uni_http_stream.enabled", Switch, "HTTP streaming for clients that never send"),
    ("sse.enabled", Switch, "Server-sent events"),
    ("http_stream.enabled", Switch, "HTTP streaming"),
    ("init.enabled", Switch, "What a page may ask before it connects"),
    ("grpc_api.enabled", Switch, "The API over GRPC"),
    ("grpc_api.port", Text("PORT"), "Its port"),
    ("uni_grpc.enabled", Switch, "The unidirectional GRPC stream"),
    ("uni_grpc.port", Text("PORT"), "Its port"),
];

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, (path, form, help)| {
            let arg = Arg::new(*path).long(*path).help(*help);
            command.arg(match *form {
                Text(name) => arg.value_name(name),
                Short(letter, name) => arg.short(letter).value_name(name),
                Switch => arg
                    .value_name("true|false")
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true"),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let given = |path: &str| Some((path.to_owned(), matches.get_one::<String>(path)?.clone()));
        self.0.extend(FLAGS.iter().filter_map(|(path, ..)| given(path)));
        Ok(())
    }
}
