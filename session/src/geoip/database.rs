//! One database: read whole into memory, and looked into before it is used.

use super::record::Record;
use crate::place::Place;
use maxminddb::{Reader, WithinOptions};
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

/// The largest file. A whole database of cities has some 70 MiB.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Networks that are looked at to find out whether a database knows anything of use.
const LOOKED_AT_MAX: usize = 2_000;

/// A database.
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
}

impl Database {
    /// Reads a file. The error says what is wrong and what to do.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let named = |what: String| format!("`{}` {what}", path.display());
        let file = std::fs::File::open(path).map_err(|e| named(format!("cannot be read: {e}")))?;
        let mut bytes = Vec::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|e| named(format!("cannot be read: {e}")))?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
            return Err(named(format!("has more than {} MiB", FILE_BYTES_MAX >> 20)));
        }
        Self::read(bytes).map_err(named)
    }

    fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_source(bytes)
            .map_err(|e| format!("is not a whole database in the MaxMind DB format: {e}: fetch it again"))?;
        let database = Self { reader };
        match database.is_of_use() {
            Ok(true) => Ok(database),
            Ok(false) => Err(format!(
                "says nothing about countries or networks (its type is `{}`): use a database of countries, cities or ASNs",
                database.reader.metadata().database_type
            )),
            Err(error) => Err(format!("is damaged: {error}: fetch it again")),
        }
    }

    /// Whether one of its first networks has a place.
    fn is_of_use(&self) -> Result<bool, maxminddb::MaxMindDbError> {
        for network in self.reader.networks(WithinOptions::default())?.take(LOOKED_AT_MAX) {
            let record = network?.decode::<Record<'_>>()?;
            if record.is_some_and(|record| record.place().known().is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What it says about an address. What cannot be read says nothing.
    pub(super) fn place(&self, address: IpAddr) -> Option<Place> {
        let record = self.reader.lookup(address).ok()?.decode::<Record<'_>>().ok()??;
        record.place().known()
    }

    /// When it was built, in seconds since the epoch.
    pub(super) fn built_at_s(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// What kind it is, as its maker says.
    pub(super) fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }
}

#[cfg(test)]
mod tests {
    use super::super::mmdb::{Value, built, country};
    use super::*;

    fn fault(bytes: Vec<u8>) -> String {
        Database::read(bytes).err().expect("a fault")
    }

    #[test]
    fn an_address_has_the_place_of_its_network() {
        let database = Database::read(built(
            "Test-Country",
            &[("192.0.2.0/24", country("CH")), ("198.51.100.128/25", country("US")), ("2001:db8::/32", country("DE"))],
        ))
        .unwrap();
        let of = |address: &str| database.place(address.parse().unwrap()).and_then(|place| place.country);
        for (address, wanted) in [
            ("192.0.2.1", Some("CH")),
            ("192.0.2.255", Some("CH")),
            ("192.0.3.0", None),
            ("198.51.100.127", None),
            ("198.51.100.128", Some("US")),
            ("2001:db8::1", Some("DE")),
            ("2001:db9::1", None),
        ] {
            assert_eq!(of(address).map(|country| country.to_string()).as_deref(), wanted, "{address}");
        }
        assert_eq!((database.built_at_s(), database.kind()), (1_700_000_000, "Test-Country"));
    }

    #[test]
    fn what_is_no_whole_database_says_what_to_do() {
        let whole = built("Test-Country", &[("192.0.2.0/24", country("CH"))]);
        for bytes in [Vec::new(), b"not a database".to_vec(), whole[..whole.len() - 30].to_vec(), whole[..40].to_vec()]
        {
            assert!(fault(bytes).contains("fetch it again"));
        }
        let domains =
            built("Test-Domain", &[("192.0.2.0/24", Value::Map(vec![("domain", Value::Text("example.com"))]))]);
        let said = fault(domains);
        assert!(said.contains("`Test-Domain`") && said.contains("countries, cities or ASNs"), "{said}");
    }

    #[test]
    fn every_cut_or_changed_byte_is_a_fault_or_harmless() {
        let whole = built("Test-Country", &[("192.0.2.0/24", country("CH")), ("2001:db8::/32", country("DE"))]);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            for bytes in [changed, whole[..at].to_vec()] {
                if let Ok(database) = Database::read(bytes) {
                    database.place("192.0.2.1".parse().unwrap());
                    database.place("2001:db8::1".parse().unwrap());
                }
            }
        }
    }
}
