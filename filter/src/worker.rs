//! The state that the root context shares with its requests, and the execution of steps.

use crate::{
    envoy,
    metrics::Metrics,
    troubles::{Trouble, Troubles},
};
use log::{error, info, warn};
use portcullis_engine::{
    answer::{Answer, Caller, Code, Demand},
    authorize::{Act, CallKey, Denial, Due, Fetch, Gate, PeerNews, Permit, Step, identity, log_record, upstream_token},
    map::HashMap,
    policy::{Introspection, KeySource, Protocol},
    time::Now,
    token::{FETCH_TIMEOUT_MS, INTROSPECTION_BYTES_MAX, IssuerId},
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    time::Duration,
};

/// gRPC's UNAUTHENTICATED, the last status that it has.
const GRPC_UNAUTHENTICATED: u32 = 16;

const HTTP_OK: u32 = 200;
const HTTP_UNAUTHORIZED: u32 = 401;
/// HTTP's statuses are below.
const HTTP_STATUSES: u32 = 600;

/// How often deadlines are checked: while something waits for one, and otherwise.
const TICK_BUSY: Duration = Duration::from_millis(10);
const TICK_IDLE: Duration = Duration::from_millis(100);

/// The maximum number of steps in one callback. Envoy defers the effects of a step until the callback is over, and then
/// nests them: about three hundred refusals at once overflow the VM's stack and end it.
const STEPS_MAX: usize = 100;
const TICK_BACKLOG: Duration = Duration::from_millis(1);

/// One worker: the gate, and the host state that belongs to it.
pub(crate) struct Worker {
    root: u32,
    pub(crate) gate: RefCell<Gate>,
    authorization: Option<String>,
    key_calls: RefCell<HashMap<u32, IssuerId>>,
    /// Calls to an introspection endpoint, by Envoy's id.
    calls: RefCell<HashMap<u32, CallKey>>,
    /// Calls that Envoy would not send.
    unsent: RefCell<Vec<CallKey>>,
    /// Steps that are yet to be carried out, oldest first.
    backlog: RefCell<VecDeque<Due>>,
    metrics: RefCell<Metrics>,
    troubles: RefCell<Troubles>,
    tick: Cell<Duration>,
}

impl Worker {
    pub(crate) fn new(root: u32, mut gate: Gate, authorization: Option<String>) -> Self {
        gate.authorize_calls(authorization.clone());
        set_tick(TICK_BUSY);
        Self {
            root,
            gate: RefCell::new(gate),
            authorization,
            key_calls: RefCell::default(),
            calls: RefCell::default(),
            unsent: RefCell::default(),
            backlog: RefCell::default(),
            metrics: RefCell::default(),
            troubles: RefCell::default(),
            tick: Cell::new(TICK_BUSY),
        }
    }

    /// Carries out the first step of a request, whose context is the effective one. Returns true if it can pass
    /// immediately.
    pub(crate) fn first_step(&self, context: u32, step: Step) -> bool {
        match step {
            Step::Release(permit) => {
                self.prepare(&permit);
                true
            }
            Step::Deny(denial) | Step::Cut(denial) => {
                self.refuse(context, &denial);
                false
            }
            Step::Wait | Step::Ask(_) | Step::Spare(_) => false,
        }
    }

    /// Queues steps of requests that were waiting or open.
    pub(crate) fn queue(&self, due: Vec<Due>) {
        let is_step = |(_, step): &Due| !matches!(step, Step::Wait | Step::Ask(_));
        self.backlog.borrow_mut().extend(due.into_iter().filter(is_step));
    }

    /// Carries out as many queued steps as one callback allows. Must be called once, at the end of each callback. The
    /// effective context is `home` before and after.
    pub(crate) fn carry_out(&self, home: u32) {
        for _ in 0..STEPS_MAX {
            let Some((context, step)) = self.backlog.borrow_mut().pop_front() else { break };
            // The client can have left: then there is no request to answer or resume. Envoy deletes its context in the VM
            // first and forgets the request later in the same iteration of its event loop; in between, its context can
            // still be entered. A local reply would then make Envoy call the VM about a deleted context, which ends the VM.
            if !self.gate.borrow().is_in_progress(context) || !envoy::enter(context) {
                continue;
            }
            match step {
                Step::Release(permit) => {
                    self.prepare(&permit);
                    envoy::resume_request();
                }
                Step::Deny(denial) => self.refuse(context, &denial),
                Step::Cut(denial) => self.cut(context, &denial),
                Step::Spare(denial) => envoy::set_log_field(&log_record::spared(&denial, self.gate.borrow().policy())),
                Step::Wait | Step::Ask(_) => {}
            }
        }
        envoy::enter(home);
        self.pace();
    }

