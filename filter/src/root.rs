//! The worker's root context: it loads the policy, keeps time, and owns every call that outlives a request.

use crate::{
    envoy,
    history::{History, Invalid},
    http::Http,
    metrics,
    worker::Worker,
};
use log::{error, info};
use portcullis_engine::{
    authorize::{self, Gate, MESSAGE_BYTES_MAX},
    policy::Policy,
};
use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};
use std::rc::Rc;

/// The root context of one worker; without a policy it refuses all requests.
pub(crate) struct Root {
    context: u32,
    worker: Option<Rc<Worker>>,
}

impl Root {
    pub(crate) const fn new(context: u32) -> Self {
        Self { context, worker: None }
    }

    fn load(&self, configuration: &[u8]) -> Result<Worker, Vec<String>> {
        let policy = Policy::parse(configuration)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let variable = |name: &str| std::env::var(name).ok();
        let authorization = policy.session.as_ref().map(|session| authorize::authorization(session, &variable));
        let authorization = authorization.transpose().map_err(|fault| vec![fault])?.flatten();
        // The clock and the context's id differ enough between workers to spread their reconnects.
        let seed = envoy::now()
            .wall_ms
            .unwrap_or_default()
            .wrapping_mul(u64::from(self.context).wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut gate = Gate::new(policy, envoy::verify_signature, seed)
            .map_err(|(issuer, error)| vec![format!("$.issuers[{}].keys.inline: {error}", issuer.0)])?;
        gate.name_workload(&envoy::node_id());
        Ok(Worker::new(self.context, gate, authorization))
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, headers: usize, body_size: usize, _: usize) {
        let Some(worker) = &self.worker else { return };
        let now = envoy::now();
        if let Some(issuer) = worker.key_call(call) {
            let bytes_max = worker.gate.borrow().policy().limits.key_set_bytes;
            let response = envoy::call_response(headers, body_size, bytes_max);
            worker.fetched(issuer, response.as_ref().map(|(status, body)| (*status, body.as_slice())), now);
        } else {
            worker.answered(call, headers, body_size, now);
        }
        worker.pump(now);
        worker.carry_out(self.context);
    }

    fn on_grpc_stream_message(&mut self, stream: u32, size: usize) {
        let Some(worker) = &self.worker else { return };
        let now = envoy::now();
        let due = worker.gate.borrow_mut().message(stream, &envoy::stream_message(size, MESSAGE_BYTES_MAX), now);
        worker.log_peer_news(now);
        // The next group is sent first: the service processes it while these requests are released.
        worker.queue(due);
        worker.pump(now);
        worker.carry_out(self.context);
    }

    fn on_grpc_stream_close(&mut self, stream: u32, status: u32) {
        let Some(worker) = &self.worker else { return };
        let now = envoy::now();
        worker.closed(stream, status, now);
        worker.pump(now);
        worker.carry_out(self.context);
    }

    fn on_done(&mut self) -> bool {
        if let Some(worker) = self.worker.take() {
            worker.leave();
        }
        true
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        let history = History::of_this_filter();
        let loaded = self.load(&configuration);
        metrics::set_rejected(history.filter(), loaded.is_err());
        match loaded {
            Ok(worker) => {
                let worker = Rc::new(worker);
                let digest = worker.gate.borrow().policy().digest.clone();
                info!("portcullis: policy {digest} is in force");
                history.accept(&digest);
                worker.pump(envoy::now());
                self.worker = Some(worker);
                true
            }
            Err(faults) => {
                let invalid = history.refuse(&configuration);
                match &invalid {
                    Invalid::Rejected { in_force } => {
                        error!(
                            "portcullis: the new policy is invalid and was rejected; the last valid one is {in_force}"
                        );
                    }
                    Invalid::RefusesAll => error!("portcullis: the policy is invalid, so all requests are refused"),
                }
                faults.iter().for_each(|fault| error!("portcullis: {fault}"));
                // A filter without a policy answers 503 with a reason. One that failed to start would answer nothing, and
                // keep Envoy itself from starting.
                invalid == Invalid::RefusesAll
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(worker) = &self.worker else { return };
        let now = envoy::now();
        worker.queue(worker.never_sent(now));
        let due = worker.gate.borrow_mut().tick(now);
        worker.queue(due);
        worker.pump(now);
        worker.carry_out(self.context);
        worker.log_refused_token(now);
        worker.log_misrouted(now);
        worker.flush_metrics(now);
        worker.rest();
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(context, self.worker.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
