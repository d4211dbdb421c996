//! `make demo`: starts everything with the shipped files, plays the main scenario, and keeps it running.

mod invitation;
mod replicas;
mod token;

use clap::Parser;
use portcullis_tests::{
    Testbed, policy,
    scenario::{Event, play},
};
use std::{
    fmt::Display,
    io::{IsTerminal, Write},
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = "\
Without a command: starts an issuer, an upstream, the session service and Envoy with the files of
envoy/, plays the scenario of docs/demo.md against them, and keeps everything running until Ctrl-C.";

/// The demo of Portcullis
#[derive(Parser)]
#[command(name = "demo", after_help = HELP)]
struct Args {
    /// Exit after the scenario: with 0 if every answer was as announced, else with 1
    #[arg(long)]
    once: bool,
    /// Run three replicas of the session service over PostgreSQL, and kill one of them (needs PostgreSQL)
    #[arg(long)]
    replicas: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    Token(token::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Token(args)) = args.command {
        return token::print(args).await;
    }
    let mut wrong = 0;
    let paint = Paint(std::io::stdout().is_terminal());
    let shown = async {
        match args.replicas {
            false => show(args.once, paint, &mut wrong).await,
            true => replicas::show(args.once, paint, &mut wrong).await,
        }
    };
    tokio::select! {
        shown = shown => if shown.is_err() {
            // Whoever read the output has seen enough.
            return ExitCode::SUCCESS;
        },
        () = interrupted() => {
            let _ = say("\n» stopping");
        }
    }
    if wrong > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The error is that nobody reads the output any more.
async fn show(once: bool, paint: Paint, wrong: &mut usize) -> std::io::Result<()> {
    say("» starting issuer, upstream, session service and Envoy (envoy/*.yaml)")?;
    let testbed = Testbed::builder().policy(policy::shipped()).documented_ports().start().await;
    for port in &testbed.moved {
        say(format!("  port {port} is taken: using another"))?;
    }
    testbed.ready().await;

    let mut unread = Ok(());
    play(&testbed, &mut |event| {
        let line = event.to_string();
        let line = match &event {
            Event::Section(_) => paint.bold(&line),
            Event::Step(step) if step.holds() => line.replacen('✓', &paint.green("✓"), 1),
            Event::Step(_) => paint.red(&line),
            Event::Waiting(_) => line,
        };
        *wrong += usize::from(matches!(event, Event::Step(step) if !step.holds()));
        if unread.is_ok() {
            unread = say(line);
        }
    })
    .await;
    unread?;
    say(match *wrong {
        0 => paint.green("\nevery answer is as announced"),
        wrong => paint.red(&format!("\n{wrong} answers are not as announced")),
    })?;
    if !once {
        invitation::print(&testbed, paint)?;
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Writes a line at once: standard output may be a file, which is not flushed by line.
fn say(line: impl Display) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
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