    /// A request has ended.
    pub(crate) fn gone(&self, context: u32) {
        self.gate.borrow_mut().gone(context);
    }

    /// Carries out what the check stream and the key sets need. Only called in the root's callbacks: the SDK delivers
    /// the response to a call to the context in whose callback it was made, and only the root outlives a request.
    pub(crate) fn pump(&self, now: Now) {
        let fetches = self.gate.borrow_mut().fetches(now.instant);
        fetches.iter().for_each(|fetch| self.fetch(fetch, now));
        while let Some(act) = self.next_act(now) {
            self.act(act, now);
        }
        self.call(now);
        self.pace();
    }

    /// Sends the next questions in the callback of a request. The stream belongs to the root.
    pub(crate) fn send(&self, context: u32, now: Now) {
        let act = self.gate.borrow_mut().send(now.instant);
        if let Some(Act::Send { stream, message }) = act {
            envoy::enter(self.root);
            envoy::send(stream, &message);
            envoy::enter(context);
        }
        self.call(now);
        self.pace();
    }

    /// Makes the pending introspection calls in the callback of a request or of the root. The response is delivered to
    /// the same context, and a request that has gone by then does not need it.
    fn call(&self, now: Now) {
        let due = self.gate.borrow_mut().take_calls();
        for (key, call) in due {
            match envoy::post(&call) {
                Some(number) => drop(self.calls.borrow_mut().insert(number, key)),
                // Failures are reported later: a request whose headers are being read cannot be resumed.
                None => {
                    self.say(Trouble::CallUnsent, now, || {
                        format!("Envoy did not send a call to {}; is there such a cluster?", self.endpoint())
                    });
                    self.unsent.borrow_mut().push(key);
                }
            }
        }
    }

    /// A call was answered or failed.
    pub(crate) fn answered(&self, number: u32, headers: usize, body_bytes: usize, now: Now) {
        let Some(key) = self.calls.borrow_mut().remove(&number) else { return };
        let response = envoy::call_response(headers, body_bytes, INTROSPECTION_BYTES_MAX);
        match response.as_ref().map(|(status, _)| *status) {
            Some(HTTP_OK) => {}
            status => self.call_failed(status, now),
        }
        let response = response.as_ref().map(|(status, body)| (*status, body.as_slice()));
        let due = self.gate.borrow_mut().answered(key, response, now);
        self.queue(due);
    }

    fn call_failed(&self, status: Option<u32>, now: Now) {
        // A server can make up any number of statuses: those that HTTP does not have are one.
        self.say(Trouble::Call(status.unwrap_or_default().min(HTTP_STATUSES)), now, || {
            let endpoint = self.endpoint();
            match status {
                None => format!("a call to {endpoint} was not answered"),
                Some(HTTP_UNAUTHORIZED) => format!("{endpoint} rejected the filter's credential"),
                Some(status) => format!("a call to {endpoint} was answered with status {status}"),
            }
        });
    }

    /// Settles the requests whose calls could not be made.
    pub(crate) fn never_sent(&self, now: Now) -> Vec<Due> {
        self.calls.borrow_mut().retain(|_, key| self.gate.borrow().awaits(*key));
        let unsent = std::mem::take(&mut *self.unsent.borrow_mut());
        unsent.into_iter().flat_map(|key| self.gate.borrow_mut().answered(key, None, now)).collect()
    }

    fn next_act(&self, now: Now) -> Option<Act> {
        self.gate.borrow_mut().act(now.instant)
    }

    fn act(&self, act: Act, now: Now) {
        match act {
            Act::Send { stream, message } => envoy::send(stream, &message),
            Act::Close { stream } => envoy::close(stream),
            Act::Cancel { stream } => envoy::cancel(stream),
            Act::Open => {
                let cluster = self.gate.borrow().policy().session.as_ref().map(|session| session.cluster.clone());
                let open = |cluster: &String| envoy::open_stream(cluster, self.authorization.as_deref());
                let stream = cluster.as_ref().and_then(open);
                if stream.is_none() {
                    let cluster = cluster.unwrap_or_default();
                    self.say(Trouble::Unopened, now, || {
                        format!("Envoy did not open a check stream; is there a cluster `{cluster}`?")
                    });
                }
                self.gate.borrow_mut().opened(stream, now.instant);
            }
        }
    }

