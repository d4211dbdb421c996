//! The trail of one session: as little of its latest requests as tells what is unusual about the next one. Pure.

use super::kind::Anomaly;
use super::settings::{Settings, Travel};
use crate::place::{Country, Place};

/// User agents of a session that are told apart: a browser changes its own when it is updated.
const AGENTS_MAX: usize = 4;

/// Addresses of a session that are told apart.
pub(super) const ADDRESSES_MAX: usize = 16;

/// How soon the same anomaly is found again.
const AGAIN_MS: u64 = 60_000;

const MS_PER_HOUR: f64 = 3_600_000.0;

/// What one request shows of its client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    pub(super) place: Option<Place>,
    /// A keyed hash of the address.
    pub(super) address: Option<u32>,
    /// A digest of the user agent.
    pub(super) agent: Option<u64>,
    /// When its session was logged in last.
    pub(super) login_ms: u64,
    pub(super) at_ms: u64,
}

/// Where somebody was last, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spot {
    pub(super) place: Place,
    pub(super) seen_ms: u64,
}

/// What a sighting has shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// What is unusual about it, apart from a country that is new.
    pub(super) anomalies: Vec<Anomaly>,
    /// The country, if it is to be looked at whether it is new: after a login, or when it is another one.
    pub(super) arrives: Option<Country>,
    /// The country before.
    pub(super) before: Option<Country>,
}

/// What is kept of a session.
#[derive(Debug, Default)]
pub(super) struct Trail {
    login_ms: Option<u64>,
    /// The login that a place was last known of.
    placed_login_ms: Option<u64>,
    spot: Option<Spot>,
    /// The network, and when it was seen last.
    network: Option<(u32, u64)>,
    /// The network before, likewise.
    left: Option<(u32, u64)>,
    /// The latest one last.
    agents: Vec<u64>,
    /// Each with when it was seen last, the latest one last.
    addresses: Vec<(u32, u64)>,
    /// When each anomaly was found last.
    found: [Option<u64>; Anomaly::ALL.len()],
}

impl Trail {
    /// Takes in a sighting. `elsewhere` is where its subject was last, with whatever session.
    pub(super) fn see(&mut self, sighting: Sighting, elsewhere: Option<Spot>, settings: &Settings) -> Shown {
        let Sighting { place, address, agent, login_ms, at_ms } = sighting;
        if is_later(&mut self.login_ms, login_ms) {
            // Whoever has just logged in has answered for what was unusual before.
            self.found = Default::default();
        }
        let mut shown = Shown::default();
        if let Some(place) = place {
            // A first request whose place is unknown must not take the login from the next one.
            let is_login = is_later(&mut self.placed_login_ms, login_ms);
            self.travel(Spot { place, seen_ms: at_ms }, is_login, elsewhere, settings, &mut shown);
        }
        let others = [
            (Anomaly::Flapping, place.and_then(|place| place.asn).is_some_and(|asn| self.flaps(asn, at_ms, settings))),
            (Anomaly::UserAgent, agent.is_some_and(|agent| self.changes(agent)) && settings.user_agent),
            (Anomaly::ManyAddresses, address.is_some_and(|address| self.is_crowd(address, at_ms, settings))),
        ];
        shown.anomalies.extend(others.into_iter().filter(|(_, is_found)| *is_found).map(|(anomaly, _)| anomaly));
        shown.anomalies.retain(|anomaly| self.is_new(*anomaly, at_ms));
        shown
    }

    /// Whether an anomaly was not found a moment ago.
    pub(super) fn is_new(&mut self, anomaly: Anomaly, at_ms: u64) -> bool {
        let Some(found) = self.found.get_mut(anomaly as usize) else { return true };
        let is_new = found.is_none_or(|found_ms| at_ms.saturating_sub(found_ms) >= AGAIN_MS);
        if is_new {
            *found = Some(at_ms);
        }
        is_new
    }

    fn travel(&mut self, to: Spot, is_login: bool, elsewhere: Option<Spot>, settings: &Settings, shown: &mut Shown) {
        let own = self.spot.replace(to);
        // A login may be the first that this session is seen of, and not of its subject.
        let from = if is_login { [own, elsewhere].into_iter().flatten().max_by_key(|spot| spot.seen_ms) } else { own };
        let has_moved = |from: &Spot| {
            are_different(from.place.country, to.place.country) || are_different(from.place.asn, to.place.asn)
        };
        let is_other_country = own.is_none_or(|own| own.place.country != to.place.country);
        shown.arrives = to.place.country.filter(|_| is_login || is_other_country);
        shown.before = from.and_then(|from| from.place.country);
        let is_impossible = |from: Spot, travel| (is_login || has_moved(&from)) && is_too_fast(from, to, travel);
        if from.zip(settings.impossible_travel).is_some_and(|(from, travel)| is_impossible(from, travel)) {
            shown.anomalies.push(Anomaly::ImpossibleTravel);
        }
    }

