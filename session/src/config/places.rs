//! Where requests come from: `geoip` and `anomalies`.

use super::access::duration;
use crate::anomalies::{Crowd, Settings, Travel};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::path::PathBuf;

/// The most databases.
const DATABASES_MAX: usize = 8;

/// The most addresses that can be a client's.
const ADDRESSES_MAX: usize = 15;

/// The bounds of a distance and of a speed: half of the earth's circumference, and more than any airliner.
const KM_MAX: u32 = 20_000;
const KM_PER_HOUR_MAX: u32 = 2_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object: `{database: …}`")]
pub(super) struct RawGeoIp {
    database: RawDatabases,
}

/// A file, or a list of them.
struct RawDatabases(Vec<String>);

impl<'de> Deserialize<'de> for RawDatabases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Files)
    }
}

struct Files;

impl<'de> Visitor<'de> for Files {
    type Value = RawDatabases;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a file or a list of files")
    }

    fn visit_str<E: Error>(self, file: &str) -> Result<RawDatabases, E> {
        Ok(RawDatabases(vec![file.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawDatabases, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(RawDatabases)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the anomalies to look for")]
pub(super) struct RawAnomalies {
    lasts: Option<String>,
    #[serde(default, deserialize_with = "written")]
    impossible_travel: Option<RawTravel>,
    #[serde(default, deserialize_with = "written")]
    new_place: Option<RawNewPlace>,
    #[serde(default, deserialize_with = "written")]
    flapping: Option<RawFlapping>,
    #[serde(default, deserialize_with = "written")]
    user_agent: Option<RawUserAgent>,
    #[serde(default, deserialize_with = "written")]
    many_addresses: Option<RawManyAddresses>,
}

/// A key that is written is meant, also without anything behind it.
fn written<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<T>::deserialize(deserializer).map(|value| Some(value.unwrap_or_default()))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object: `{}` or with `km` and `km_per_hour`")]
struct RawTravel {
    km: Option<u32>,
    km_per_hour: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object: `{}` or `{remember: …}`")]
struct RawNewPlace {
    remember: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object: `{}` or `{within: …}`")]
struct RawFlapping {
    within: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object: `{}`")]
struct RawUserAgent {}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object: `{}` or with `count` and `within`")]
struct RawManyAddresses {
    count: Option<usize>,
    within: Option<String>,
}

/// The files of the databases, in order.
pub(super) fn databases(raw: Option<RawGeoIp>, faults: &mut Vec<String>) -> Vec<PathBuf> {
    let Some(RawGeoIp { database: RawDatabases(files) }) = raw else { return Vec::new() };
    if files.is_empty() || files.iter().any(String::is_empty) {
        faults
            .push("geoip.database: names no file: use one like `GeoLite2-City.mmdb`, or leave `geoip` out".to_owned());
    }
    if files.len() > DATABASES_MAX {
        faults.push(format!("geoip.database: names more than {DATABASES_MAX} files"));
    }
    files.into_iter().map(PathBuf::from).collect()
}

/// What is unusual; none without `anomalies`.
pub(super) fn anomalies(raw: Option<RawAnomalies>, faults: &mut Vec<String>) -> Option<Settings> {
    let RawAnomalies { lasts, impossible_travel, new_place, flapping, user_agent, many_addresses } = raw?;
    let mut time = |key: &str, text: Option<String>, default: &str| {
        let (at, text) = (format!("anomalies.{key}"), text.as_deref().unwrap_or(default));
        let ms = duration(&at, text, faults);
        if ms == 0 && !faults.iter().any(|fault| fault.starts_with(&at)) {
            faults.push(format!("{at}: `{text}` is no time at all"));
        }
        ms
    };
    let settings = Settings {
        lasts_ms: time("lasts", lasts, "1h"),
        impossible_travel: impossible_travel
            .map(|raw| Travel { km: raw.km.unwrap_or(100), km_per_hour: raw.km_per_hour.unwrap_or(300) }),
        new_place_ms: new_place.map(|raw| time("new_place.remember", raw.remember, "90d")),
        flapping_ms: flapping.map(|raw| time("flapping.within", raw.within, "10s")),
        user_agent: user_agent.is_some(),
        many_addresses: many_addresses.map(|raw| Crowd {
            count: raw.count.unwrap_or(5),
            within_ms: time("many_addresses.within", raw.within, "10m"),
        }),
    };
    are_in_bounds(&settings, faults);
    Some(settings)
}

fn are_in_bounds(settings: &Settings, faults: &mut Vec<String>) {
    let mut check = |key: &str, value: u32, max: u32| {
        if !(1..=max).contains(&value) {
            faults.push(format!("anomalies.{key}: `{value}` is not between 1 and {max}"));
        }
    };
    if let Some(Travel { km, km_per_hour }) = settings.impossible_travel {
        check("impossible_travel.km", km, KM_MAX);
        check("impossible_travel.km_per_hour", km_per_hour, KM_PER_HOUR_MAX);
    }
    if settings.many_addresses.is_some_and(|crowd| !(1..=ADDRESSES_MAX).contains(&crowd.count)) {
        faults.push(format!("anomalies.many_addresses.count: is not between 1 and {ADDRESSES_MAX}"));
    }
    let Settings { lasts_ms: _, impossible_travel, new_place_ms, flapping_ms, user_agent, many_addresses } = settings;
    let is_any = impossible_travel.is_some()
        || new_place_ms.is_some()
        || flapping_ms.is_some()
        || *user_agent
        || many_addresses.is_some();
    if !is_any {
        faults.push(
            "anomalies: names none to look for: add `impossible_travel`, `new_place`, `flapping`, `user_agent` or \
             `many_addresses`, or leave it out"
                .to_owned(),
        );
    }
}

/// Anomalies that need a database where there is none.
pub(super) fn warn(databases: &[PathBuf], anomalies: Option<&Settings>, warnings: &mut Vec<String>) {
    if databases.is_empty() && anomalies.is_some_and(|settings| settings.impossible_travel.is_some()) {
        warnings.push(
            "anomalies.impossible_travel: needs coordinates, and without `geoip` there are none: name a database of cities"
                .to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Settings as All, read};
    use super::*;

    fn given(more: &str) -> Result<All, String> {
        let start = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nadmin_credential: {env: ADMIN}\nstore: {embedded: {path: data}}\n";
        read(&format!("{start}{more}"), &|_| Some("x".repeat(16))).map_err(|faults| faults.to_string())
    }

    #[test]
    fn an_anomaly_is_looked_for_only_where_it_is_written_and_has_defaults() {
        assert_eq!(given("").unwrap().anomalies, None);
        let none = Settings {
            lasts_ms: 3_600_000,
            impossible_travel: None,
            new_place_ms: None,
            flapping_ms: None,
            user_agent: false,
            many_addresses: None,
        };
        for (text, wanted) in [
            (
                "impossible_travel: {}",
                Settings { impossible_travel: Some(Travel { km: 100, km_per_hour: 300 }), ..none.clone() },
            ),
            (
                "impossible_travel: {km: 500}",
                Settings { impossible_travel: Some(Travel { km: 500, km_per_hour: 300 }), ..none.clone() },
            ),
            ("new_place: {}", Settings { new_place_ms: Some(90 * 86_400_000), ..none.clone() }),
            ("flapping: ", Settings { flapping_ms: Some(10_000), ..none.clone() }),
            ("user_agent: {}, lasts: 5m", Settings { user_agent: true, lasts_ms: 300_000, ..none.clone() }),
            (
                "many_addresses: {count: 3}",
                Settings { many_addresses: Some(Crowd { count: 3, within_ms: 600_000 }), ..none.clone() },
            ),
        ] {
            assert_eq!(given(&format!("anomalies: {{{text}}}\n")).unwrap().anomalies, Some(wanted), "{text}");
        }
    }

    #[test]
    fn each_fault_says_where_it_is() {
        for (text, wanted) in [
            ("anomalies: {}", "anomalies: names none to look for"),
            ("anomalies: {lasts: 0s, user_agent: {}}", "anomalies.lasts: `0s` is no time at all"),
            ("anomalies: {flapping: {within: soon}}", "anomalies.flapping.within: `soon` is not a duration"),
            (
                "anomalies: {impossible_travel: {km: 0}}",
                "anomalies.impossible_travel.km: `0` is not between 1 and 20000",
            ),
            ("anomalies: {impossible_travel: {km_per_hour: 9000}}", "anomalies.impossible_travel.km_per_hour: `9000`"),
            ("anomalies: {many_addresses: {count: 16}}", "anomalies.many_addresses.count: is not between 1 and 15"),
            ("anomalies: {many_addresses: {counts: 3}}", "anomalies.many_addresses.counts: unknown key"),
            ("anomalies: {user_agent: {x: 1}}", "anomalies.user_agent.x: unknown key"),
            ("anomalies: {vpn: {}}", "anomalies.vpn: unknown key"),
            ("geoip: {}", "geoip.database: is missing"),
            ("geoip: {database: []}", "geoip.database: names no file"),
            ("geoip: {database: ''}", "geoip.database: names no file"),
            ("geoip: {database: 7}", "geoip.database: expected a file or a list of files"),
            ("geoip: {database: [a, b, c, d, e, f, g, h, i]}", "geoip.database: names more than 8 files"),
        ] {
            let faults = given(text).expect_err(text);
            assert!(faults.contains(wanted), "{text}: {faults}");
        }
    }

    #[test]
    #[cfg(feature = "conditions")]
    fn the_example_is_valid() {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/conditions/unusual-places/conditions");
        let text = include_str!("../../../examples/conditions/unusual-places/session.yaml");
        let text = text.replace("./conditions", folder.to_str().unwrap());
        let settings = read(&text, &|name| Some(format!("the-secret-of-{name}"))).unwrap();
        assert!(settings.anomalies.is_some() && settings.conditions.read().is_some() && settings.geoip.len() == 2);
        assert_eq!(settings.warnings, [""; 0]);
    }

    #[test]
    fn databases_are_a_file_or_a_list_and_travel_needs_one() {
        let files = |text: &str| given(&format!("geoip: {{database: {text}}}\n")).unwrap().geoip;
        assert_eq!(files("city.mmdb"), [PathBuf::from("city.mmdb")]);
        assert_eq!(files("[city.mmdb, asn.mmdb]"), [PathBuf::from("city.mmdb"), PathBuf::from("asn.mmdb")]);
        let warnings = |text: &str| given(text).unwrap().warnings.concat();
        assert!(warnings("anomalies: {impossible_travel: {}}").contains("impossible_travel"));
        assert_eq!(warnings("anomalies: {impossible_travel: {}}\ngeoip: {database: city.mmdb}"), "");
        assert_eq!(warnings("anomalies: {user_agent: {}}"), "");
    }
}
