//! The databases of the configuration, and what becomes of them while the service runs. A file counts as replaced once it has
//! stayed the same between two looks: it may be written in place, slowly, or another file may take its name.

use super::database::Database;
use crate::place::Place;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::SystemTime;

/// The databases, in order: where several say something, the first one counts.
pub struct GeoIp(Box<[File]>);

/// One file.
struct File {
    path: PathBuf,
    database: RwLock<Database>,
    looks: Mutex<Looks>,
}

/// What tells two states of a file apart; `None` if it is not there.
type Stamp = Option<(SystemTime, u64, u64)>;

/// What was seen of a file.
struct Looks {
    /// When it was read last, in whatever way that went.
    read: Stamp,
    /// When it was looked at last.
    last: Stamp,
    /// What is in the file now could not be used.
    is_faulty: bool,
}

/// What has become of a file that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// It is in use.
    Loaded {
        /// The file.
        path: PathBuf,
        /// What its maker calls it.
        kind: String,
    },
    /// It cannot be used: the one before stays in use.
    Kept(String),
}

/// How the databases are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    /// When the oldest of them was built, in seconds since the epoch.
    pub(super) built_at_s: u64,
    /// How many files have been replaced by what cannot be used.
    pub(super) faulty: usize,
}

impl GeoIp {
    /// Reads the databases. The errors say what is wrong, one for each file.
    pub fn open(paths: &[PathBuf]) -> Result<Self, Vec<String>> {
        let (mut files, mut faults) = (Vec::new(), Vec::new());
        for path in paths {
            // Before it is read: what changes afterwards is noticed.
            let stamp = stamp(path);
            match Database::open(path) {
                Ok(database) => files.push(File {
                    path: path.clone(),
                    database: RwLock::new(database),
                    looks: Mutex::new(Looks { read: stamp, last: stamp, is_faulty: false }),
                }),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(Self(files.into())) } else { Err(faults) }
    }

    /// The place of an address, if it is known.
    pub fn place(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let said = self
            .0
            .iter()
            .filter_map(|file| file.database.read().unwrap_or_else(PoisonError::into_inner).place(address));
        said.reduce(Place::or)
    }

    /// Reads the files that have been replaced. Blocks.
    pub(super) fn look(&self) -> Vec<News> {
        self.0.iter().filter_map(File::look).collect()
    }

    pub(super) fn condition(&self) -> Condition {
        let built = |file: &File| file.database.read().unwrap_or_else(PoisonError::into_inner).built_at_s();
        let is_faulty = |file: &&File| file.looks.lock().unwrap_or_else(PoisonError::into_inner).is_faulty;
        Condition {
            built_at_s: self.0.iter().map(built).min().unwrap_or_default(),
            faulty: self.0.iter().filter(is_faulty).count(),
        }
    }
}

impl fmt::Debug for GeoIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|file| &file.path)).finish()
    }
}

