//! Sessions and requests made from what conditions compare with, to find where two sets of conditions differ.
//!
//! Every text, number, time span and address range in the conditions becomes a value of every member that it could be a value of,
//! beside values that none of them names. What is drawn is the same in each run.

use portcullis_conditions::{Declared, Device, Kind, Literals, Place, Request, Session};
use std::{collections::BTreeMap, net::IpAddr};

/// The time of the requests: 2026-01-01 in the middle of the day.
const NOW_MS: u64 = 1_767_268_800_000;

/// Draws sessions and requests.
pub(super) struct Generator<'a> {
    literals: &'a Literals,
    declared: &'a Declared,
    state: u64,
}

impl<'a> Generator<'a> {
    pub(super) fn new(literals: &'a Literals, declared: &'a Declared) -> Self {
        Self { literals, declared, state: 0x9e37_79b9_7f4a_7c15 }
    }

    /// A session and a request with this method.
    pub(super) fn draw(&mut self, method: &str, scopes: &[String]) -> (Session, Request) {
        let login_age_ms = self.age_ms();
        let session = Session {
            id: "generated".to_owned(),
            issuer: self.party(0),
            subject: self.party(1),
            client: self.party(1),
            groups: self.some_of(|generator| generator.party(1)),
            access: self.word(&["human", "machine"]),
            scopes: if self.is(3) { self.some_of(|generator| generator.word(&["other"])) } else { scopes.to_vec() },
            opened_at_ms: NOW_MS.saturating_sub(login_age_ms.saturating_add(self.age_ms())),
            login_at_ms: NOW_MS.saturating_sub(login_age_ms),
            granted_until_ms: if self.is(2) { Some(NOW_MS.saturating_add(self.age_ms())) } else { None },
            acr: self.optional(|generator| generator.word(&["aal1", "aal2", "aal3"])),
            amr: self.some_of(|generator| generator.word(&["pwd", "otp"])),
            risk: self.optional(|generator| generator.word(&["low", "medium", "high"])),
            new_place: self.is(2),
            device: self.optional(Self::device),
            attributes: self.attributes(),
            subject_attributes: self.attributes(),
        };
        let request = Request {
            now_ms: self.now_ms(),
            method: method.to_owned(),
            host: self.word(&["api.example.com"]),
            ip: self.optional(Self::ip),
            place: self.optional(Self::place),
            attributes: self.attributes(),
        };
        (session, request)
    }

    /// The next number (SplitMix64).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True in one of `n` cases.
    fn is(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.next()).unwrap_or_default().checked_rem(len).unwrap_or_default()
    }

    fn optional<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.is(4) { None } else { Some(make(self)) }
    }

    fn some_of<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.index(3)).map(|_| make(self)).collect()
    }

    /// A text that conditions name, or one of these.
    fn word(&mut self, others: &[&str]) -> String {
        let index = self.index(self.literals.texts.len() + others.len());
        match self.literals.texts.get(index) {
            Some(text) => text.clone(),
            None => others.get(index - self.literals.texts.len()).copied().unwrap_or_default().to_owned(),
        }
    }

    /// The issuer (0) or the name (1) of a party that conditions name, or of another one.
    fn party(&mut self, part: usize) -> String {
        let index = self.index(self.literals.parties.len() + 1);
        match self.literals.parties.get(index) {
            Some((issuer, name)) => if part == 0 { issuer } else { name }.clone(),
            None => if part == 0 { "https://id.example.com" } else { "somebody" }.to_owned(),
        }
    }

    /// A time span around one that conditions name.
    fn age_ms(&mut self) -> u64 {
        let index = self.index(self.literals.spans_ms.len() + 1);
        let span = self.literals.spans_ms.get(index).copied().unwrap_or(60_000);
        let near = [0, 1_000, 3_600_000];
        let by = near.get(self.index(near.len())).copied().unwrap_or_default();
        if self.is(2) { span.saturating_add(by) } else { span.saturating_sub(by) }
    }

    fn now_ms(&mut self) -> u64 {
        let index = self.index(self.literals.times_ms.len() + 2);
        match self.literals.times_ms.get(index) {
            Some(time) if self.is(2) => time.saturating_add(1),
            Some(time) => time.saturating_sub(1),
            // Any hour of a week.
            None => NOW_MS.saturating_add((self.next() % 168).saturating_mul(3_600_000)),
        }
    }

    fn ip(&mut self) -> IpAddr {
        let index = self.index(self.literals.addresses.len() + 1);
        self.literals.addresses.get(index).copied().unwrap_or_else(|| [192, 0, 2, 7].into())
    }

    fn place(&mut self) -> Place {
        let countries: Vec<_> = self.literals.texts.iter().filter(|text| text.len() == 2).cloned().collect();
        let index = self.index(countries.len() + 1);
        let country = countries.get(index).cloned().unwrap_or_else(|| "XX".to_owned());
        let asn = self.number();
        Place {
            country: self.optional(|_| country),
            asn: self.optional(|_| u32::try_from(asn).unwrap_or(64_500)),
            proxy: self.optional(|generator| generator.is(2)),
        }
    }

    fn device(&mut self) -> Device {
        Device {
            id: self.word(&["d1"]),
            compliant: self.optional(|generator| generator.is(2)),
            managed: self.optional(|generator| generator.is(2)),
            os: self.optional(|generator| generator.word(&["ios"])),
            source: self.optional(|generator| generator.word(&["admin"])),
        }
    }

    /// A number at one that conditions name.
    fn number(&mut self) -> i64 {
        let index = self.index(self.literals.numbers.len() + 1);
        let number = self.literals.numbers.get(index).copied().unwrap_or_default();
        let by = i64::try_from(self.next() % 3).unwrap_or_default();
        number.saturating_add(by).saturating_sub(1)
    }

    fn attributes(&mut self) -> BTreeMap<String, String> {
        let mut attributes = BTreeMap::new();
        for (name, kind) in &self.declared.0 {
            let value = match kind {
                Kind::String => self.word(&["other"]),
                Kind::Long => self.number().to_string(),
                Kind::Bool => self.is(2).to_string(),
            };
            if !self.is(3) {
                attributes.insert(name.clone(), value);
            }
        }
        attributes
    }
}
