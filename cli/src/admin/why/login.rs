//! What asked for another login: the `acr` or the `max_age` of the route, against what the token says, or what an attribute or the
//! last login makes of its session.

use crate::{
    access_log::{self, Decision},
    admin::{history::History, plain::plain, when},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// What asked for another login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct StepUp {
    pub(super) asked: Asked,
    /// Whose login did not meet it.
    pub(super) of: Of,
    /// The accepted values of `acr`, or the greatest age of a login in seconds.
    wanted: Vec<String>,
    /// The `acr`, or the instant of the login; `None` if the token does not say.
    had: Option<String>,
    /// Who has set the attribute that the login counts as.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

/// The key of the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asked {
    /// `acr`
    Acr,
    /// `max_age`
    MaxAge,
}

/// What has the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Of {
    /// The token, which the filter refused by itself.
    Token,
    /// The session, as the session service knows it.
    Session,
}

impl StepUp {
    /// What the line says; else the last refusal of that kind in the history, on the same route if the line names one.
    pub(super) fn of(decision: Option<&Decision>, view: Option<&Value>, history: &History) -> Option<Self> {
        if let Some(step_up) = decision.and_then(|decision| decision.step_up.clone()) {
            return Some(Self::of_token(step_up));
        }
        let route = decision.and_then(|decision| decision.route.as_deref());
        let is_meant = |event: &Value| {
            let text = |key: &str| event.get(key).and_then(Value::as_str);
            text("outcome") == Some("step_up_required") && (route.is_none() || text("route") == route)
        };
        Self::of_session(history.latest("refused", is_meant)?, view)
    }

    fn of_token(step_up: access_log::StepUp) -> Self {
        let (asked, wanted, had) = match step_up {
            access_log::StepUp::Acr { wanted, had } => (Asked::Acr, wanted, had),
            access_log::StepUp::MaxAge { wanted_s, had } => {
                (Asked::MaxAge, wanted_s.iter().map(u64::to_string).collect(), had)
            }
        };
        Self { asked, of: Of::Token, wanted, had, source: None }
    }

    fn of_session(event: &Value, view: Option<&Value>) -> Option<Self> {
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let (asked, wanted, had) = (text("step_up")?, text("wanted")?, text("had").map(str::to_owned));
        let asked = if asked == "acr" { Asked::Acr } else { Asked::MaxAge };
        let attributes = view.and_then(|view| view.get("attributes")).and_then(Value::as_array);
        let is_acr = |of: &&Value| of.get("name").and_then(Value::as_str) == Some("acr");
        let acr = attributes.into_iter().flatten().find(is_acr).filter(|_| asked == Asked::Acr);
        let source = acr.and_then(|of| of.get("source")).and_then(Value::as_str).map(str::to_owned);
        let wanted = wanted.split(' ').map(str::to_owned).collect();
        Some(Self { asked, of: Of::Session, wanted, had, source })
    }

    /// What was asked, and what there was instead.
    pub(super) fn words(&self, now: Timestamp) -> String {
        let wanted = match self.asked {
            Asked::Acr => {
                let values: Vec<_> = self.wanted.iter().map(|value| format!("`{}`", plain(value))).collect();
                format!("`acr`: the route accepts {}", values.join(" or "))
            }
            Asked::MaxAge => {
                let age = self.wanted.first().map(String::as_str).unwrap_or_default();
                let age = age.parse().map_or_else(|_| plain(age).into_owned(), when::span);
                format!("`max_age`: the route accepts a login at most {age} old")
            }
        };
        let had = match (self.asked, self.of, &self.had) {
            (Asked::Acr, Of::Token, None) => "the token has none".to_owned(),
            (Asked::Acr, Of::Token, Some(had)) => format!("the token has `{}`", plain(had)),
            (Asked::Acr, Of::Session, had) => {
                let had = plain(had.as_deref().unwrap_or_default());
                let by = match self.source.as_deref() {
                    None => String::new(),
                    Some("admin") => ", set by an administrator".to_owned(),
                    Some(source) => format!(", set by a signal of `{}`", plain(source)),
                };
                format!("an attribute makes the login count as `{had}`{by}")
            }
            (Asked::MaxAge, _, None) => "the token does not say when it was".to_owned(),
            (Asked::MaxAge, Of::Token, Some(had)) => format!("that of the token was {}", when::both(had, now)),
            (Asked::MaxAge, Of::Session, Some(had)) => format!("that of the session was {}", when::both(had, now)),
        };
        format!("{wanted}; {had}")
    }
}
