//! The methods that the schema has actions for.

/// The methods that conditions know; requests with another one are refused where there are conditions.
pub const METHODS: [&str; 8] = ["GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE"];

/// The methods in `read`; the others are in `write`.
const READ: Methods = Methods(0b0000_1111);

/// A set of methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Methods(u8);

impl Methods {
    pub(crate) const ALL: Self = Self(u8::MAX);
    pub(crate) const NONE: Self = Self(0);

    /// The methods of an action, by its name in the schema.
    pub(crate) fn of_action(name: &str) -> Self {
        match name {
            "read" => READ,
            "write" => Self(!READ.0),
            name => METHODS.iter().position(|method| *method == name).map_or(Self::NONE, |bit| Self(1 << bit)),
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, method: &str) -> bool {
        METHODS.iter().position(|known| *known == method).is_some_and(|bit| self.0 & (1 << bit) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_in_read_or_write() {
        for method in METHODS {
            let (read, write) = (Methods::of_action("read").has(method), Methods::of_action("write").has(method));
            assert!(read != write, "{method}");
            assert!(Methods::of_action(method).has(method) && Methods::ALL.has(method), "{method}");
        }
        assert!(!Methods::ALL.has("CONNECT") && Methods::of_action("CONNECT") == Methods::NONE);
    }
}
