//! What backends and operators ask for, and at which port.

use std::net::SocketAddr;

use http::Request;
use tourbillon_admin::AdminService;
use tourbillon_api::{ApiPages, HttpApi};
use tourbillon_config::Networks;

use crate::admission;
use crate::body::{Received, Timely};
use crate::debug::DebugPages;
use crate::health::Health;
use crate::metrics::Scrape;
use crate::router::{Answer, Router, counted};

/// The admin interface, and who is believed in naming the address of those who log in.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) service: AdminService,
    pub(crate) trusted: Networks,
}

impl Admin {
    /// Answers a request, whose client is who a trusted peer says, as it is for connections (ADM-10).
    pub(crate) async fn answer(&self, mut request: Request<Received>, peer: Option<SocketAddr>) -> Answer {
        let peer = counted(peer);
        let client = admission::client(&self.trusted, peer.ip(), request.headers());
        request.extensions_mut().insert(SocketAddr::new(client, peer.port()));
        self.service.answer(request.map(Timely::new)).await
    }
}

/// Endpoints that are not for clients.
#[derive(Debug)]
pub(crate) struct Operators {
    pub(crate) api: Option<(String, HttpApi)>,
    /// Whether the API is on the port for clients too.
    pub(crate) api_external: bool,
    pub(crate) health: Option<Health>,
    pub(crate) swagger: Option<ApiPages>,
    pub(crate) prometheus: Option<Scrape>,
    pub(crate) debug: Option<DebugPages>,
    /// And whether it is on the port for clients too.
    pub(crate) admin: Option<(Admin, bool)>,
}

impl Operators {
    /// Puts them onto a port of their own, if there is one (NET-02), and onto the one for clients what belongs there.
    pub(crate) fn settle(self, external: &mut Router, apart: bool) -> Option<Router> {
        let Self { api, api_external, health, swagger, prometheus, debug, admin } = self;
        let requests = prometheus.as_ref().and_then(Scrape::requests);
        external.requests.clone_from(&requests);
        if apart {
            external.api = api.clone().filter(|_| api_external);
            external.admin = admin.clone().filter(|(_, external)| *external).map(|(admin, _)| admin);
            let admin = admin.map(|(admin, _)| admin);
            let router =
                Router { api, health, swagger, prometheus, debug, requests, admin, ..Router::default() };
            return Some(router);
        }
        external.api = api;
        external.health = health;
        external.swagger = swagger;
        external.prometheus = prometheus;
        external.debug = debug;
        external.admin = admin.map(|(admin, _)| admin);
        None
    }
}
