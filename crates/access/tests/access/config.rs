//! Options that cannot be used, and the rules that others make.

use tourbillon_access::{ChannelConfig, NamespaceConfig, Namespaces, NamespacesConfig};
use tourbillon_node::DataFormat;

fn named(name: &str, set: impl FnOnce(&mut ChannelConfig)) -> NamespaceConfig {
    let mut channel = ChannelConfig::default();
    set(&mut channel);
    NamespaceConfig { name: name.to_owned(), pattern: String::new(), channel }
}

fn with(namespaces: Vec<NamespaceConfig>) -> NamespacesConfig {
    NamespacesConfig { namespaces, ..NamespacesConfig::default() }
}

#[track_caller]
fn refused(config: &NamespacesConfig, message: &str) {
    assert_eq!(Namespaces::new(config).expect_err("cannot be used").to_string(), message);
}

#[test]
fn names_of_namespaces_are_checked_with_their_path() {
    for name in ["", "a", "a b", "a:b", "ü1", "a/b", "$ab"] {
        let config = with(vec![named("ok", |_| {}), named(name, |_| {})]);
        let problem = format!("invalid namespace name {name:?}: it must match ^[-a-zA-Z0-9_.]{{2,}}$");
        refused(&config, &format!("channel.namespaces[1].name: {problem}"));
    }
    assert!(Namespaces::new(&with(vec![named("aB-9_.", |_| {})])).is_ok());
    let twice = with(vec![named("ok", |_| {}), named("no", |_| {}), named("ok", |_| {})]);
    refused(&twice, "channel.namespaces[2].name: there is another namespace \"ok\"");
}

#[test]
fn formats_and_expressions_are_checked_with_their_path() {
    let format = |channel: &mut ChannelConfig| channel.publication_data_format = "xml".to_owned();
    let regex = |channel: &mut ChannelConfig| channel.channel_regex = "(".to_owned();
    let unknown = r#"unknown format "xml": it must be "", "json", "json_object" or "binary""#;
    let broken = "invalid regular expression: unclosed group";

    let config =
        NamespacesConfig { publication_data_format: "xml".to_owned(), ..NamespacesConfig::default() };
    refused(&config, &format!("channel.publication_data_format: {unknown}"));
    refused(
        &with(vec![named("ns", format)]),
        &format!("channel.namespaces[0].publication_data_format: {unknown}"),
    );
    refused(&with(vec![named("ns", regex)]), &format!("channel.namespaces[0].channel_regex: {broken}"));
    let mut config = NamespacesConfig::default();
    regex(&mut config.without_namespace);
    refused(&config, &format!("channel.without_namespace.channel_regex: {broken}"));
    let mut config = NamespacesConfig::default();
    format(&mut config.without_namespace);
    refused(&config, &format!("channel.without_namespace.publication_data_format: {unknown}"));
}

#[test]
fn opt_26_a_namespace_without_a_format_has_the_global_one() {
    let binary = |channel: &mut ChannelConfig| channel.publication_data_format = "binary".to_owned();
    let config = |global: &str| NamespacesConfig {
        publication_data_format: global.to_owned(),
        ..with(vec![named("plain", |_| {}), named("bin", binary)])
    };
    for (global, format) in [
        ("", DataFormat::NonEmpty),
        ("json", DataFormat::Json),
        ("json_object", DataFormat::JsonObject),
        ("binary", DataFormat::Binary),
    ] {
        let namespaces = Namespaces::new(&config(global)).expect("is sound");
        let found = |channel: &str| namespaces.channel_options(channel).expect("is known").data_format;
        assert_eq!(found("plain:x"), format);
        assert_eq!(found("x"), format);
        assert_eq!(found("bin:x"), DataFormat::Binary);
    }
}

#[test]
fn ch_03_channels_of_unknown_namespaces_are_unknown() {
    let namespaces = Namespaces::new(&with(vec![named("ns", |_| {})])).expect("is sound");
    for known in ["ns:x", "$ns:x", "x", ":x", "", "ns"] {
        assert!(namespaces.find(known).is_ok(), "{known}");
    }
    for unknown in ["other:x", "NS:x", "ns2:x", "$other:x", " ns:x", "$$ns:x"] {
        assert_eq!(namespaces.find(unknown).expect_err(unknown).code.0, 102);
        assert_eq!(namespaces.channel_options(unknown).expect_err(unknown).code.0, 102);
    }
    let (name, rules) = namespaces.resolve("other:x");
    assert_eq!((name.namespace, rules), ("other", None));
}
