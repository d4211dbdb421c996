//! The anomalies.

/// The source of the attributes that anomalies become.
pub(crate) const SOURCE: &str = "anomaly";

/// What is unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Anomaly {
    /// Nobody can travel that fast.
    ImpossibleTravel,
    /// A country in which the subject has not been seen before.
    NewPlace,
    /// The session is used from two networks in turn.
    Flapping,
    /// Another user agent than those that the session had.
    UserAgent,
    /// More addresses at once than a client has.
    ManyAddresses,
}

impl Anomaly {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 5] =
        [Self::ImpossibleTravel, Self::NewPlace, Self::Flapping, Self::UserAgent, Self::ManyAddresses];

    /// Its name, as its key in session.yaml, events and metrics have it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ImpossibleTravel => "impossible_travel",
            Self::NewPlace => "new_place",
            Self::Flapping => "flapping",
            Self::UserAgent => "user_agent",
            Self::ManyAddresses => "many_addresses",
        }
    }

    /// The name of the attribute that it becomes. Conditions know `new_place` by that name; the others have to be declared.
    pub(crate) const fn attribute(self) -> &'static str {
        match self {
            Self::ImpossibleTravel => "anomaly.impossible_travel",
            Self::NewPlace => "new_place",
            Self::Flapping => "anomaly.flapping",
            Self::UserAgent => "anomaly.user_agent",
            Self::ManyAddresses => "anomaly.many_addresses",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::is_name;

    #[test]
    fn they_are_numbered_in_order_and_become_attributes() {
        for (number, anomaly) in Anomaly::ALL.into_iter().enumerate() {
            assert_eq!(anomaly as usize, number);
            assert!(is_name(anomaly.attribute()) && anomaly.attribute().ends_with(anomaly.as_str()));
        }
    }
}
