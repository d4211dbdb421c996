//! How the claims of issuers are read, as filters describe it from their policies. With this, the service reads a token that
//! a caller presents as the filter does. The tokens of an issuer that no filter has described are read by the usual names.

use portcullis_contract::token::{CLAIMS_MAX, ClaimNames, ClaimValues, Fault, ScopeClaim, Unverified};
use portcullis_contract::wire;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use tracing::warn;

/// Values that one claim of a machine's mark can have, as in a policy.
const VALUES_MAX: usize = 1_000;

/// Issuers that are remembered. The tokens of any more are read by the usual names.
const ISSUERS_MAX: usize = 10_000;

/// An issuer as it is stored: as a filter described it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownIssuer {
    /// `iss`
    pub name: String,
    /// Claims that contain scopes.
    pub scope_claims: Vec<String>,
    /// Claims that identify the session.
    pub session_claims: Vec<String>,
    /// Claims that identify the client. Empty, as in a store of an earlier version: the usual ones.
    #[serde(default)]
    pub client_claims: Vec<String>,
    /// Claims that mark a machine client's token, each with its possible values as JSON.
    #[serde(default)]
    pub machine: Vec<(String, Vec<String>)>,
}

/// The issuers that filters have described. They are also on disk: after a restart, a token can be presented before any
/// filter has reconnected, and with other claim names it would name another session.
#[derive(Debug, Default)]
pub struct Issuers {
    known: RwLock<HashMap<String, ClaimNames>>,
    /// The issuer of our own tokens, if there are any: they are minted in place of those of others.
    own: OnceLock<String>,
    is_unwritten: AtomicBool,
}

impl Issuers {
    /// Remembers the issuers of a filter's policy. Where two policies differ, the latest one applies. The error says how a
    /// description breaks the contract.
    pub(crate) fn learn(&self, described: Vec<wire::Issuer>) -> Result<(), String> {
        let read = |issuer: wire::Issuer| {
            let name = issuer.name.clone();
            names(issuer).map(|names| (name.clone(), names)).map_err(|fault| format!("issuer `{name}`: {fault}"))
        };
        let described: Vec<_> = described.into_iter().map(read).collect::<Result<_, _>>()?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (issuer, names) in described {
            if known.len() >= ISSUERS_MAX && !known.contains_key(&issuer) {
                warn!(
                    issuer,
                    "more than {ISSUERS_MAX} issuers: the tokens of this one are read with the default claim names"
                );
                continue;
            }
            let before = known.insert(issuer.clone(), names);
            if known.get(&issuer) == before.as_ref() {
                continue;
            }
            self.is_unwritten.store(true, Ordering::SeqCst);
            if before.is_some() {
                warn!(issuer, "the policies of two filters read the claims of the same issuer differently");
            }
        }
        Ok(())
    }

    /// Whether a filter has described this issuer.
    pub(crate) fn are_described(&self, issuer: &str) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(issuer)
    }

    /// Loads the issuers that are on disk.
    pub(crate) fn load(&self, stored: Vec<KnownIssuer>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for issuer in stored {
            let issuer = issuer.into_wire();
            let name = issuer.name.clone();
            match names(issuer) {
                Ok(names) => drop(known.insert(name, names)),
                Err(fault) => warn!(issuer = name, fault, "the store's description of an issuer is unreadable"),
            }
        }
    }

    /// All issuers, if the disk lacks some. From then on, the disk is assumed to have them.
    pub(crate) fn take_unwritten(&self) -> Option<Vec<KnownIssuer>> {
        self.is_unwritten.swap(false, Ordering::SeqCst).then(|| {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.iter().map(|(name, names)| KnownIssuer::of(name, names)).collect()
        })
    }

    /// The disk may lack some of the issuers.
    pub(crate) fn unwritten(&self) {
        self.is_unwritten.store(true, Ordering::SeqCst);
    }

    /// The scopes that new values of an issuer's claims state; `None` where none of its scope claims is among them.
    pub(crate) fn scopes_stated(&self, issuer: &str, claims: &Map<String, Value>) -> Option<Vec<String>> {
        self.with(issuer, |names| names.scopes_stated(claims))
    }

    /// Whether a claim of an issuer contains scopes.
    pub(crate) fn is_scope_claim(&self, issuer: &str, name: &str) -> bool {
        let is_it = |claim: &ScopeClaim| claim.path().first().is_some_and(|outermost| outermost == name);
        self.with(issuer, |names| names.scopes.iter().any(is_it))
    }

    fn with<T>(&self, issuer: &str, read: impl FnOnce(&ClaimNames) -> T) -> T {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.get(issuer) {
            Some(names) => read(names),
            None => read(&ClaimNames::default()),
        }
    }

    /// Reads a token that nobody has verified here.
    pub(crate) fn read(&self, token: &str) -> Result<Unverified, Fault> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let usual = ClaimNames::default();
        let mints = |issuer: &str| self.own.get().is_some_and(|own| own == issuer);
        Unverified::read_minted(token, mints, |issuer| known.get(issuer).unwrap_or(&usual))
    }

    /// Has the tokens of this issuer read as ours.
    pub(crate) fn mint_as(&self, own: &str) {
        // It is said once, at the start.
        self.own.get_or_init(|| own.to_owned());
    }
}

