//! The countries in which a subject has been seen, as the attribute that remembers them: their codes with spaces in between.

use crate::place::Country;

/// Countries of a subject that are remembered.
const REMEMBERED_MAX: usize = 32;

/// The attribute's name.
pub(super) const COUNTRIES: &str = "anomaly.countries";

/// The countries of a subject, the one of the latest login last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Countries(Vec<Country>);

impl Countries {
    /// Reads an attribute's text. What is no country is skipped.
    pub(super) fn read(text: &str) -> Self {
        let mut all = Self::default();
        text.split(' ').filter_map(Country::read).for_each(|country| all.add(country));
        all
    }

    /// Whether the subject has been seen there.
    pub(super) fn hold(&self, country: Country) -> bool {
        self.0.contains(&country)
    }

    /// Whether nothing is known of the subject.
    pub(super) fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one. With too many, the one that was needed longest ago is forgotten.
    pub(super) fn add(&mut self, country: Country) {
        self.0.retain(|known| *known != country);
        if self.0.len() >= REMEMBERED_MAX {
            self.0.remove(0);
        }
        self.0.push(country);
    }

    /// The attribute's text.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(Country::as_str).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::{TEXT_BYTES_MAX, is_name};

    #[test]
    fn countries_are_read_as_they_are_written_and_the_latest_come_last() {
        let mut countries = Countries::read("CH DE  nowhere US DE");
        assert_eq!(countries.text(), "CH US DE");
        countries.add(Country::read("CH").unwrap());
        assert_eq!((countries.text().as_str(), Countries::read(&countries.text())), ("US DE CH", countries.clone()));
        assert!(countries.hold(Country::read("us").unwrap()) && !countries.hold(Country::read("FR").unwrap()));
        assert!(Countries::read("").are_none() && is_name(COUNTRIES));
    }

    #[test]
    fn as_many_are_remembered_as_an_attribute_has_room_for() {
        let mut countries = Countries::default();
        for (one, other) in ('A'..='Z').flat_map(|one| ('A'..='Y').map(move |other| (one, other))) {
            assert!(countries.0.len() <= REMEMBERED_MAX);
            if let Some(country) = Country::read(&format!("{one}{other}")) {
                countries.add(country);
            }
        }
        assert_eq!(countries.0.len(), REMEMBERED_MAX);
        assert!(countries.text().len() <= TEXT_BYTES_MAX && countries.text().ends_with("ZY"));
    }
}