    fn fetch(&self, fetch: &Fetch, now: Now) {
        let call = envoy::get(
            &fetch.cluster,
            fetch.scheme,
            &fetch.authority,
            &fetch.path,
            Duration::from_millis(FETCH_TIMEOUT_MS),
        );
        match call {
            Some(call) => {
                self.key_calls.borrow_mut().insert(call, fetch.issuer);
            }
            None => {
                self.say(Trouble::KeysUnsent(fetch.issuer), now, || {
                    format!("Envoy did not send a request for {}; is there such a cluster?", self.key_set(fetch.issuer))
                });
                let (_, due) = self.gate.borrow_mut().fetched(fetch.issuer, None, now);
                self.queue(due);
            }
        }
    }

    /// Logs what is new about the session service.
    pub(crate) fn log_peer_news(&self, now: Now) {
        let all = self.gate.borrow_mut().take_peer_news();
        for news in all {
            if let PeerNews::Unfit { .. } = news {
                self.say(Trouble::Unfit, now, || news.to_string());
            } else if news.is_warning() {
                warn!("portcullis: {news}");
            } else {
                info!("portcullis: {news}");
            }
        }
    }

    /// The issuer whose key set a call asked for.
    pub(crate) fn key_call(&self, call: u32) -> Option<IssuerId> {
        self.key_calls.borrow_mut().remove(&call)
    }

    /// A fetch of a key set has ended.
    pub(crate) fn fetched(&self, issuer: IssuerId, response: Option<(u32, &[u8])>, now: Now) {
        let (result, due) = self.gate.borrow_mut().fetched(issuer, response, now);
        if let Err(error) = result {
            self.say(Trouble::Keys(issuer), now, || format!("could not refresh {}: {error}", self.key_set(issuer)));
        }
        self.queue(due);
    }

    /// The check stream was closed by its peer, or by Envoy.
    pub(crate) fn closed(&self, stream: u32, status: u32, now: Now) {
        // A peer can make up any number of statuses: those that gRPC does not have are one.
        self.say(Trouble::Closed(status.min(GRPC_UNAUTHENTICATED + 1)), now, || {
            let gate = self.gate.borrow();
            let cluster = gate.policy().session.as_ref().map_or("?", |session| session.cluster.as_str());
            match status {
                GRPC_UNAUTHENTICATED => {
                    format!("the session service rejected the filter's credential (cluster `{cluster}`)")
                }
                _ => format!("the check stream to cluster `{cluster}` was closed with gRPC status {status}"),
            }
        });
        let due = self.gate.borrow_mut().closed(stream, now);
        self.queue(due);
    }

    /// Writes a line about a server that does not work, if one is due.
    fn say(&self, trouble: Trouble, now: Now, words: impl FnOnce() -> String) {
        if let Some(others) = self.troubles.borrow_mut().note(trouble, now.instant) {
            match trouble {
                Trouble::Closed(GRPC_UNAUTHENTICATED) | Trouble::Call(HTTP_UNAUTHORIZED) => {
                    error!("portcullis: {}{others}", words())
                }
                _ => warn!("portcullis: {}{others}", words()),
            }
        }
    }

    /// The introspection endpoint, in words.
    fn endpoint(&self) -> String {
        let gate = self.gate.borrow();
        match gate.policy().session.as_ref().map(|session| (&session.cluster, &session.protocol)) {
            Some((cluster, Protocol::Introspection(Introspection { authority, path, .. }))) => {
                format!("the introspection endpoint at https://{authority}{path} through cluster `{cluster}`")
            }
            _ => "the introspection endpoint".to_owned(),
        }
    }

    /// The key set of an issuer, in words.
    fn key_set(&self, issuer: IssuerId) -> String {
        let gate = self.gate.borrow();
        match gate.policy().issuers.get(issuer.0).map(|issuer| (&*issuer.issuer, &issuer.keys)) {
            Some((name, KeySource::Remote { authority, path, https, cluster, .. })) => {
                let scheme = if *https { "https" } else { "http" };
                format!("the key set of issuer `{name}` at {scheme}://{authority}{path} through cluster `{cluster}`")
            }
            _ => "a key set".to_owned(),
        }
    }

