//! What counts as unusual.

/// The thresholds. An anomaly without them is not looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For how long an anomaly counts, unless a login comes first; in milliseconds.
    pub lasts_ms: u64,
    /// Travel that is impossible.
    pub impossible_travel: Option<Travel>,
    /// For how long the countries of a subject are remembered, in milliseconds.
    pub new_place_ms: Option<u64>,
    /// How soon a session that comes back to a network comes back too soon, in milliseconds.
    pub flapping_ms: Option<u64>,
    /// Whether another user agent is one.
    pub user_agent: bool,
    /// More addresses at once than a client has.
    pub many_addresses: Option<Crowd>,
}

/// Travel is impossible that is both farther and faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Travel {
    /// The distance, in kilometres.
    pub km: u32,
    /// The speed, in kilometres an hour.
    pub km_per_hour: u32,
}

/// How many addresses are a client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowd {
    /// That many.
    pub count: usize,
    /// Within that time, in milliseconds.
    pub within_ms: u64,
}
