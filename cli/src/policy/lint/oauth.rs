//! Checks of the token endpoint on the policy's hosts, and of the cookie that browsers get there.

use super::{linter::Linter, warning::Warning};
use crate::{
    document::Node,
    policy::manifest::{field, nodes},
};
use portcullis_engine::policy::{LOGOUT_ENDPOINT, TOKEN_ENDPOINT, TokenPlace};

impl Linter<'_> {
    pub(super) fn oauth(&mut self) {
        let policy = &self.loaded.policy;
        for (index, place) in policy.token_from.iter().enumerate() {
            let TokenPlace::SessionCookie(name) = place else { continue };
            if !name.starts_with("__Host-") {
                let message = format!(
                    "the name `{name}` does not begin with `__Host-`: a page of a sibling domain, or a network without TLS, can set this cookie to another person's handle"
                );
                let help = format!(
                    "write `__Host-{}`: browsers take such a cookie only from this host, over TLS",
                    name.trim_start_matches("__Secure-")
                );
                self.warn(Warning::CookieUnprefixed, &format!("$.token_from[{index}].session_cookie"), message, help);
            }
        }
        let Some(oauth) = &policy.oauth else { return };
        let paths = [TOKEN_ENDPOINT, LOGOUT_ENDPOINT].map(|endpoint| format!("{}{endpoint}", oauth.path));
        for (index, source) in
            policy.source.routes.iter().enumerate().filter(|(_, source)| paths.contains(&source.path))
        {
            let message = format!("no request reaches this route: `{}` is a path of the token endpoint", source.path);
            let help = "omit the route, or choose another `path` in `$.oauth`";
            self.warn(Warning::RouteOfOauth, &format!("$.routes[{index}].match.path"), message, help);
        }
    }

    /// Whether Envoy takes requests for the token endpoint there.
    pub(super) fn oauth_routes(&mut self, tables: &[&Node]) {
        let Some(oauth) = &self.loaded.policy.oauth else { return };
        let leads_there = |route: &Node| field(route, "cluster").and_then(Node::text) == Some(oauth.cluster.as_str());
        let routes = || tables.iter().flat_map(|table| nodes(table).filter_map(|node| node.get("route")));
        if routes().next().is_none() || routes().any(leads_there) {
            return;
        }
        let message = format!(
            "none of Envoy's routes leads to cluster `{}`: the filter refuses requests for the token endpoint that Envoy would take elsewhere",
            oauth.cluster
        );
        let help = format!(
            "put a route in front of the others: `{{match: {{prefix: {}/}}, route: {{cluster: {}}}}}`",
            oauth.path, oauth.cluster
        );
        self.warn(Warning::OauthNotRouted, "$.oauth.cluster", message, help);
    }
}