impl KnownIssuer {
    fn of(name: &str, names: &ClaimNames) -> Self {
        let machine = names.machine.iter().map(ClaimValues::to_wire);
        Self {
            name: name.to_owned(),
            scope_claims: names.scopes.iter().map(|claim| claim.as_str().to_owned()).collect(),
            session_claims: names.session.clone(),
            client_claims: names.client.clone(),
            machine: machine.map(|wire::ClaimValues { claim, values }| (claim, values)).collect(),
        }
    }

    fn into_wire(self) -> wire::Issuer {
        let Self { name, scope_claims, session_claims, client_claims, machine } = self;
        let machine = machine.into_iter().map(|(claim, values)| wire::ClaimValues { claim, values }).collect();
        wire::Issuer { name, scope_claims, session_claims, client_claims, machine }
    }
}

/// How the claims of a described issuer are read. The error says how the description breaks the contract.
fn names(issuer: wire::Issuer) -> Result<ClaimNames, String> {
    let is_sound = |claims: &[String]| (1..=CLAIMS_MAX).contains(&claims.len());
    if !is_sound(&issuer.scope_claims) || !is_sound(&issuer.session_claims) {
        return Err(format!("1 to {CLAIMS_MAX} scope claims and session claims are needed"));
    }
    if issuer.client_claims.len() > CLAIMS_MAX || issuer.machine.len() > CLAIMS_MAX {
        return Err(format!("at most {CLAIMS_MAX} client claims and marks of machines are possible"));
    }
    if issuer.machine.iter().any(|mark| mark.values.len() > VALUES_MAX) {
        return Err(format!("a mark of machines has more than {VALUES_MAX} values"));
    }
    let scopes = issuer.scope_claims.iter().map(|claim| ScopeClaim::parse(claim)).collect::<Result<_, _>>();
    let machine = issuer.machine.into_iter().map(ClaimValues::of_wire).collect::<Option<_>>();
    Ok(ClaimNames {
        scopes: scopes.map_err(|malformed| malformed.to_string())?,
        session: issuer.session_claims,
        client: match issuer.client_claims {
            // A filter of an earlier version.
            usual if usual.is_empty() => ClaimNames::CLIENT.map(str::to_owned).to_vec(),
            claims => claims,
        },
        machine: machine.ok_or("a mark of machines has no value, or one that is none")?,
        // What conditions need, the filter reads.
        facts: std::sync::Arc::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    use portcullis_contract::token::{Facts, SessionKey};

    fn described(name: &str, scope_claims: &[&str], session_claims: &[&str]) -> wire::Issuer {
        let owned = |claims: &[&str]| claims.iter().map(|claim| (*claim).to_owned()).collect();
        wire::Issuer {
            name: name.to_owned(),
            scope_claims: owned(scope_claims),
            session_claims: owned(session_claims),
            ..wire::Issuer::default()
        }
    }

    fn machine(values: &[&str]) -> wire::ClaimValues {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        wire::ClaimValues { claim: "idtyp".to_owned(), values }
    }

    fn read(issuers: &Issuers, issuer: &str) -> Facts {
        let claims = format!(
            r#"{{"iss":"{issuer}","sub":"a","iat":1,"exp":2,"scp":"a","roles":["b"],"sid":"s","session_state":"t","azp":"z","cid":"c","idtyp":"app","realm":{{"roles":["d"]}}}}"#
        );
        let [header, claims] = [r#"{"alg":"none"}"#, &claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        issuers.read(&format!("{header}.{claims}.AA")).unwrap().facts
    }

    #[test]
    fn a_token_is_read_by_the_names_of_its_issuer_else_by_the_usual_ones() {
        let issuers = Issuers::default();
        let read = |issuer: &str| {
            let facts = read(&issuers, issuer);
            (facts.scopes.join(" "), facts.session_key.as_str().to_owned())
        };
        let usual = ("a".to_owned(), "s".to_owned());
        assert_eq!(read("i"), usual);
        issuers.learn(vec![described("i", &["roles"], &["session_state", "sid"])]).unwrap();
        assert_eq!((read("i"), read("j")), (("b".to_owned(), "t".to_owned()), usual.clone()));
        issuers.learn(vec![described("i", &["scp", "/realm/roles"], &["sid"])]).unwrap();
        assert_eq!(read("i"), ("a d".to_owned(), "s".to_owned()));
        issuers.learn(vec![described("i", &["scp"], &["sid"])]).unwrap();
        assert_eq!(read("i"), usual);
    }

    #[test]
    fn client_and_machine_are_read_as_the_filter_reads_them_and_after_a_restart_too() {
        let issuers = Issuers::default();
        let who = |issuers: &Issuers| {
            let facts = read(issuers, "i");
            (facts.client_id.unwrap_or_default(), facts.grant, facts.session_key)
        };
        let login = |who: &(String, String, SessionKey)| matches!(who.2, SessionKey::Login(_));
        issuers.learn(vec![described("i", &["scp"], &["none"])]).unwrap();
        let earlier = who(&issuers);
        assert!(login(&earlier) && earlier.0 == "z", "a filter of an earlier version: {earlier:?}");
        let marked = |values: &[&str]| wire::Issuer {
            client_claims: vec!["cid".to_owned(), "azp".to_owned()],
            machine: vec![machine(values)],
            ..described("i", &["scp"], &["none"])
        };
        issuers.learn(vec![marked(&["\"user\""])]).unwrap();
        assert!(login(&who(&issuers)) && who(&issuers).0 == "c");
        issuers.learn(vec![marked(&["1", "\"app\""])]).unwrap();
        let expected = ("c".to_owned(), "client_credentials".to_owned(), SessionKey::Machine("c".to_owned()));
        assert_eq!(who(&issuers), expected);

        let stored = serde_json::to_string(&issuers.take_unwritten().unwrap()).unwrap();
        let restarted = Issuers::default();
        restarted.load(serde_json::from_str(&stored).unwrap());
        assert_eq!(who(&restarted), expected);
        let old = r#"[{"name":"i","scope_claims":["scp"],"session_claims":["none"]}]"#;
        restarted.load(serde_json::from_str(old).unwrap());
        assert_eq!(who(&restarted), earlier, "a store of an earlier version");
    }

    #[test]
    fn an_issuer_that_is_ill_described_breaks_the_contract_and_the_number_of_issuers_is_bounded() {
        let issuers = Issuers::default();
        let sound = || described("i", &["scp"], &["sid"]);
        for broken in [
            described("i", &[], &["sid"]),
            described("i", &["scp"], &[]),
            described("i", &["scp"; CLAIMS_MAX + 1], &["sid"]),
            described("i", &["/realm~roles"], &["sid"]),
            wire::Issuer { client_claims: vec!["c".to_owned(); CLAIMS_MAX + 1], ..sound() },
            wire::Issuer { machine: vec![machine(&["1"]); CLAIMS_MAX + 1], ..sound() },
            wire::Issuer { machine: vec![machine(&[])], ..sound() },
            wire::Issuer { machine: vec![machine(&["app"])], ..sound() },
        ] {
            assert!(issuers.learn(vec![sound(), broken.clone()]).is_err(), "{broken:?}");
            assert!(issuers.known.read().unwrap().is_empty(), "{broken:?}");
        }
        let many = (0..=ISSUERS_MAX).map(|n| described(&n.to_string(), &["scp"], &["sid"])).collect();
        issuers.learn(many).unwrap();
        assert_eq!(issuers.known.read().unwrap().len(), ISSUERS_MAX);
    }
}
