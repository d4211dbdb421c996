//! Where a request comes from, as far as anything of it is kept: a country, a network, whether it hides behind a proxy, and
//! roughly where that is. Never an address.

use portcullis_contract::wire;

/// The radius of the earth, in kilometres.
const EARTH_RADIUS_KM: f64 = 6_371.0;

/// What databases and proxies say instead of a country that they do not know.
const UNKNOWN: [&[u8; 2]; 2] = [b"ZZ", b"XX"];

/// A country: ISO 3166-1 alpha-2, in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// Reads one, in upper or lower case; `None` for whatever is not two letters, and for what stands for an unknown one.
    pub fn read(text: &str) -> Option<Self> {
        let letters = <[u8; 2]>::try_from(text.as_bytes()).ok()?.map(|byte| byte.to_ascii_uppercase());
        let is_country = letters.iter().all(u8::is_ascii_uppercase) && !UNKNOWN.contains(&&letters);
        is_country.then_some(Self(letters))
    }

    /// Its two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Display for Country {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A point, and how far from it the client may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coordinates {
    latitude: f32,
    longitude: f32,
    radius_km: u16,
}

impl Coordinates {
    /// The point with these degrees; `None` if there is no such point.
    pub fn new(latitude: f64, longitude: f64, radius_km: u16) -> Option<Self> {
        let is_point = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        // Single precision is a few metres off at most.
        is_point.then_some(Self { latitude: latitude as f32, longitude: longitude as f32, radius_km })
    }

    /// How far it is to another point at least, in kilometres: the distance without both radii.
    pub fn km_to(self, other: Self) -> f64 {
        let [from, to] = [self, other].map(|point| f64::from(point.latitude).to_radians());
        let half_turn = (f64::from(other.longitude) - f64::from(self.longitude)).to_radians() / 2.0;
        let half_climb = (to - from) / 2.0;
        // The haversine formula.
        let chord = half_climb.sin().powi(2) + from.cos() * to.cos() * half_turn.sin().powi(2);
        let km = 2.0 * EARTH_RADIUS_KM * chord.sqrt().min(1.0).asin();
        (km - f64::from(self.radius_km) - f64::from(other.radius_km)).max(0.0)
    }
}

/// Where a request comes from. What nobody knows is absent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Place {
    /// The country.
    pub country: Option<Country>,
    /// The number of the autonomous system: the network.
    pub asn: Option<u32>,
    /// Whether the address is one of an anonymizing proxy.
    pub proxy: Option<bool>,
    /// Roughly where, if a database knows.
    pub at: Option<Coordinates>,
}

impl Place {
    /// The place that a filter vouches for.
    pub fn stated(place: &wire::Place) -> Option<Self> {
        let country = Country::read(&place.country);
        Self { country, asn: place.asn, proxy: place.proxy, at: None }.known()
    }

    /// The place, unless nothing is known of it.
    pub(crate) fn known(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }

    /// What another source adds where this one says nothing.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            country: self.country.or(other.country),
            asn: self.asn.or(other.asn),
            proxy: self.proxy.or(other.proxy),
            at: self.at.or(other.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64, radius_km: u16) -> Coordinates {
        Coordinates::new(latitude, longitude, radius_km).unwrap()
    }

    #[test]
    fn a_country_is_two_letters_and_known() {
        for (text, wanted) in [
            ("CH", Some("CH")),
            ("ch", Some("CH")),
            ("", None),
            ("C", None),
            ("CHE", None),
            ("T1", None),
            ("ZZ", None),
            ("xx", None),
            ("é", None),
        ] {
            assert_eq!(Country::read(text).map(|country| country.to_string()).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn a_distance_is_the_one_on_the_globe_without_both_radii() {
        let (zurich, new_york) = (at(47.37, 8.54, 0), at(40.71, -74.01, 0));
        assert!((zurich.km_to(new_york) - 6_320.0).abs() < 20.0, "{}", zurich.km_to(new_york));
        assert!((new_york.km_to(zurich) - zurich.km_to(new_york)).abs() < 0.01);
        assert!((at(47.37, 8.54, 100).km_to(at(40.71, -74.01, 220)) - 6_000.0).abs() < 20.0);
        assert!(zurich.km_to(zurich) < 0.01 && at(47.37, 8.54, 20).km_to(at(47.5, 8.6, 20)) < 0.01);
        // Across the date line, and from pole to pole.
        assert!(at(0.0, 179.9, 0).km_to(at(0.0, -179.9, 0)) < 23.0);
        assert!((at(90.0, 0.0, 0).km_to(at(-90.0, 0.0, 0)) - 20_015.0).abs() < 2.0);
    }

    #[test]
    fn what_is_no_point_is_none() {
        for (latitude, longitude) in [(91.0, 0.0), (0.0, 181.0), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
            assert_eq!(Coordinates::new(latitude, longitude, 0), None, "{latitude} {longitude}");
        }
    }

    #[test]
    fn a_stated_place_is_what_it_says_and_none_if_it_says_nothing() {
        let stated = wire::Place { country: "ch".to_owned(), asn: Some(3303), proxy: None };
        let place = Place { country: Country::read("CH"), asn: Some(3303), ..Place::default() };
        assert_eq!(Place::stated(&stated), Some(place));
        assert_eq!(Place::stated(&wire::Place { country: "Switzerland".to_owned(), ..wire::Place::default() }), None);
    }

    #[test]
    fn what_one_source_does_not_say_is_taken_from_the_next() {
        let one = Place { country: Country::read("CH"), ..Place::default() };
        let two = Place { country: Country::read("DE"), asn: Some(1), proxy: Some(true), at: None };
        assert_eq!(one.or(two), Place { country: one.country, ..two });
    }
}