impl File {
    fn look(&self) -> Option<News> {
        let now = stamp(&self.path);
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_settled = std::mem::replace(&mut looks.last, now) == now;
        if now == looks.read || !is_settled {
            return None;
        }
        looks.read = now;
        let opened = Database::open(&self.path);
        looks.is_faulty = opened.is_err();
        drop(looks);
        Some(match opened {
            Ok(database) => {
                let (path, kind) = (self.path.clone(), database.kind().to_owned());
                let old =
                    std::mem::replace(&mut *self.database.write().unwrap_or_else(PoisonError::into_inner), database);
                // Freed without the lock: it can be large.
                drop(old);
                News::Loaded { path, kind }
            }
            Err(fault) => News::Kept(fault),
        })
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::super::mmdb::{Value, built, city, country, network};
    use super::*;
    use crate::place::{Coordinates, Country};
    use std::fs::{read_dir, rename, write};
    use tempfile::TempDir;

    const ADDRESS: &str = "192.0.2.1";

    fn countries(code: &'static str) -> Vec<u8> {
        built("Test-Country", &[("192.0.2.0/24", country(code))])
    }

    fn opened(folder: &TempDir, bytes: &[u8]) -> (GeoIp, PathBuf) {
        let path = folder.path().join("places.mmdb");
        write(&path, bytes).unwrap();
        (GeoIp::open(std::slice::from_ref(&path)).unwrap(), path)
    }

    fn said(geoip: &GeoIp) -> String {
        let place = geoip.place(ADDRESS.parse().unwrap()).unwrap_or_default();
        place.country.map(|country| country.to_string()).unwrap_or_default()
    }

    /// Looks until a change has settled.
    fn settled(geoip: &GeoIp) -> Vec<News> {
        [geoip.look(), geoip.look()].concat()
    }

    #[test]
    fn a_file_that_another_one_replaces_is_used_from_the_second_look_on() {
        let folder = TempDir::new().unwrap();
        let (geoip, path) = opened(&folder, &countries("CH"));
        assert_eq!((said(&geoip).as_str(), settled(&geoip)), ("CH", Vec::new()));
        let other = folder.path().join("new.mmdb");
        write(&other, countries("DE")).unwrap();
        rename(&other, &path).unwrap();
        assert_eq!((geoip.look(), said(&geoip).as_str()), (Vec::new(), "CH"), "it may still be written");
        assert_eq!(geoip.look(), [News::Loaded { path: path.clone(), kind: "Test-Country".to_owned() }]);
        assert_eq!((said(&geoip).as_str(), settled(&geoip)), ("DE", Vec::new()));
    }

    #[test]
    fn a_bad_new_file_keeps_the_old_one_and_is_said_once() {
        let folder = TempDir::new().unwrap();
        let (geoip, path) = opened(&folder, &countries("CH"));
        write(&path, b"half a datab").unwrap();
        let news = settled(&geoip);
        assert!(matches!(&*news, [News::Kept(fault)] if fault.contains("places.mmdb")), "{news:?}");
        assert_eq!((said(&geoip).as_str(), settled(&geoip), geoip.condition().faulty), ("CH", Vec::new(), 1));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(&*settled(&geoip), [News::Kept(_)]), "a file that is gone is a fault, too");
        write(&path, countries("US")).unwrap();
        assert!(matches!(&*settled(&geoip), [News::Loaded { .. }]));
        assert_eq!((said(&geoip).as_str(), geoip.condition().faulty), ("US", 0));
        assert_eq!(geoip.condition().built_at_s, 1_700_000_000);
    }

    #[test]
    fn of_several_databases_each_adds_what_those_before_it_do_not_say() {
        let folder = TempDir::new().unwrap();
        let all = [
            ("networks.mmdb", built("Test-ASN", &[("192.0.2.0/24", network(3303))])),
            ("cities.mmdb", built("Test-City", &[("192.0.2.0/25", city("CH", 47.37, 8.54))])),
            ("countries.mmdb", countries("DE")),
        ];
        let paths = all.map(|(name, bytes)| {
            let path = folder.path().join(name);
            write(&path, bytes).unwrap();
            path
        });
        let geoip = GeoIp::open(&paths).unwrap();
        let of = |address: &str| geoip.place(address.parse().unwrap());
        let network = Place { asn: Some(3303), proxy: Some(false), ..Place::default() };
        let (ch, de) = (Country::read("CH"), Country::read("DE"));
        let zurich = Coordinates::new(47.37, 8.54, 0);
        assert_eq!(of(ADDRESS), Some(Place { country: ch, at: zurich, ..network }));
        assert_eq!(of("::ffff:192.0.2.1"), of(ADDRESS));
        assert_eq!(of("192.0.2.200"), Some(Place { country: de, ..network }));
        assert_eq!(of("10.0.0.1"), None);
        // Nothing else is kept of an address anywhere.
        assert_eq!(read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn every_file_that_cannot_be_used_is_a_fault_of_its_own() {
        let folder = TempDir::new().unwrap();
        let useless = folder.path().join("domains.mmdb");
        write(&useless, built("Test-Domain", &[("192.0.2.0/24", Value::Map(vec![("domain", Value::Text("a"))]))]))
            .unwrap();
        let faults = GeoIp::open(&[folder.path().join("none.mmdb"), useless]).unwrap_err();
        assert!(
            matches!(&*faults, [one, other] if one.contains("none.mmdb") && other.contains("domains.mmdb")),
            "{faults:?}"
        );
    }
}
