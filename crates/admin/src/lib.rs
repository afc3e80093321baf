//! The admin interface: a page for operators, and what it asks.
//!
//! [`AdminService`] is a [`tower` service](tower_service::Service) for requests below a prefix:
//!
//! | path | what |
//! |---|---|
//! | `/admin/init` | what a page has to know before it shows anything (ADM-02) |
//! | `/admin/auth` | a password for a token (ADM-03), of which there are few tries (ADM-10) |
//! | `/admin/api` | commands of the server API, for a token (ADM-05) |
//! | everything else | the page: the embedded one, or files of a directory (ADM-06) |
//!
//! The embedded page takes nothing from elsewhere, and its policy lets it talk to its own server alone. There are no
//! cookies: what comes from another site comes without a token.

mod assets;
mod password;
mod service;
mod throttle;
mod token;

pub use assets::{content_type, file_below};
pub use service::{AdminConfig, AdminService, NoRandomness};
