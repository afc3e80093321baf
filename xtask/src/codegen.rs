//! Rust code from `proto/*.proto`, without protoc, committed beside the code that uses it.
//!
//! A build of the workspace therefore runs no generator; what keeps the committed files true is a comparison, in
//! `cargo xtask tidy` and in this module's own test.

use std::path::Path;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use protox::prost::Message as _;

use crate::command::Command;
use crate::{Options, Verdict};

/// What the head of every generated file says.
pub(crate) const MARK: &str = "@generated";

/// The schemas, and where the code of each goes.
const OUTPUTS: &[(&str, &str)] = &[
    ("api.proto", "crates/api/src/generated/api.rs"),
    ("client.proto", "crates/protocol/src/generated/client.rs"),
    ("control.proto", "crates/control/src/generated/control.rs"),
    ("proxy.proto", "crates/proxy/src/generated/proxy.rs"),
    // Only tests decode by it: the server sends what is encoded already.
    ("unistream.proto", "crates/transport-grpc/tests/grpc/generated/unistream.rs"),
];

/// The schemas whose messages are JSON, too: their crates have a module `json` that says how.
const JSON: &[&str] = &["proxy.proto"];

/// Fields of their requests that are there even when they are empty.
const ALWAYS: &[&str] = &["client", "transport", "protocol", "encoding", "user"];

/// The schemas that a server tells clients who ask for them (reflection), and where each goes, as a `FileDescriptorSet`.
const DESCRIPTORS: &[(&str, &str)] = &[("api.proto", "crates/api/src/generated/api.descriptor")];

/// One generated file as it should be.
#[derive(Debug)]
struct Generated {
    path: &'static str,
    content: Vec<u8>,
}

pub(crate) fn command(root: &Path, options: &Options) -> Result<Verdict, String> {
    if options.has("--check") {
        let stale = stale(root)?;
        for path in &stale {
            eprintln!("{path} is not what proto/ says: run `cargo xtask codegen`");
        }
        return Ok(if stale.is_empty() { Verdict::Good } else { Verdict::Bad });
    }
    for generated in generate(root)? {
        let path = root.join(generated.path);
        if std::fs::read(&path).is_ok_and(|content| content == generated.content) {
            println!("{} is fresh", generated.path);
            continue;
        }
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(root))?;
            std::fs::write(&path, &generated.content)
        };
        write().map_err(|error| format!("{}: {error}", generated.path))?;
        println!("{} is written", generated.path);
    }
    Ok(Verdict::Good)
}

/// The generated files that differ from what the schemas say, or are not there.
pub(crate) fn stale(root: &Path) -> Result<Vec<&'static str>, String> {
    let fresh = |generated: &Generated| {
        std::fs::read(root.join(generated.path)).is_ok_and(|content| content == generated.content)
    };
    Ok(generate(root)?.iter().filter(|generated| !fresh(generated)).map(|generated| generated.path).collect())
}

fn generate(root: &Path) -> Result<Vec<Generated>, String> {
    let directory = root.join("proto");
    for name in schemas(&directory)? {
        if !OUTPUTS.iter().any(|(schema, _)| *schema == name) {
            return Err(format!("proto/{name} has no place for its code: name one in xtask/src/codegen.rs"));
        }
    }
    let exists = |(schema, _): &&(&str, &str)| directory.join(schema).exists();
    let code = OUTPUTS.iter().filter(exists).map(|&(schema, path)| {
        let code = compile(&directory, schema)?;
        let text = format!("// {MARK} by `cargo xtask codegen` from proto/{schema}.\n{code}");
        Ok(Generated { path, content: formatted(root, &text)?.into_bytes() })
    });
    let descriptors = DESCRIPTORS.iter().filter(exists).map(|&(schema, path)| {
        let mut file = parse(&directory, schema)?;
        // Comments and places in the text.
        file.source_code_info = None;
        Ok(Generated { path, content: FileDescriptorSet { file: vec![file] }.encode_to_vec() })
    });
    code.chain(descriptors).collect()
}

