//! The trails of all sessions, and where their subjects were last: in shards with separate locks, and bounded. What was not
//! needed for longest is forgotten first; a session whose trail is forgotten begins a new one.

use super::kind::Anomaly;
use super::recent::Recent;
use super::settings::Settings;
use super::trail::{Shown, Sighting, Spot, Trail};
use crate::place::Place;
use portcullis_contract::SessionId;
use std::array::from_fn;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of shards; a power of two.
const SHARDS: usize = 64;

/// Sessions and subjects that are watched, in all shards.
const WATCHED_MAX: usize = 1 << 18;

/// Bits of an IPv6 address that tell networks of clients apart; the rest changes by itself (RFC 8981).
const IPV6_CLIENT_BITS: u32 = 64;

/// The detector.
pub(super) struct Detector {
    pub(super) settings: Settings,
    trails: [Mutex<Recent<SessionId, Trail>>; SHARDS],
    /// By a keyed hash of the subject.
    spots: [Mutex<Recent<u64, Option<Spot>>>; SHARDS],
    /// Keys that nobody knows, and that this process forgets.
    keys: RandomState,
}

/// Whose request was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'s> {
    pub(super) session: SessionId,
    pub(super) issuer: &'s str,
    pub(super) subject: &'s str,
    /// The last login.
    pub(super) login_ms: u64,
}

/// What its request shows of a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client {
    pub(super) place: Option<Place>,
    pub(super) address: Option<IpAddr>,
    /// A digest of its user agent.
    pub(super) agent: Option<u64>,
}

impl Detector {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            trails: from_fn(|_| Mutex::new(Recent::new(WATCHED_MAX / SHARDS))),
            spots: from_fn(|_| Mutex::new(Recent::new(WATCHED_MAX / SHARDS))),
            keys: RandomState::new(),
        }
    }

    /// A keyed hash.
    pub(super) fn hash(&self, of: impl std::hash::Hash) -> u64 {
        self.keys.hash_one(of)
    }

    /// Takes in a sighting.
    pub(super) fn see(&self, whose: Whose<'_>, client: Client, at_ms: u64) -> Shown {
        let address = client.address.map(|address| self.hash(network_of(address)) as u32);
        let sighting = Sighting { place: client.place, address, agent: client.agent, login_ms: whose.login_ms, at_ms };
        let elsewhere = client.place.and_then(|place| self.moved(whose, Spot { place, seen_ms: at_ms }));
        lock(shard(&self.trails, whose.session)).at(whose.session).see(sighting, elsewhere, &self.settings)
    }

    /// Whether an anomaly of a session was not found a moment ago. From now on, it was.
    pub(super) fn is_new(&self, session: SessionId, anomaly: Anomaly, at_ms: u64) -> bool {
        lock(shard(&self.trails, session)).at(session).is_new(anomaly, at_ms)
    }

    /// Notes where a subject is, and says where it was.
    fn moved(&self, whose: Whose<'_>, to: Spot) -> Option<Spot> {
        if whose.subject.is_empty() {
            return None;
        }
        let subject = self.hash((whose.issuer, whose.subject));
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the array's length")]
        let spots = &self.spots[subject as usize % SHARDS];
        lock(spots).at(subject).replace(to)
    }
}

/// The part of an address that belongs to one client.
fn network_of(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        // Beyond all addresses of IPv4.
        IpAddr::V6(address) => {
            u128::from(address) >> (u128::BITS - IPV6_CLIENT_BITS) << (u128::BITS - IPV6_CLIENT_BITS) | 1 << 63
        }
    }
}

fn shard<T>(shards: &[T; SHARDS], session: SessionId) -> &T {
    let [first, ..] = session.0;
    #[expect(clippy::indexing_slicing, reason = "the remainder is below the array's length")]
    &shards[usize::from(first) % SHARDS]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Crowd, Travel};
    use super::*;
    use crate::place::{Coordinates, Country};

    const T0: u64 = 1_700_000_000_123;

    fn detector() -> Detector {
        Detector::new(Settings {
            lasts_ms: 1,
            impossible_travel: Some(Travel { km: 100, km_per_hour: 300 }),
            new_place_ms: None,
            flapping_ms: None,
            user_agent: false,
            many_addresses: Some(Crowd { count: 1, within_ms: 1_000 }),
        })
    }

    fn whose(session: u8, subject: &str) -> Whose<'_> {
        Whose { session: SessionId([session; 16]), issuer: "https://id", subject, login_ms: T0 }
    }

    fn at(latitude: f64, longitude: f64) -> Client {
        let place =
            Place { at: Coordinates::new(latitude, longitude, 0), country: Country::read("CH"), ..Place::default() };
        Client { place: Some(place), address: None, agent: None }
    }

    #[test]
    fn a_login_is_compared_with_the_other_sessions_of_its_subject_and_of_no_other() {
        let detector = detector();
        assert_eq!(detector.see(whose(1, "alice"), at(47.37, 8.54), T0).anomalies, []);
        assert_eq!(detector.see(whose(2, "bob"), at(40.71, -74.01), T0 + 1).anomalies, []);
        assert_eq!(detector.see(whose(3, "alice"), at(40.71, -74.01), T0 + 2).anomalies, [Anomaly::ImpossibleTravel]);
        assert_eq!(detector.see(whose(4, ""), at(40.71, -74.01), T0 + 3).anomalies, []);
        assert_eq!(
            detector.see(whose(5, ""), at(47.37, 8.54), T0 + 4).anomalies,
            [],
            "nobody's sessions are not one's"
        );
    }

    #[test]
    fn addresses_are_told_apart_as_clients_have_them() {
        let detector = detector();
        let see = |session, address: &str| {
            let address = Some(address.parse().unwrap());
            detector.see(whose(session, "alice"), Client { place: None, address, agent: None }, T0).anomalies
        };
        assert_eq!(see(1, "192.0.2.1"), []);
        assert_eq!(see(1, "::ffff:192.0.2.1"), [], "the same");
        assert_eq!(see(1, "192.0.2.2"), [Anomaly::ManyAddresses]);
        assert_eq!(see(2, "2001:db8::1"), []);
        assert_eq!(see(2, "2001:db8::2"), [], "of the same client");
        assert_eq!(see(2, "2001:db8:0:1::1"), [Anomaly::ManyAddresses]);
        assert_ne!(network_of("::".parse().unwrap()), network_of("0.0.0.0".parse().unwrap()));
    }

    #[test]
    fn an_anomaly_is_new_once() {
        let detector = detector();
        let session = SessionId([7; 16]);
        assert!(
            detector.is_new(session, Anomaly::NewPlace, T0) && !detector.is_new(session, Anomaly::NewPlace, T0 + 1)
        );
    }
}