    /// Whether the session comes back to a network too soon after it has left it. A phone that changes from one network to
    /// another does not; two clients of one session do.
    fn flaps(&mut self, asn: u32, at_ms: u64, settings: &Settings) -> bool {
        let before = self.network.replace((asn, at_ms)).filter(|(before, _)| *before != asn);
        let Some(before) = before else { return false };
        let left = self.left.replace(before);
        left.zip(settings.flapping_ms)
            .is_some_and(|((left, left_ms), within_ms)| left == asn && at_ms.saturating_sub(left_ms) <= within_ms)
    }

    /// Whether it is another user agent than those before.
    fn changes(&mut self, agent: u64) -> bool {
        let (known, had_any) = (self.agents.iter().position(|known| *known == agent), !self.agents.is_empty());
        if let Some(place) = known.or_else(|| (self.agents.len() >= AGENTS_MAX).then_some(0)) {
            self.agents.remove(place);
        }
        self.agents.push(agent);
        had_any && known.is_none()
    }

    fn is_crowd(&mut self, address: u32, at_ms: u64, settings: &Settings) -> bool {
        let Some(crowd) = settings.many_addresses else { return false };
        self.addresses.retain(|(known, seen_ms)| *known != address && at_ms.saturating_sub(*seen_ms) < crowd.within_ms);
        if self.addresses.len() >= ADDRESSES_MAX {
            self.addresses.remove(0);
        }
        self.addresses.push((address, at_ms));
        self.addresses.len() > crowd.count
    }
}

/// Whether an instant is later than the one that is known. From now on, it is known.
fn is_later(known_ms: &mut Option<u64>, at_ms: u64) -> bool {
    let is_later = known_ms.is_none_or(|known_ms| known_ms < at_ms);
    *known_ms = (*known_ms).max(Some(at_ms));
    is_later
}

/// Whether both are known, and not the same.
fn are_different<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

/// Whether nobody can have come from there to here.
fn is_too_fast(from: Spot, to: Spot, travel: Travel) -> bool {
    let Some((start, end)) = from.place.at.zip(to.place.at) else { return false };
    let km = start.km_to(end);
    let hours = to.seen_ms.saturating_sub(from.seen_ms) as f64 / MS_PER_HOUR;
    km > f64::from(travel.km) && km > f64::from(travel.km_per_hour) * hours
}

#[cfg(test)]
mod tests {
    use super::super::settings::Crowd;
    use super::*;
    use crate::place::Coordinates;

    const SECOND: u64 = 1_000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const T0: u64 = 1_700_000_000_123;

    fn settings() -> Settings {
        Settings {
            lasts_ms: HOUR,
            impossible_travel: Some(Travel { km: 100, km_per_hour: 300 }),
            new_place_ms: Some(HOUR),
            flapping_ms: Some(10 * SECOND),
            user_agent: true,
            many_addresses: Some(Crowd { count: 3, within_ms: 10 * MINUTE }),
        }
    }

    fn place(country: &str, asn: u32, latitude: f64, longitude: f64) -> Place {
        let at = Coordinates::new(latitude, longitude, 0);
        Place { country: Country::read(country), asn: Some(asn), proxy: None, at }
    }

    fn zurich() -> Place {
        place("CH", 3303, 47.37, 8.54)
    }

    /// 225 km from Zurich.
    fn geneva() -> Place {
        place("CH", 6730, 46.20, 6.14)
    }

    /// 74 km from Zurich.
    fn basel() -> Place {
        place("CH", 15796, 47.56, 7.59)
    }

    fn new_york() -> Place {
        place("US", 7018, 40.71, -74.01)
    }

    fn sighting(place: Place, at_ms: u64) -> Sighting {
        Sighting { place: Some(place), address: None, agent: None, login_ms: T0, at_ms }
    }

    fn see(trail: &mut Trail, place: Place, at_ms: u64) -> Vec<Anomaly> {
        trail.see(sighting(place, at_ms), None, &settings()).anomalies
    }