fn schemas(directory: &Path) -> Result<Vec<String>, String> {
    let entries =
        std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name.ends_with(".proto")).collect())
}

fn parse(directory: &Path, schema: &str) -> Result<FileDescriptorProto, String> {
    let set = protox::compile([directory.join(schema)], [directory])
        .map_err(|error| format!("proto/{schema} is not understood: {error}"))?;
    let file = set.file.into_iter().find(|file| file.name() == schema);
    file.ok_or_else(|| format!("proto/{schema} came to nothing"))
}

fn compile(directory: &Path, schema: &str) -> Result<String, String> {
    let file = parse(directory, schema)?;
    let module = prost_build::Module::from_protobuf_package_name(file.package());
    let mut config = prost_build::Config::new();
    // Payloads share the buffer they arrived in, and maps encode to the same bytes each time.
    config.bytes(["."]).btree_map(["."]);
    if JSON.contains(&schema) {
        also_json(&mut config, &file);
    }
    let modules =
        config.generate(vec![(module, file)]).map_err(|error| format!("proto/{schema}: {error}"))?;
    Ok(modules.into_values().collect())
}

/// Has the messages of a schema read and written as JSON objects: what is empty is left out, what is not there or null is
/// empty, and what is bytes is a JSON value as it is.
fn also_json(config: &mut prost_build::Config, file: &FileDescriptorProto) {
    config.type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]\n#[serde(default)]");
    for message in &file.message_type {
        for field in &message.field {
            let (message, field_name) = (message.name(), field.name());
            let path = format!(".{}.{message}.{field_name}", file.package());
            let read = match field.r#type() {
                Type::Bytes => "with = \"crate::json::raw\"",
                Type::Message if field.label() != Label::Repeated => {
                    "deserialize_with = \"crate::json::object\""
                }
                _ => "deserialize_with = \"crate::json::or_default\"",
            };
            let always = message.ends_with("Request") && ALWAYS.contains(&field_name);
            let skip = if always { "" } else { ", skip_serializing_if = \"crate::json::is_default\"" };
            config.field_attribute(path, format!("#[serde({read}{skip})]"));
        }
    }
}

fn formatted(root: &Path, code: &str) -> Result<String, String> {
    let rustfmt = Command::new(root, "rustfmt --edition 2024 --emit stdout --quiet --config-path");
    rustfmt.argument(root.to_string_lossy()).filter(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_code_is_what_the_schemas_say() {
        assert_eq!(stale(&crate::root()), Ok(Vec::new()), "run `cargo xtask codegen`");
    }

    #[test]
    fn a_changed_schema_makes_the_code_stale() {
        let root = std::env::temp_dir().join(format!("xtask-codegen-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        };
        let schema =
            "syntax = \"proto3\"; package p; message M { bytes data = 1; map<string, string> tags = 2; }";
        write("proto/client.proto", schema);
        write("rustfmt.toml", "");
        let path = "crates/protocol/src/generated/client.rs";
        assert_eq!(stale(&root), Ok(vec![path]), "nothing is there yet");
        assert_eq!(command(&root, &Options::default()), Ok(Verdict::Good));
        assert_eq!(stale(&root), Ok(Vec::new()));
        let code = std::fs::read_to_string(root.join(path)).expect("the code");
        assert!(code.starts_with(&format!("// {MARK} by `cargo xtask codegen`")), "{code}");
        assert!(code.contains("prost::bytes::Bytes") && code.contains("btree_map"), "{code}");

        write("proto/client.proto", &schema.replace("data = 1", "data = 3"));
        assert_eq!(stale(&root), Ok(vec![path]));
        write("proto/other.proto", schema);
        assert!(stale(&root).is_err(), "a schema without a place for its code");
        std::fs::remove_dir_all(&root).expect("cleaned up");
    }
}
