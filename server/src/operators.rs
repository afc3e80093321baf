//! What backends and operators ask for, and at which port.

use tourbillon_admin::AdminService;
use tourbillon_api::{ApiPages, HttpApi};

use crate::metrics::Scrape;
use crate::router::Router;

/// Endpoints that are not for clients.
#[derive(Debug)]
pub(crate) struct Operators {
    pub(crate) api: Option<(String, HttpApi)>,
    /// Whether the API is on the port for clients too.
    pub(crate) api_external: bool,
    pub(crate) health: Option<String>,
    pub(crate) swagger: Option<ApiPages>,
    pub(crate) prometheus: Option<Scrape>,
    /// And whether it is on the port for clients too.
    pub(crate) admin: Option<(AdminService, bool)>,
}

impl Operators {
    /// Puts them onto a port of their own, if there is one (NET-02), and onto the one for clients what belongs there.
    pub(crate) fn settle(self, external: &mut Router, apart: bool) -> Option<Router> {
        let Self { api, api_external, health, swagger, prometheus, admin } = self;
        let requests = prometheus.as_ref().and_then(Scrape::requests);
        external.requests.clone_from(&requests);
        if apart {
            external.api = api.clone().filter(|_| api_external);
            external.admin = admin.clone().filter(|(_, external)| *external).map(|(admin, _)| admin);
            let admin = admin.map(|(admin, _)| admin);
            return Some(Router { api, health, swagger, prometheus, requests, admin, ..Router::default() });
        }
        external.api = api;
        external.health = health;
        external.swagger = swagger;
        external.prometheus = prometheus;
        external.admin = admin.map(|(admin, _)| admin);
        None
    }
}