    #[test]
    fn travel_is_impossible_only_if_it_is_both_far_and_fast() {
        for (to, after_ms, wanted) in [
            // 6,320 km, which take 21 hours and 4 minutes at 300 km/h.
            (new_york(), 22 * HOUR, false),
            (new_york(), 20 * HOUR, true),
            (geneva(), 46 * MINUTE, false),
            (geneva(), 44 * MINUTE, true),
            (geneva(), 0, true),
            // 74 km are too near, however fast.
            (basel(), 0, false),
        ] {
            let mut trail = Trail::default();
            assert_eq!(see(&mut trail, zurich(), T0), []);
            let is_found = see(&mut trail, to, T0 + after_ms).contains(&Anomaly::ImpossibleTravel);
            assert_eq!(is_found, wanted, "{to:?} after {after_ms} ms");
        }
    }

    #[test]
    fn travel_is_measured_from_when_the_last_place_was_seen_last() {
        let mut trail = Trail::default();
        for hour in 0..30 {
            assert_eq!(see(&mut trail, zurich(), T0 + hour * HOUR), []);
        }
        assert_eq!(see(&mut trail, new_york(), T0 + 30 * HOUR), [Anomaly::ImpossibleTravel]);
    }

    #[test]
    fn coordinates_that_move_within_a_country_and_network_are_no_travel_unless_there_is_a_login() {
        let moved = Place { at: new_york().at, ..zurich() };
        let mut trail = Trail::default();
        see(&mut trail, zurich(), T0);
        assert_eq!(see(&mut trail, moved, T0 + 1), []);
        let login = Sighting { login_ms: T0 + 2, ..sighting(zurich(), T0 + 2) };
        assert_eq!(trail.see(login, None, &settings()).anomalies, [Anomaly::ImpossibleTravel]);
    }

    #[test]
    fn a_login_is_compared_with_where_its_subject_was_last_with_any_session() {
        let elsewhere = Some(Spot { place: new_york(), seen_ms: T0 });
        let shown = Trail::default().see(sighting(zurich(), T0 + HOUR), elsewhere, &settings());
        let country = |text| Country::read(text);
        let wanted =
            Shown { anomalies: vec![Anomaly::ImpossibleTravel], arrives: country("CH"), before: country("US") };
        assert_eq!(shown, wanted);
        // Without a login, each session has its own trail.
        let mut trail = Trail::default();
        see(&mut trail, zurich(), T0);
        let next =
            trail.see(sighting(zurich(), T0 + 1), Some(Spot { place: new_york(), seen_ms: T0 + 1 }), &settings());
        assert_eq!(next, Shown { before: country("CH"), ..Shown::default() });
    }

    #[test]
    fn a_request_whose_place_is_unknown_does_not_take_the_login_from_the_next_one() {
        let elsewhere = Some(Spot { place: new_york(), seen_ms: T0 });
        let mut trail = Trail::default();
        let nowhere = Sighting { place: None, ..sighting(zurich(), T0) };
        assert_eq!(trail.see(nowhere, None, &settings()), Shown::default());
        let shown = trail.see(sighting(zurich(), T0 + HOUR), elsewhere, &settings());
        assert_eq!((shown.anomalies, shown.arrives), (vec![Anomaly::ImpossibleTravel], Country::read("CH")));
    }

    #[test]
    fn without_coordinates_there_is_no_travel() {
        let mut trail = Trail::default();
        see(&mut trail, Place { at: None, ..zurich() }, T0);
        assert_eq!(see(&mut trail, new_york(), T0 + 1), []);
    }

    #[test]
    fn a_country_arrives_at_a_login_and_when_it_is_another_one() {
        let mut trail = Trail::default();
        let mut arrives = |place: Place, login_ms, at_ms| {
            let seen = Sighting { login_ms, ..sighting(place, at_ms) };
            trail.see(seen, None, &settings()).arrives.map(|country| country.to_string()).unwrap_or_default()
        };
        assert_eq!(arrives(zurich(), T0, T0), "CH");
        assert_eq!(arrives(geneva(), T0, T0 + DAY), "");
        assert_eq!(arrives(new_york(), T0, T0 + 2 * DAY), "US");
        assert_eq!(arrives(new_york(), T0 + 3 * DAY, T0 + 3 * DAY), "US");
        assert_eq!(arrives(Place { country: None, ..zurich() }, T0 + 3 * DAY, T0 + 4 * DAY), "");
    }

