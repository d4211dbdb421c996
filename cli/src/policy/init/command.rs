//! The arguments of `portcullis policy init`, and the run.

use super::provider::{Facts, Provider};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output,
    policy::{claim_pointer::pointer, load::Loaded},
};
use clap::ValueEnum;

const HELP: &str = "\
Writes a small policy that passes `policy check`, with an issuer section for the tokens that the
provider documents; its comments name what to configure there. Then replace the routes with your
own, and try a real token:

  portcullis policy init --provider keycloak --issuer https://login.example.com/realms/shop \\
      --audience orders-api > policy.yaml
  portcullis policy explain policy.yaml GET /me --token @token.txt --fetch-keys
  portcullis policy render policy.yaml --as envoy";

/// Write a first policy for the tokens of an identity provider
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Identity provider
    #[arg(long, value_name = "NAME")]
    provider: Provider,
    /// Issuer (`iss`), exactly as in the tokens [default: one in the form that the provider documents]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Audience (`aud`) of the API's tokens; for `cognito`, whose access tokens have none, the app client
    #[arg(long)]
    audience: Option<String>,
    /// Envoy cluster through which the provider's keys are fetched
    #[arg(long, default_value = "id")]
    cluster: String,
}

impl Args {
    pub(in crate::policy) fn run(self) -> Outcome {
        output::write(self.policy()?)?;
        Ok(Exit::Done)
    }

    /// The policy, which the filter's own code has read.
    fn policy(&self) -> Result<String, Error> {
        let facts = self.provider.facts();
        let text = self.text(&facts);
        Loaded::parse("the policy", text.as_str())?;
        Ok(text)
    }

    fn text(&self, facts: &Facts) -> String {
        let name = self.provider.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let issuer = self.issuer.as_deref().unwrap_or(facts.issuer);
        let audience = self.audience.as_deref().unwrap_or(facts.audience);
        let values = [
            ("{{issuer}}", issuer),
            ("{{jwks_url}}", &self.provider.jwks_url(issuer)),
            ("{{audience}}", audience),
            ("{{client_roles}}", &pointer(&["resource_access", audience, "roles"])),
            ("{{cluster}}", &self.cluster),
        ];
        // A JSON string is a YAML string, too.
        let quoted = |value: &str| serde_json::Value::from(value).to_string();
        let section =
            values.iter().fold(facts.section.to_owned(), |text, (place, value)| text.replace(place, &quoted(value)));
        let (scopes, route) = match facts.scope {
            Some(scope) => {
                let scope = quoted(scope);
                (
                    format!("scopes:\n  {scope}: {{owner: orders-team}}\n"),
                    format!(
                        "  - name: orders.read\n    match: {{methods: [GET], path: /orders}}\n    require: {{all_of: [{scope}]}}\n"
                    ),
                )
            }
            None => Default::default(),
        };
        format!(
            "# A first policy, by `portcullis policy init --provider {name}`. Check it with `portcullis policy check`.\n\
             realm: orders\n\
             issuers:\n\
             {section}\
             session:\n  cluster: session                       # the Envoy cluster of portcullis-session\n  \
             credential: {{env: PORTCULLIS_FILTER_CREDENTIAL}}\n\
             {scopes}\
             routes:\n  \
             - {{name: health, match: {{path: /healthz}}, public: true}}\n  \
             - {{name: me, match: {{path: /me}}, authenticated: true}}\n\
             {route}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        lint::{Bounds, Warning, lint},
        load::Loaded,
    };

    fn args(provider: Provider) -> Args {
        Args { provider, issuer: None, audience: None, cluster: "id".to_owned() }
    }

    #[test]
    fn every_provider_has_a_valid_policy() {
        for provider in Provider::value_variants() {
            let text = args(*provider).policy().unwrap_or_else(|error| panic!("{provider:?}: {error:?}"));
            assert!(!text.contains("{{"), "{provider:?}: {text}");
        }
    }

    /// Whoever has just been given a policy can do nothing about a warning.
    #[test]
    fn no_policy_of_a_provider_has_a_warning_about_its_tokens() {
        for provider in Provider::value_variants() {
            let text = args(*provider).policy().expect("a policy");
            let loaded = Loaded::parse("it", text).expect("a policy");
            let today = "2026-12-01".parse().expect("a date");
            let found = lint(&loaded, today, Bounds { routes_per_scope_max: 50 });
            let found: Vec<_> = found.into_iter().filter(|(warning, _)| *warning == Warning::TokenTypeJwt).collect();
            assert!(found.is_empty(), "{provider:?}: {found:?}");
        }
    }

    #[test]
    fn what_the_caller_knows_is_written_and_quoted() {
        let text = Args {
            issuer: Some("https://a.example/\"x:y".to_owned()),
            audience: Some("it's: mine".to_owned()),
            cluster: "outbound|443||a.example".to_owned(),
            ..args(Provider::Keycloak)
        };
        let policy = Loaded::parse("it", text.text(&Provider::Keycloak.facts())).expect("a policy").policy;
        let issuer = &policy.issuers[0];
        assert_eq!(
            (&*issuer.issuer, issuer.audiences.as_slice()),
            ("https://a.example/\"x:y", &["it's: mine".to_owned()][..])
        );
    }

    /// Keycloak keeps the roles of a client under its id, which can be a URL.
    #[test]
    fn the_roles_of_keycloak_are_those_of_the_audience() {
        for (audience, pointer) in [
            (None, "/resource_access/orders-api/roles"),
            (Some("billing.api"), "/resource_access/billing.api/roles"),
            (Some("https://billing/~a"), "/resource_access/https:~1~1billing~1~0a/roles"),
        ] {
            let args = Args { audience: audience.map(str::to_owned), ..args(Provider::Keycloak) };
            let policy = Loaded::parse("it", args.policy().expect("a policy")).expect("a policy").policy;
            let claims = &policy.issuers[0].claim_names.scopes;
            assert!(claims.iter().any(|claim| claim.as_str() == pointer), "{claims:?}");
        }
    }

    #[test]
    fn an_issuer_that_no_policy_accepts_is_a_fault() {
        let error = Args { issuer: Some(String::new()), ..args(Provider::Okta) }.policy();
        assert!(error.is_err());
    }

    /// The example's cases play every section, with the tool and with a real Envoy.
    #[test]
    fn every_section_is_the_one_that_the_example_plays() {
        let example = include_str!("../../../../examples/providers/policy.yaml");
        let played = Loaded::parse("the example", example).expect("a policy").policy;
        for provider in Provider::value_variants() {
            let ours = Loaded::parse("it", args(*provider).policy().expect("a policy")).expect("a policy").policy;
            let mut ours = ours.issuers.into_iter().next().expect("an issuer");
            let played = played.issuers.iter().find(|issuer| issuer.issuer == ours.issuer);
            let played = played.unwrap_or_else(|| panic!("{provider:?} is not played"));
            // The example has a cluster for each provider, and more clients.
            ours.keys.clone_from(&played.keys);
            assert!(ours.clients.iter().all(|client| played.clients.contains(client)), "{provider:?}");
            ours.clients.clone_from(&played.clients);
            assert_eq!(&ours, played, "{provider:?}");
        }
    }
}
