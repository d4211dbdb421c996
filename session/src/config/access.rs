//! The access types of `session.yaml`, and their durations.

use super::raw::{RawAccess, RawGrowth, RawWhen};
use crate::access::{Access, AccessTypes, Growth, When};
use crate::intern::ScopeSet;
use crate::judge::Limits;

/// Limits of the only access type when the configuration has none.
pub(super) const DEFAULT_LIMITS: Limits =
    Limits { absolute_ms: Some(8 * 60 * 60 * 1000), idle_ms: Some(30 * 60 * 1000) };

/// The access types; without any, one with the default limits.
pub(super) fn types(
    types: Option<Vec<RawAccess>>,
    faults: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> AccessTypes {
    let Some(types) = types else {
        let name = "default".to_owned();
        return AccessTypes::new([(
            When::default(),
            Access { name, limits: DEFAULT_LIMITS, growth: Growth::default() },
        )]);
    };
    if types.is_empty() {
        faults.push("access: is empty, so every session would be refused: leave it out or add a type".to_owned());
    }
    let (count, mut has_hiding) = (types.len(), false);
    let mut checked: Vec<(When, Access)> = Vec::new();
    for (n, raw) in types.into_iter().enumerate() {
        let at = format!("access[{n}]");
        if raw.name.is_empty() {
            faults.push(format!("{at}.name: is empty"));
        }
        if checked.iter().any(|(_, access)| access.name == raw.name) {
            faults.push(format!("{at}.name: `{}` is used twice", raw.name));
        }
        let is_limited = raw.absolute.is_some() || raw.idle.is_some();
        match (is_limited, raw.unlimited) {
            (false, false) => faults.push(format!(
                "{at}: has no limit: add `absolute` or `idle`, or `unlimited: true` if its sessions may last for ever"
            )),
            (true, true) => faults.push(format!("{at}.unlimited: cannot be combined with `absolute` or `idle`")),
            (true, false) | (false, true) => {}
        }
        let limits = Limits {
            absolute_ms: limit(&format!("{at}.absolute"), raw.absolute.as_deref(), faults),
            idle_ms: limit(&format!("{at}.idle"), raw.idle.as_deref(), faults),
        };
        let when = when(&at, raw.when.unwrap_or_default(), faults);
        if when == When::default() && n + 1 < count && !has_hiding {
            has_hiding = true;
            warnings.push(format!(
                "{at}: `{}` has no `when`, so it matches every session and the types after it never match by themselves: put it last",
                raw.name
            ));
        }
        let growth = match raw.growth {
            None => Growth::default(),
            Some(RawGrowth::Refuse) => Growth::Refuse,
            Some(RawGrowth::Allow) => Growth::Allow,
            Some(RawGrowth::Listed(scopes)) => Growth::Listed(ScopeSet::new(scopes)),
        };
        checked.push((when, Access { name: raw.name, limits, growth }));
    }
    AccessTypes::new(checked)
}

fn when(at: &str, raw: RawWhen, faults: &mut Vec<String>) -> When {
    let mut given = |key: &str, list: Option<Vec<String>>| {
        if list.as_ref().is_some_and(Vec::is_empty) {
            faults.push(format!("{at}.when.{key}: is empty, so the type never matches: leave it out or add an entry"));
        }
        list
    };
    When { scope: given("scope", raw.scope), client: given("client", raw.client), grant: given("grant", raw.grant) }
}

fn limit(at: &str, text: Option<&str>, faults: &mut Vec<String>) -> Option<u64> {
    let text = text?;
    match duration_ms(text) {
        Some(0) => faults.push(format!("{at}: `{text}` would end every session at once")),
        Some(ms) => return Some(ms),
        None => faults.push(format!("{at}: {}", no_duration(text))),
    }
    None
}

/// A duration in milliseconds; 0 with a fault.
pub(super) fn duration(at: &str, text: &str, faults: &mut Vec<String>) -> u64 {
    duration_ms(text).unwrap_or_else(|| {
        faults.push(format!("{at}: {}", no_duration(text)));
        0
    })
}

fn no_duration(text: &str) -> String {
    format!("`{text}` is not a duration: use one like `200ms`, `30s`, `15m`, `8h` or `30d`")
}

/// A duration as it is written: in the largest unit that leaves no rest.
pub(crate) fn duration_text(ms: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let found = units.into_iter().find(|(_, unit_ms)| ms > 0 && ms.is_multiple_of(*unit_ms));
    found.map_or_else(|| format!("{ms}ms"), |(unit, unit_ms)| format!("{}{unit}", ms / unit_ms))
}

/// A duration in milliseconds: a whole number and one of the units `ms`, `s`, `m`, `h`, `d`.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}
