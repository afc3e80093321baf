//! How configuration is written, whatever its options are: lengths of time as Go writes them, texts that are shown nowhere,
//! `.env` files, JSON, YAML and TOML as trees of values, read strictly, networks of addresses, variables in texts, and what may
//! be wrong with all of it.

pub mod dotenv;
pub mod duration;
pub mod mistake;
pub mod near;
pub mod networks;
pub mod secret;
pub mod tree;
pub mod values;
pub mod variables;
