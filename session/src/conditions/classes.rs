//! Which engine decides about a route: each route has one, by its class.

/// The routes of one engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes {
    /// Their classes; empty: all.
    pub only: Vec<String>,
    /// The classes of the engine before it, which has them.
    pub except: Vec<String>,
}

impl Classes {
    /// Whether a route of that class is one of them.
    pub(crate) fn hold(&self, class: &str) -> bool {
        let is_among = |list: &[String]| list.iter().any(|own| own == class);
        !is_among(&self.except) && (self.only.is_empty() || is_among(&self.only))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_the_first_engine_that_takes_its_class() {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let first = Classes { only: list(&["admin"]), except: Vec::new() };
        let rest = Classes { only: Vec::new(), except: list(&["admin"]) };
        let some = Classes { only: list(&["admin", "api"]), except: list(&["admin"]) };
        for (class, engines) in
            [("admin", [true, false, false]), ("api", [false, true, true]), ("", [false, true, false])]
        {
            assert_eq!([&first, &rest, &some].map(|classes| classes.hold(class)), engines, "{class}");
        }
        assert!(Classes::default().hold("") && Classes::default().hold("admin"));
    }
}