    /// Writes the line about refused tokens that is due. Only on the tick: a token costs no line of its own.
    pub(crate) fn log_refused_token(&self, now: Now) {
        if let Some(token) = self.gate.borrow_mut().refused_token(now.instant) {
            warn!("portcullis: {token}");
        }
    }

    /// Writes a line about a request for the token endpoint that Envoy would not take there, if one is due.
    pub(crate) fn log_misrouted(&self, now: Now) {
        let Some(cluster) = self.gate.borrow_mut().take_misrouted() else { return };
        self.say(Trouble::Misrouted, now, || {
            let gate = self.gate.borrow();
            let Some(oauth) = &gate.policy().oauth else { return String::new() };
            format!(
                "a request for the token endpoint was refused: Envoy routes it to cluster `{cluster}` and not to `{}`; it needs a \
                 route for {}/ of its own",
                oauth.cluster, oauth.path
            )
        });
    }

    /// The policy is no longer in use.
    pub(crate) fn leave(&self) {
        self.metrics.borrow_mut().withdraw();
    }

    /// Reports the counts to Envoy.
    pub(crate) fn flush_metrics(&self, now: Now) {
        let mut gate = self.gate.borrow_mut();
        self.metrics.borrow_mut().flush(&mut gate, now);
    }

    /// Shortens the tick while something waits for a deadline.
    fn pace(&self) {
        let wanted = self.wanted_tick();
        if wanted < self.tick.get() {
            self.set_tick(wanted);
        }
    }

    /// Lengthens the tick again when nothing waits. Only at the end of a tick: Envoy restarts its timer whenever the
    /// period changes, so if every request could lengthen it, it might never fire.
    pub(crate) fn rest(&self) {
        let wanted = self.wanted_tick();
        if wanted > self.tick.get() {
            self.set_tick(wanted);
        }
    }

    fn wanted_tick(&self) -> Duration {
        let gate = self.gate.borrow();
        match gate.is_busy() {
            _ if !self.backlog.borrow().is_empty() => TICK_BACKLOG,
            true => TICK_BUSY,
            // Leases have to be renewed in time.
            false => gate.pace_ms().map_or(TICK_IDLE, |ms| Duration::from_millis(ms).clamp(TICK_BUSY, TICK_IDLE)),
        }
    }

    fn set_tick(&self, period: Duration) {
        self.tick.set(period);
        set_tick(period);
    }

    /// Sets the request's headers for the upstream. This has to happen before the release: afterwards is too late.
    fn prepare(&self, permit: &Permit) {
        let gate = self.gate.borrow();
        let policy = gate.policy();
        permit.strip.iter().for_each(|name| envoy::remove_request_header(name));
        for (name, value) in &permit.replace {
            envoy::replace_request_header(name, value);
        }
        for (name, value) in identity::headers(permit, policy) {
            envoy::add_request_header(name, &value);
        }
        if let Some((name, token)) = upstream_token::header(permit, policy) {
            envoy::add_request_header(name, token);
        }
        envoy::set_log_field(&log_record::permit(permit, policy));
    }

    fn refuse(&self, context: u32, denial: &Denial) {
        let gate = self.gate.borrow();
        let policy = gate.policy();
        envoy::set_log_field(&log_record::denial(denial, policy));
        envoy::answer(&denial.answer(policy, gate.requests_url()).reply(gate.caller(context)));
    }

    /// Ends an open request: with a reason if the upstream's response has not started, otherwise by a reset.
    fn cut(&self, context: u32, denial: &Denial) {
        if self.gate.borrow().has_responded(context) {
            envoy::set_log_field(&log_record::cut(denial, self.gate.borrow().policy()));
            envoy::reset_request();
        } else {
            self.refuse(context, denial);
        }
    }
}

/// Refuses a request because there is no policy.
pub(crate) fn refuse_without_policy(caller: Caller) {
    envoy::set_log_field(&log_record::without_policy());
    envoy::answer(&Answer::new(Code::NoPolicy, "portcullis", Demand::default()).reply(caller));
}

fn set_tick(period: Duration) {
    let _ = proxy_wasm::hostcalls::set_tick_period(period);
}