    #[test]
    fn a_session_flaps_if_it_comes_back_to_a_network_within_seconds() {
        let at = |asn| Place { asn: Some(asn), ..Place::default() };
        let mut trail = Trail::default();
        assert_eq!(see(&mut trail, at(1), T0), []);
        assert_eq!(see(&mut trail, at(2), T0 + 5 * SECOND), [], "a phone that leaves its home");
        assert_eq!(see(&mut trail, at(2), T0 + 6 * SECOND), []);
        assert_eq!(see(&mut trail, at(1), T0 + 11 * SECOND), [], "it was left too long ago");
        assert_eq!(see(&mut trail, at(2), T0 + 15 * SECOND), [Anomaly::Flapping]);
        assert_eq!(see(&mut trail, at(1), T0 + 16 * SECOND), [], "found a moment ago");
        assert_eq!(see(&mut trail, at(2), T0 + 75 * SECOND + 1), [], "it was left too long ago, again");
        assert_eq!(see(&mut trail, at(1), T0 + 76 * SECOND), [], "likewise");
        assert_eq!(see(&mut trail, at(2), T0 + 77 * SECOND), [Anomaly::Flapping]);
        assert_eq!(see(&mut trail, Place { country: Country::read("CH"), ..Place::default() }, T0 + 80 * SECOND), []);
    }

    #[test]
    fn a_user_agent_is_another_one_once() {
        let mut trail = Trail::default();
        let mut see = |agent, at_ms| {
            let seen = Sighting { place: None, agent, ..sighting(zurich(), at_ms) };
            trail.see(seen, None, &settings()).anomalies
        };
        assert_eq!(see(None, T0), []);
        assert_eq!(see(Some(1), T0), [], "the first one");
        assert_eq!(see(Some(2), T0 + 1), [Anomaly::UserAgent]);
        for (number, agent) in [1, 2, 1, 2].into_iter().enumerate() {
            assert_eq!(see(Some(agent), T0 + HOUR * (number as u64 + 1)), [], "both are known");
        }
        for agent in 3..6 {
            assert_eq!(see(Some(agent), T0 + DAY * agent), [Anomaly::UserAgent]);
        }
        assert_eq!(see(Some(1), T0 + 9 * DAY), [Anomaly::UserAgent], "forgotten: four are kept");
    }

    #[test]
    fn more_addresses_at_once_than_a_client_has_are_many() {
        let mut trail = Trail::default();
        let mut see = |address, at_ms| {
            let seen = Sighting { place: None, address: Some(address), ..sighting(zurich(), at_ms) };
            trail.see(seen, None, &settings()).anomalies
        };
        for address in [1, 2, 3, 1, 2, 3] {
            assert_eq!(see(address, T0), []);
        }
        assert_eq!(see(4, T0 + 10 * MINUTE), [], "the others were ten minutes ago");
        assert_eq!(see(5, T0 + 11 * MINUTE), []);
        assert_eq!(see(6, T0 + 12 * MINUTE), []);
        assert_eq!(see(7, T0 + 13 * MINUTE), [Anomaly::ManyAddresses]);
        for address in 0..1_000 {
            see(address, T0 + 14 * MINUTE);
        }
        assert_eq!(trail.addresses.len(), ADDRESSES_MAX);
    }

    #[test]
    fn after_a_login_the_same_anomaly_is_found_again_at_once() {
        let mut trail = Trail::default();
        see(&mut trail, zurich(), T0);
        assert_eq!(see(&mut trail, new_york(), T0 + 1), [Anomaly::ImpossibleTravel]);
        assert_eq!(see(&mut trail, zurich(), T0 + 2), [Anomaly::Flapping], "the travel was found a moment ago");
        assert_eq!(see(&mut trail, new_york(), T0 + 3), []);
        let login = Sighting { login_ms: T0 + 4, ..sighting(zurich(), T0 + 4) };
        assert_eq!(trail.see(login, None, &settings()).anomalies, [Anomaly::ImpossibleTravel, Anomaly::Flapping]);
    }

    #[test]
    fn what_is_not_configured_is_not_found_and_a_clock_that_goes_back_is_no_travel_in_time() {
        let none = Settings {
            impossible_travel: None,
            new_place_ms: None,
            flapping_ms: None,
            user_agent: false,
            many_addresses: None,
            ..settings()
        };
        let mut trail = Trail::default();
        for number in 0..100_u32 {
            let place = if number % 2 == 0 { zurich() } else { new_york() };
            let (address, agent) = (Some(number), Some(u64::from(number)));
            let seen = Sighting { address, agent, ..sighting(place, T0 + u64::from(number)) };
            assert_eq!(trail.see(seen, None, &none).anomalies, []);
        }
        assert!(trail.addresses.is_empty());
        let mut trail = Trail::default();
        see(&mut trail, zurich(), T0);
        assert_eq!(see(&mut trail, new_york(), T0 - HOUR), [Anomaly::ImpossibleTravel], "as if no time had passed");
    }
}
