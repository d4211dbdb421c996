//! What an OpenAPI document does not specify and a policy needs: given as arguments, or left to fill in.

/// What a document does not specify.
#[derive(Debug)]
pub(super) struct Placeholders {
    pub(super) issuer: Placeholder<String>,
    pub(super) audiences: Placeholder<Vec<String>>,
    pub(super) jwks_url: Placeholder<String>,
    pub(super) cluster: Placeholder<String>,
    pub(super) session_cluster: Placeholder<String>,
}

/// A value from an argument, or a placeholder.
#[derive(Debug)]
pub(super) enum Placeholder<T> {
    Given(T),
    FillIn(T),
}

impl<T> Placeholder<T> {
    pub(super) fn new(given: Option<T>, otherwise: T) -> Self {
        given.map_or(Self::FillIn(otherwise), Self::Given)
    }

    pub(super) fn get(&self) -> &T {
        let (Self::Given(value) | Self::FillIn(value)) = self;
        value
    }

    /// The comment that asks to fill it in.
    pub(super) fn mark(&self, what: &str) -> String {
        match self {
            Self::Given(_) => String::new(),
            Self::FillIn(_) => format!(" # FILL IN: {what}"),
        }
    }
}
