//! What a database says about a network, whoever has made it: each maker names things in its own way, and some write numbers
//! and flags as text. Members that are not known here are skipped.

use crate::place::{Coordinates, Country, Place};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// What is read of a record. In each line, what MaxMind and DB-IP say comes first, then what IPinfo says.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Record<'a> {
    /// `{iso_code}`, or the code.
    #[serde(borrow)]
    country: Item<'a>,
    #[serde(borrow)]
    country_code: Item<'a>,
    #[serde(borrow)]
    location: Point<'a>,
    #[serde(borrow)]
    lat: Item<'a>,
    #[serde(borrow)]
    lng: Item<'a>,
    #[serde(borrow)]
    autonomous_system_number: Item<'a>,
    /// `AS3303`
    #[serde(borrow)]
    asn: Item<'a>,
    #[serde(borrow)]
    traits: Traits<'a>,
    #[serde(borrow)]
    is_anonymous: Item<'a>,
    #[serde(borrow)]
    vpn: Item<'a>,
    #[serde(borrow)]
    proxy: Item<'a>,
    #[serde(borrow)]
    tor: Item<'a>,
    #[serde(borrow)]
    relay: Item<'a>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Point<'a> {
    #[serde(borrow)]
    latitude: Item<'a>,
    #[serde(borrow)]
    longitude: Item<'a>,
    #[serde(borrow)]
    accuracy_radius: Item<'a>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Traits<'a> {
    #[serde(borrow)]
    autonomous_system_number: Item<'a>,
    #[serde(borrow)]
    is_anonymous: Item<'a>,
}

impl Record<'_> {
    /// What it says about the place.
    pub(super) fn place(&self) -> Place {
        let latitude = self.location.latitude.number().or(self.lat.number());
        let longitude = self.location.longitude.number().or(self.lng.number());
        let at = latitude.zip(longitude).and_then(|(latitude, longitude)| {
            Coordinates::new(latitude, longitude, self.location.accuracy_radius.whole().unwrap_or_default())
        });
        let networks = [&self.autonomous_system_number, &self.asn, &self.traits.autonomous_system_number];
        let hides = [&self.is_anonymous, &self.traits.is_anonymous, &self.vpn, &self.proxy, &self.tor, &self.relay]
            .map(Item::flag);
        Place {
            country: self.country.country().or_else(|| self.country_code.country()),
            // 0 stands for none (RFC 7607).
            asn: networks.into_iter().find_map(Item::whole).filter(|asn| *asn != 0),
            // One that says it does; else no, if anything is said at all.
            proxy: hides.into_iter().flatten().reduce(|one, other| one || other),
            at,
        }
    }
}

/// A value of any type, as far as it is of use here.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Item<'a> {
    Text(&'a str),
    Number(f64),
    Flag(bool),
    /// A map's `iso_code`.
    Code(&'a str),
    #[default]
    Nothing,
}

impl Item<'_> {
    fn country(&self) -> Option<Country> {
        match self {
            Self::Text(code) | Self::Code(code) => Country::read(code),
            Self::Number(_) | Self::Flag(_) | Self::Nothing => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            Self::Flag(_) | Self::Code(_) | Self::Nothing => None,
        }
    }

    /// A whole number, if it is one of that type; of `AS3303`, the number.
    fn whole<N: TryFrom<u64>>(&self) -> Option<N> {
        let number: u64 = match self {
            Self::Number(number) if (0.0..=f64::from(u32::MAX)).contains(number) && number.fract() == 0.0 => {
                *number as u64
            }
            Self::Text(text) => {
                let digits = text.strip_prefix("AS").unwrap_or(text);
                digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?
            }
            Self::Number(_) | Self::Flag(_) | Self::Code(_) | Self::Nothing => return None,
        };
        N::try_from(number).ok()
    }

    /// A flag; an empty text is `false`, and one with words in it, such as a provider's name, is `true`.
    fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Text(text) => Some(!matches!(*text, "" | "false")),
            Self::Number(_) | Self::Code(_) | Self::Nothing => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

struct Shape;

impl<'de> Visitor<'de> for Shape {
    type Value = Item<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Item<'de>, E> {
        Ok(Item::Text(text))
    }

    fn visit_str<E>(self, _: &str) -> Result<Item<'de>, E> {
        Ok(Item::Nothing)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Item<'de>, E> {
        Ok(Item::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Item<'de>, E> {
        Ok(u32::try_from(number).map_or(Item::Nothing, |number| Item::Number(f64::from(number))))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Item<'de>, E> {
        Ok(i32::try_from(number).map_or(Item::Nothing, |number| Item::Number(f64::from(number))))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Item<'de>, E> {
        Ok(Item::Nothing)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Item<'de>, E> {
        Ok(Item::Nothing)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Item<'de>, E> {
        Ok(Item::Flag(flag))
    }

    fn visit_unit<E>(self) -> Result<Item<'de>, E> {
        Ok(Item::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Item::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item<'de>, A::Error> {
        let mut found = Item::Nothing;
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "iso_code" => {
                    if let Item::Text(code) = map.next_value()? {
                        found = Item::Code(code);
                    }
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_makers_names_and_types_are_read() {
        let zurich = Coordinates::new(47.37, 8.54, 20);
        let anywhere = Coordinates::new(47.37, 8.54, 0);
        let ch = Country::read("CH");
        let place = |country, asn, proxy, at| Place { country, asn, proxy, at };
        for (record, wanted) in [
            // MaxMind: Country, City, ASN, Anonymous IP, Enterprise.
            (
                r#"{"country":{"geoname_id":1,"iso_code":"CH","names":{"en":"Switzerland"}},"registered_country":{"iso_code":"DE"}}"#,
                place(ch, None, None, None),
            ),
            (
                r#"{"country":{"iso_code":"CH"},"location":{"accuracy_radius":20,"latitude":47.37,"longitude":8.54,"time_zone":"x"}}"#,
                place(ch, None, None, zurich),
            ),
            (
                r#"{"autonomous_system_number":3303,"autonomous_system_organization":"Bluewin"}"#,
                place(None, Some(3303), None, None),
            ),
            (r#"{"is_anonymous":true,"is_anonymous_vpn":true}"#, place(None, None, Some(true), None)),
            (
                r#"{"country":{"iso_code":"CH"},"traits":{"autonomous_system_number":3303,"is_anonymous":false}}"#,
                place(ch, Some(3303), Some(false), None),
            ),
            // IPinfo: lite, country and ASN, location, privacy.
            (
                r#"{"asn":"AS3303","as_name":"Bluewin","country":"Switzerland","country_code":"CH"}"#,
                place(ch, Some(3303), None, None),
            ),
            (r#"{"asn":"AS3303","country":"CH","country_name":"Switzerland"}"#, place(ch, Some(3303), None, None)),
            (r#"{"city":"Zürich","country":"CH","lat":"47.37","lng":"8.54"}"#, place(ch, None, None, anywhere)),
            (r#"{"hosting":"","proxy":"","service":"","tor":"","vpn":"true"}"#, place(None, None, Some(true), None)),
            (r#"{"proxy":"false","tor":"","vpn":""}"#, place(None, None, Some(false), None)),
            // What is of no use.
            (
                r#"{"domain":"example.com","country":[1,{"a":2}],"asn":"ASx","location":{"latitude":"north","longitude":8}}"#,
                Place::default(),
            ),
            (r#"{"country":{"iso_code":7},"autonomous_system_number":0,"is_anonymous":3}"#, Place::default()),
        ] {
            let read: Record<'_> = serde_json::from_str(record).unwrap();
            assert_eq!(read.place(), wanted, "{record}");
        }
    }
}
