//! What conditions compare with: the texts, numbers, times, addresses and parties that are written in them.

use cedar_policy_core::ast::{Expr, ExprKind, Literal};
use std::{collections::BTreeSet, net::IpAddr};

/// What is written in conditions, for tools that try them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Literals {
    /// Texts.
    pub texts: Vec<String>,
    /// Numbers.
    pub numbers: Vec<i64>,
    /// Spans of time, in milliseconds.
    pub spans_ms: Vec<u64>,
    /// Times, in milliseconds since 1970.
    pub times_ms: Vec<u64>,
    /// The first address of each range, and the one behind it.
    pub addresses: Vec<IpAddr>,
    /// Users, clients and groups: issuer and name.
    pub parties: Vec<(String, String)>,
}

/// What is gathered, each once.
#[derive(Default)]
struct Gathered {
    texts: BTreeSet<String>,
    numbers: BTreeSet<i64>,
    spans_ms: BTreeSet<u64>,
    times_ms: BTreeSet<u64>,
    addresses: BTreeSet<IpAddr>,
    parties: BTreeSet<(String, String)>,
}

impl Literals {
    pub(crate) fn of<'a>(exprs: impl Iterator<Item = &'a Expr>) -> Self {
        let mut found = Gathered::default();
        for expr in exprs {
            expr.subexpressions().for_each(|part| found.take(part));
        }
        Self {
            texts: found.texts.into_iter().collect(),
            numbers: found.numbers.into_iter().collect(),
            spans_ms: found.spans_ms.into_iter().collect(),
            times_ms: found.times_ms.into_iter().collect(),
            addresses: found.addresses.into_iter().collect(),
            parties: found.parties.into_iter().collect(),
        }
    }
}

impl Gathered {
    fn take(&mut self, expr: &Expr) {
        match expr.expr_kind() {
            ExprKind::Lit(Literal::String(text)) => {
                self.texts.insert(text.to_string());
            }
            ExprKind::Lit(Literal::Long(number)) => {
                self.numbers.insert(*number);
            }
            ExprKind::Lit(Literal::EntityUID(uid)) => {
                if let Some((issuer, name)) = AsRef::<str>::as_ref(uid.eid()).split_once('#') {
                    self.parties.insert((issuer.to_owned(), name.to_owned()));
                }
            }
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                let text = args.first().map(Expr::expr_kind);
                if let Some(ExprKind::Lit(Literal::String(text))) = text {
                    self.take_call(&fn_name.to_string(), text);
                }
            }
            // A text with wildcards matches itself without them.
            ExprKind::Like { pattern, .. } => {
                self.texts.insert(pattern.to_string().replace('*', ""));
            }
            _ => {}
        }
    }

    /// A constructor's text is not the value of a text.
    fn take_call(&mut self, function: &str, text: &str) {
        match function {
            "duration" => self.spans_ms.extend(span_ms(text)),
            "datetime" => self.times_ms.extend(day_ms(text)),
            "ip" => {
                let first = text.split('/').next().and_then(|ip| ip.parse::<IpAddr>().ok());
                self.addresses.extend(first);
            }
            _ => {}
        }
    }
}

/// `1d2h3m4s5ms`, as Cedar reads it.
fn span_ms(text: &str) -> Option<u64> {
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let (digits, unit) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit())?)?;
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, after) = unit.split_at_checked(end)?;
        let unit_ms = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        sum = sum.saturating_add(digits.parse::<u64>().ok()?.saturating_mul(unit_ms));
        rest = after;
    }
    Some(sum)
}

/// The beginning of a time's day: enough to try what is before it and after it.
fn day_ms(text: &str) -> Option<u64> {
    let mut parts = text.get(..10)?.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    // Days from civil, by Howard Hinnant.
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    u64::try_from(days.checked_mul(86_400_000)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_days_are_read_as_cedar_does() {
        for (text, ms) in [("5m", 300_000), ("1d2h", 93_600_000), ("1s5ms", 1_005), ("-1s", 1_000)] {
            assert_eq!(span_ms(text), Some(ms), "{text}");
        }
        assert_eq!(span_ms("5 m"), None);
        assert_eq!(day_ms("1970-01-01"), Some(0));
        assert_eq!(day_ms("2023-11-14T22:13:20Z"), Some(1_699_920_000_000));
        assert_eq!(day_ms("2024-02-29"), Some(1_709_164_800_000));
        assert_eq!(day_ms("x"), None);
    }
}
