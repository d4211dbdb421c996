//! What a message says: JSON for programs, with a `text` for people in Slack's mrkdwn.

use super::TYPE_PREFIX;
use crate::admin::RequestView;
use crate::approvals::{AccessRequest, Review, State, Step};
use crate::clock::rfc3339;
use crate::config::duration_text;
use crate::notices::{Event, Notice};
use serde::Serialize;

/// The longest text that somebody outside has chosen, in bytes.
const PART_BYTES_MAX: usize = 1_024;

#[derive(Serialize)]
struct Body<'b, D> {
    r#type: String,
    timestamp: String,
    text: String,
    data: &'b D,
}

/// A body. `at_ms` is when it happened.
pub(super) fn body(event: &str, at_ms: u64, text: String, data: &impl Serialize) -> Vec<u8> {
    let body = Body { r#type: format!("{TYPE_PREFIX}{event}"), timestamp: rfc3339(at_ms), text, data };
    // Nothing in it can fail to become JSON.
    serde_json::to_vec(&body).unwrap_or_default()
}

/// The body of a notice. Its `data` is the request as it is now: a late message can show a later state.
pub(super) fn about(request: &AccessRequest, notice: &Notice, external_url: Option<&str>) -> Vec<u8> {
    let mut text = text(request, notice.event);
    if let Some(url) = external_url {
        text.push_str(&format!(" <{}/requests/{}|Open the request>", escaped(url), request.id));
    }
    body(notice.event.as_str(), notice.at_ms, text, &RequestView::from(request.clone()))
}

fn text(request: &AccessRequest, event: Event) -> String {
    let (who, subject) = (escaped(&request.requester.name), escaped(&request.user.subject));
    let scopes: Vec<String> = request.scopes.iter().map(|scope| format!("`{}`", escaped(scope))).collect();
    let (scopes, duration) = (scopes.join(", "), duration_text(request.duration_ms));
    let reason = said(&request.reason);
    let ticket = request.ticket.as_deref().map(|ticket| format!(" (ticket {})", escaped(ticket))).unwrap_or_default();
    let after_emergency = matches!(request.review, Some(Review { closed: None }));
    let last = request.steps.last();
    match event {
        Event::ApprovalRequested if request.escalation => format!(
            "A token of *{subject}* had more scopes than its session was granted: {scopes} can be approved, for up to \
             {duration}."
        ),
        Event::ApprovalRequested => {
            format!("*{who}* asks for {scopes} for {duration}, in a session of *{subject}*{ticket}{reason}")
        }
        Event::ApprovalStep => {
            let (by, comment) = decided(request.steps.first());
            let needed = request.steps_needed;
            format!(
                "{by} approved the first of {needed} steps of *{who}*'s request for {scopes}{comment} The next waits."
            )
        }
        Event::ApprovalDecided => match request.state {
            State::Approved => {
                let (by, comment) = decided(last);
                let until = request.grant.as_ref().and_then(|grant| grant.until_ms).map(rfc3339);
                let until = until.map_or_else(|| "as long as the session lives".to_owned(), |at| format!("until {at}"));
                let is_once = request.grant.as_ref().is_some_and(|grant| grant.once);
                let until = if is_once { format!("for one request {until}") } else { until };
                format!("{by} approved *{who}*'s request for {scopes}, {until}{comment}")
            }
            State::Denied => {
                let (by, comment) = decided(last);
                format!("{by} denied *{who}*'s request for {scopes}{comment}")
            }
            State::Cancelled => format!("*{who}* took the request for {scopes} back."),
            State::Expired | State::Pending => format!("Nobody decided *{who}*'s request for {scopes} in time."),
        },
        Event::GrantEnded => {
            let ended = request.grant.as_ref().and_then(|grant| grant.ended.as_ref());
            let why = ended.map(|ended| ended.why.as_str().replace('_', " ")).unwrap_or_default();
            let by = ended.and_then(|ended| ended.by.as_deref()).map(|by| format!(" by *{}*", escaped(by)));
            let review = if after_emergency { " Its emergency is yet to be reviewed." } else { "" };
            format!("Access to {scopes} in a session of *{subject}* ended ({why}{}).{review}", by.unwrap_or_default())
        }
        Event::BreakGlass => format!(
            "*EMERGENCY* *{who}* took {scopes} for {duration} without an approval, in a session of *{subject}*{ticket}{reason} \
             Somebody else must review this."
        ),
        Event::ReviewOpen => {
            let at = rfc3339(request.created_at_ms);
            format!("The emergency access of *{who}* to {scopes} from {at} is still to be reviewed by somebody else.")
        }
        Event::ReviewClosed => {
            let (by, comment) = decided(request.review.as_ref().and_then(|review| review.closed.as_ref()));
            format!("{by} closed the review of *{who}*'s emergency access to {scopes}{comment}")
        }
    }
}

/// Who has decided a step, and what that one said.
fn decided(step: Option<&Step>) -> (String, String) {
    let by = step.map_or_else(|| "Somebody".to_owned(), |step| format!("*{}*", escaped(&step.by.name)));
    (by, said(step.map(|step| &*step.comment).unwrap_or_default()))
}

/// The end of a sentence: what somebody said, if that is anything.
fn said(text: &str) -> String {
    match text.trim() {
        "" => ".".to_owned(),
        text => format!(": “{}”.", escaped(text)),
    }
}

/// A text within mrkdwn: what Slack would take for a link or a mention is shown as it is, and it stays on one line.
pub(super) fn escaped(text: &str) -> String {
    let cut = text.get(..text.floor_char_boundary(PART_BYTES_MAX)).unwrap_or_default();
    let mut escaped = String::with_capacity(cut.len());
    for char in cut.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            char if char.is_control() => escaped.push(' '),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approvals::{Decision, Person};
    use crate::fixtures::{HOUR, MINUTE, T0, approval_rule, asked, person, request};
    use serde_json::Value;

    fn shown(request: &AccessRequest, event: Event) -> Value {
        let notice = Notice::new("ops", event, T0);
        serde_json::from_slice(&about(request, &notice, Some("https://p.example.com"))).unwrap()
    }

    #[test]
    fn a_message_says_what_has_happened_to_people_and_to_programs() {
        let request = request();
        let shown = shown(&request, Event::ApprovalRequested);
        let link = format!("<https://p.example.com/requests/{}|Open the request>", request.id);
        let text = "*rita* asks for `orders:write` for 1m, in a session of *alice*: “it is broken”.";
        assert_eq!(shown["text"], format!("{text} {link}"));
        assert_eq!(shown["type"], "portcullis.approval_requested");
        assert_eq!(shown["timestamp"], rfc3339(T0));
        assert_eq!((&shown["data"]["id"], &shown["data"]["state"]), (&request.id.clone().into(), &"pending".into()));
        let alone: Value =
            serde_json::from_slice(&about(&request, &Notice::new("ops", Event::ApprovalRequested, T0), None)).unwrap();
        assert_eq!(alone["text"], text, "without `external_url` there is no link");
    }

    #[test]
    fn nobody_makes_a_link_a_mention_or_a_second_line_of_what_he_says() {
        let mut request = request();
        request.reason = "<!channel> & <https://evil|here>\nrita approved it".to_owned();
        request.requester = Person { name: "r<i>ta".to_owned(), user: None };
        let text = shown(&request, Event::ApprovalRequested)["text"].as_str().unwrap().to_owned();
        assert!(text.starts_with("*r&lt;i&gt;ta* asks"), "{text}");
        assert!(text.contains("“&lt;!channel&gt; &amp; &lt;https://evil|here&gt; rita approved it”"), "{text}");
        assert_eq!((text.matches('<').count(), text.lines().count()), (1, 1), "{text}");
        request.reason = "é".repeat(2_000);
        assert!(shown(&request, Event::ApprovalRequested)["text"].as_str().unwrap().len() < 2_000);
    }

    #[test]
    fn every_event_has_a_text_of_its_own_in_every_state() {
        let rule = approval_rule();
        let taken = AccessRequest::new(crate::approvals::Asked { emergency: true, ..asked(&person("s", T0)) }, T0);
        let ended = taken.ended(crate::approvals::Why::Expired, T0 + MINUTE).unwrap();
        let expired = request().expired(false, T0 + 25 * HOUR).unwrap();
        for (request, event, start) in [
            (&taken, Event::BreakGlass, "*EMERGENCY* *rita* took `orders:write` for 1m without an approval"),
            (&taken, Event::ReviewOpen, "The emergency access of *rita* to `orders:write`"),
            (
                &ended,
                Event::GrantEnded,
                "Access to `orders:write` in a session of *alice* ended (expired). Its emergency",
            ),
            (&expired, Event::ApprovalDecided, "Nobody decided *rita*'s request for `orders:write` in time."),
        ] {
            let shown = shown(request, event);
            assert!(shown["text"].as_str().unwrap().starts_with(start), "{shown}");
        }
        let caller = crate::fixtures::approver("ben");
        let denied = request().decided(&Decision::Deny, &caller, "no", Some(&rule), None, T0).unwrap();
        let shown = shown(&denied, Event::ApprovalDecided);
        assert!(shown["text"].as_str().unwrap().starts_with("*ben* denied *rita*'s request for `orders:write`: “no”."));
    }
}
