//! `make demo`: starts everything with the shipped files, plays the main scenario, and keeps it running.

use portcullis_tests::{
    Testbed, policy,
    scenario::{Event, Step, play},
};
use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let once = std::env::args().any(|argument| argument == "--once");
    let mut wrong = 0;
    tokio::select! {
        () = show(once, &mut wrong) => (),
        () = interrupted() => println!("\n» stopping"),
    }
    if wrong > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn show(once: bool, wrong: &mut usize) {
    println!("» starting issuer, upstream, session service and Envoy (envoy/envoy.yaml, envoy/session.yaml)");
    let testbed = Testbed::builder().policy(policy::shipped()).documented_ports().start().await;
    for port in &testbed.moved {
        println!("  port {port} is taken: using another");
    }
    testbed.ready().await;

    let paint = Paint(std::io::stdout().is_terminal());
    play(&testbed, &mut |event| match event {
        Event::Section(title) => println!("\n{}", paint.bold(title)),
        Event::Waiting(what) => println!("    waiting {what} …"),
        Event::Step(step) => {
            *wrong += usize::from(!step.holds());
            println!("{}", line(&step, paint));
        }
    })
    .await;

    println!();
    if *wrong > 0 {
        println!("{}", paint.red(&format!("{wrong} answers are not as announced")));
    } else {
        println!("{}", paint.green("every answer is as announced"));
    }
    if !once {
        invite(&testbed, paint);
        std::future::pending::<()>().await;
    }
}

fn line(step: &Step, paint: Paint) -> String {
    let got = if step.holds() {
        paint.green(&format!("✓ {}", step.got))
    } else {
        paint.red(&format!("✗ {} (expected {})", step.got, step.expected))
    };
    format!("  {:<28} {:<64} {got}", step.title, step.request)
}

/// Prints the addresses and some commands to try.
fn invite(testbed: &Testbed, paint: Paint) {
    let token = testbed.issuer.token().subject("you").sign();
    let (edge, admin) = (testbed.envoy.address, testbed.service.admin_address());
    let credential = &testbed.admin_credential;
    println!("\n{}", paint.bold("Everything keeps running; Ctrl-C ends it."));
    println!("  Envoy              http://{edge}");
    println!("  Envoy's admin      http://{}", testbed.envoy.admin);
    println!("  session admin      http://{admin}/v1/sessions");
    println!("  issuer's key set   http://{}/jwks", testbed.issuer.address);
    println!("  upstream           http://{}", testbed.upstream.address);
    println!("\n{}", paint.bold("Try: a request, the end of its session, the same request again"));
    println!("  TOKEN={}", token.text);
    println!("  curl -i -H \"Authorization: Bearer $TOKEN\" http://{edge}/orders");
    println!(
        "  curl -i -H 'Authorization: Bearer {credential}' -X POST -H 'content-type: application/json' -d '{{}}' \\"
    );
    println!("    http://{admin}/v1/sessions/{}/revoke", token.session);
    println!("  curl -i -H \"Authorization: Bearer $TOKEN\" http://{edge}/orders");
    println!("  curl -s -H 'Authorization: Bearer {credential}' http://{admin}/v1/sessions");
    // Standard output may be a file, which is not flushed by line.
    let _ = std::io::stdout().flush();
}

async fn interrupted() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be heard");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        _ = terminate.recv() => (),
    }
}

/// Colours, if standard output is a terminal.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    fn red(self, text: &str) -> String {
        self.with("31;1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
