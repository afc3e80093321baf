//! How configuration is written, whatever its options are: lengths of time as Go writes them, texts that are shown nowhere,
//! `.env` files, and JSON, YAML and TOML as trees of values, read strictly.

pub mod dotenv;
pub mod duration;
pub mod secret;
pub mod tree;
