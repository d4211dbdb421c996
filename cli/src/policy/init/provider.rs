//! The identity providers, and what differs between them.

/// An identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Provider {
    Keycloak,
    Okta,
    Auth0,
    Entra,
    Cognito,
    Adfs,
    Google,
    Zitadel,
    Authentik,
    GithubActions,
    Kubernetes,
}

/// What is written for a provider unless the caller knows better.
pub(super) struct Facts {
    /// The section of its issuer, with `{{issuer}}`, `{{jwks_url}}`, `{{audience}}` and `{{cluster}}` to be replaced.
    pub(super) section: &'static str,
    /// Its issuer, in the form that the provider documents.
    pub(super) issuer: &'static str,
    /// The audience of the API.
    pub(super) audience: &'static str,
    /// A scope as it is spelt there; none where tokens have no scopes.
    pub(super) scope: Option<&'static str>,
}

impl Provider {
    pub(super) fn facts(self) -> Facts {
        let facts = |section, issuer, audience, scope| Facts { section, issuer, audience, scope };
        match self {
            Self::Keycloak => facts(
                include_str!("keycloak.yaml"),
                "https://login.example.com/realms/shop",
                "orders-api",
                Some("orders:read"),
            ),
            Self::Okta => facts(
                include_str!("okta.yaml"),
                "https://shop.okta.com/oauth2/default",
                "api://orders",
                Some("orders.read"),
            ),
            Self::Auth0 => facts(
                include_str!("auth0.yaml"),
                "https://shop.eu.auth0.com/",
                "https://orders.example.com",
                Some("orders:read"),
            ),
            Self::Entra => facts(
                include_str!("entra.yaml"),
                "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
                "6e74172b-be56-4843-9ff4-e66a39bb12e3",
                Some("Orders.Read"),
            ),
            Self::Cognito => facts(
                include_str!("cognito.yaml"),
                "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example",
                "4kexampleclient",
                Some("orders/read"),
            ),
            Self::Adfs => facts(
                include_str!("adfs.yaml"),
                "http://adfs.example.com/adfs/services/trust",
                "microsoft:identityserver:orders",
                Some("orders.read"),
            ),
            Self::Google => {
                facts(include_str!("google.yaml"), "https://accounts.google.com", "https://orders.example.com", None)
            }
            Self::Zitadel => facts(
                include_str!("zitadel.yaml"),
                "https://shop-abc123.zitadel.cloud",
                "201982826478953724",
                Some("orders:read"),
            ),
            Self::Authentik => facts(
                include_str!("authentik.yaml"),
                "https://auth.example.com/application/o/orders/",
                "orders-api",
                Some("orders:read"),
            ),
            Self::GithubActions => facts(
                include_str!("github-actions.yaml"),
                "https://token.actions.githubusercontent.com",
                "https://orders.example.com",
                None,
            ),
            Self::Kubernetes => facts(
                include_str!("kubernetes.yaml"),
                "https://kubernetes.default.svc.cluster.local",
                "orders-api",
                None,
            ),
        }
    }

    /// Where the provider serves the keys of an issuer.
    pub(super) fn jwks_url(self, issuer: &str) -> String {
        let base = issuer.trim_end_matches('/');
        match self {
            Self::Keycloak => format!("{base}/protocol/openid-connect/certs"),
            Self::Okta => format!("{base}/v1/keys"),
            Self::Auth0 | Self::Cognito => format!("{base}/.well-known/jwks.json"),
            Self::Entra => format!("{}/discovery/v2.0/keys", base.trim_end_matches("/v2.0")),
            Self::Adfs => {
                let base = base.trim_end_matches("/services/trust");
                format!("https://{}/discovery/keys", base.split_once("://").map_or(base, |(_, rest)| rest))
            }
            Self::Google => "https://www.googleapis.com/oauth2/v3/certs".to_owned(),
            Self::Zitadel => format!("{base}/oauth/v2/keys"),
            Self::Authentik => format!("{base}/jwks/"),
            Self::GithubActions => format!("{base}/.well-known/jwks"),
            Self::Kubernetes => format!("{base}/openid/v1/jwks"),
        }
    }
}
