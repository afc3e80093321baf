//! The end of a chain of decorators.

use tourbillon_node::{ConnectDecision, ConnectRequest, Hooks, Refusal};
use tourbillon_types::Disconnect;

/// An application that is not there: it refuses everything, connections with 3501 (MODE-06), the rest as
/// [`Hooks`] does by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyAll;

impl Hooks for DenyAll {
    async fn connect(&self, _: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        Err(Disconnect::BAD_REQUEST.into())
    }
}
