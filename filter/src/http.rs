//! The context of one request.

use crate::{
    envoy,
    worker::{self, Worker},
};
use portcullis_engine::authorize::{Head, forged_trailers, upstream_token};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use std::rc::Rc;

/// A request on a worker, or on a worker without a policy.
pub(crate) struct Http {
    context: u32,
    worker: Option<Rc<Worker>>,
}

impl Http {
    pub(crate) const fn new(context: u32, worker: Option<Rc<Worker>>) -> Self {
        Self { context, worker }
    }

    /// Body and trailers only pass after released headers.
    fn passage(&self) -> Action {
        match &self.worker {
            Some(worker) if worker.gate.borrow().is_released(self.context) => {
                worker.gate.borrow_mut().note_activity(self.context);
                Action::Continue
            }
            _ => Action::Pause,
        }
    }
}

impl Context for Http {
    fn on_http_call_response(&mut self, call: u32, headers: usize, body_size: usize, _: usize) {
        if let Some(worker) = &self.worker {
            worker.answered(call, headers, body_size, envoy::now());
            worker.carry_out(self.context);
        }
    }
}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, ends: bool) -> Action {
        let headers = envoy::request_headers();
        let head = Head::read(&headers).open(!ends);
        let Some(worker) = &self.worker else {
            worker::refuse_without_policy(head.caller);
            return Action::Pause;
        };
        let now = envoy::now();
        let step = worker.gate.borrow_mut().arrive(self.context, &head, envoy::look_up, now);
        let passes = worker.first_step(self.context, step);
        worker.send(self.context, now);
        if passes { Action::Continue } else { Action::Pause }
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.passage()
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let gate = self.worker.as_ref().map(|worker| worker.gate.borrow());
        let trailers = envoy::request_trailers();
        for name in forged_trailers(&trailers, gate.as_ref().map(|gate| &gate.policy().facts)) {
            envoy::remove_request_trailer(name);
        }
        if let Some(gate) = &gate {
            upstream_token::forged(&trailers, gate.policy()).for_each(envoy::remove_request_trailer);
        }
        drop(gate);
        self.passage()
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(worker) = &self.worker {
            let subprotocol = worker.gate.borrow_mut().responding(self.context);
            if let Some(name) = subprotocol {
                envoy::default_response_header("sec-websocket-protocol", &name);
            }
            if let Some(nonce) = worker.gate.borrow().newer_nonce(self.context, || envoy::now().wall_ms) {
                envoy::replace_response_header("dpop-nonce", &nonce);
            }
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, _: usize, _: bool) -> Action {
        if let Some(worker) = &self.worker {
            worker.gate.borrow_mut().note_activity(self.context);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        if let Some(worker) = &self.worker {
            worker.gone(self.context);
        }
    }
}

impl Drop for Http {
    /// A stream can be destroyed without its log callback; its request must be removed all the same.
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.gone(self.context);
        }
    }
}
