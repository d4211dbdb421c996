//! Takes the lines of the tracing target `audit` and makes records of them.

use super::queue::{Entry, Queue};
use super::sample::{self, ALL_MILLIONTHS, Fate, Sample};
use crate::clock::wall_ms;
use std::fmt::{self, Debug};
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The target of the lines.
const TARGET: &str = "audit";

/// The field that is the code.
const CODE: &str = "event";

/// The field by which refusals are sampled.
const OUTCOME: &str = "outcome";

/// The longest text, in bytes. A line has some twenty fields at most, which bounds it.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// A layer of the subscriber.
#[derive(Debug)]
pub struct Tap {
    queue: Arc<Queue>,
    sample: Box<[Sample]>,
}

impl Tap {
    pub(super) fn new(queue: Arc<Queue>, sample: &[Sample]) -> Self {
        Self { queue, sample: sample.into() }
    }
}

impl<S: Subscriber> Layer<S> for Tap {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == TARGET {
            let mut members = Members::default();
            event.record(&mut members);
            let Members { code, mut json, outcome } = members;
            match sample::fate(&self.sample, &code, outcome.as_deref()) {
                Fate::Left => return,
                // A share of the whole, as a number.
                Fate::Stands(millionths) => {
                    let share = millionths as f64 / ALL_MILLIONTHS as f64;
                    json.push_str(&format!(r#","sampled":{share}"#));
                }
                Fate::Kept => {}
            }
            self.queue.put(Entry { ms: wall_ms(), code, members: json });
        }
    }
}

/// The fields as JSON, each with a comma before it.
#[derive(Default)]
struct Members {
    code: String,
    json: String,
    outcome: Option<String>,
}

impl Members {
    fn put(&mut self, field: &Field, value: impl fmt::Display) {
        // A name that a record has itself would be there twice.
        let more = if ["seq", "time", "code", "prev", "sampled"].contains(&field.name()) { "_" } else { "" };
        self.json.push_str(&format!(r#","{more}{}":{value}"#, field.name()));
    }
}

impl Visit for Members {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == CODE {
            value.clone_into(&mut self.code);
            return;
        }
        if field.name() == OUTCOME {
            self.outcome = Some(value.to_owned());
        }
        let cut = value.get(..value.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default();
        let rest = if cut.len() < value.len() { "…" } else { "" };
        self.put(field, serde_json::Value::from([cut, rest].concat()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, serde_json::Value::from(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
