//! The real program with an audit log in a file: a crash, a restart, and somebody who changes a record.

use crate::fixtures::PATIENCE;
use crate::program::{Program, command};
use crate::webhooks::{Receiver, SECRET};
use portcullis_audit::note::SignerKey;
use portcullis_audit::record::Record;
use portcullis_audit::verify::{Error, Fault, Proof, Source, verify};
use serde_json::json;
use std::io::BufReader;
use std::path::Path;
use tokio::process::Command;

fn with_audit(folder: &Path, key: &SignerKey) -> Command {
    let file = folder.join("audit.jsonl");
    let audit = format!(
        "audit: {{file: {}, signing_key: {{env: AUDIT}}, checkpoint: {{records: 4, every: 100ms}}}}\n",
        file.display()
    );
    let mut command = command(folder, &audit);
    command.env("AUDIT", key.secret());
    command
}

fn verified(folder: &Path, key: &SignerKey) -> Result<Proof, Fault> {
    let path = folder.join("audit.jsonl");
    let source = Source {
        name: "audit.jsonl".to_owned(),
        lines: Box::new(BufReader::new(std::fs::File::open(&path).unwrap())),
        checkpoints: std::fs::read_to_string(folder.join("audit.jsonl.checkpoints")).unwrap(),
    };
    verify(vec![source], &[key.verifier().clone()], &[]).map_err(|error| match error {
        Error::Fault(fault) => fault,
        Error::Read(..) => panic!("{error}"),
    })
}

fn records(folder: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    text.lines().map(|line| Record::read(line.as_bytes()).unwrap()).collect()
}

#[tokio::test]
async fn the_audit_log_survives_a_crash_and_a_changed_record_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let key = SignerKey::generate("audit.example/1").unwrap();
    let mut program = Program::run(with_audit(folder.path(), &key)).await;
    for number in 1..=10 {
        let session = program.open(&format!("s-{number}")).await;
        let revoked = program.call("POST", &format!("{session}/revoke"), r#"{"reason":"ticket"}"#).await;
        assert_eq!(revoked.status, 200, "{revoked:?}");
    }
    // What waits for a checkpoint gets one within 100 ms.
    let revoked = || records(folder.path()).iter().filter(|record| record.code == "session_revoked").count();
    while verified(folder.path(), &key).unwrap().unproved() > 0 || revoked() < 10 {
        tokio::task::yield_now().await;
    }
    program.child.kill().await.unwrap();
    let before = verified(folder.path(), &key).unwrap();

    let mut program = Program::run(with_audit(folder.path(), &key)).await;
    program.reload("reloaded the configuration").await;
    let metrics = program.call("GET", "/metrics", "").await.text;
    assert!(metrics.contains("portcullis_audit_dropped_total 0\n"), "{metrics}");
    assert_eq!(program.stop().await.0, Some(0));
    let after = verified(folder.path(), &key).unwrap();
    assert!(after.size > before.size && after.unproved() == 0 && after.anew.is_empty(), "{before:?} {after:?}");
    let records = records(folder.path());
    let count = |code: &str| records.iter().filter(|record| record.code == code).count();
    assert_eq!((count("audit_file"), count("session_revoked"), count("opened"), count("started")), (1, 10, 10, 2));
    assert_eq!((count("configuration_loaded"), count("configuration_reloaded"), count("stopped")), (2, 1, 1));
    assert_eq!(records.last().unwrap().code, "stopped");
    let revoked = records.iter().find(|record| record.code == "session_revoked").unwrap();
    assert_eq!((&revoked.fields["subject"], &revoked.fields["stated_reason"]), (&json!("alice"), &json!("ticket")));

    let path = folder.path().join("audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"alice\"", "\"mallory\"", 1)).unwrap();
    let line = 1 + text.lines().position(|line| line.contains("alice")).unwrap() as u64;
    assert_eq!(verified(folder.path(), &key).unwrap_err().line, line);
}

/// The bodies of the log records that a collector has got, in order.
fn bodies(collector: &Receiver) -> Vec<String> {
    let requests = collector.received().into_iter().map(|received| received.json());
    let records = requests.flat_map(|request| {
        let records = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
        records.as_array().unwrap().clone()
    });
    records.map(|record| record["body"]["stringValue"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_collector_gets_the_exact_lines_and_a_webhook_the_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let key = SignerKey::generate("audit.example/1").unwrap();
    // Both fail at first.
    let (collector, webhook) = (Receiver::start(503).await, Receiver::start(500).await);
    let file = folder.path().join("audit.jsonl");
    let text = format!(
        "webhooks: [{{name: ops, url: '{}', secret: {{env: HOOK}}}}]\n\
         audit: {{file: {}, signing_key: {{env: AUDIT}}, checkpoint: {{every: 100ms, webhook: ops}}, \
         otlp: {{url: '{}', headers: {{x-tenant: {{env: TENANT}}}}}}}}\n",
        webhook.url,
        file.display(),
        collector.url
    );
    let mut command = command(folder.path(), &text);
    command.env("AUDIT", key.secret()).env("HOOK", SECRET).env("TENANT", "t-1");
    let program = Program::run(command).await;
    let refused = collector.until(1).await;
    assert_eq!(refused[0].headers["x-tenant"], "t-1");
    webhook.until(1).await;
    collector.answers(200);
    webhook.answers(200);
    program.open("s-1").await;
    let handed = tokio::time::timeout(PATIENCE, async {
        loop {
            let received = webhook.until(2).await;
            let metrics = program.call("GET", "/metrics", "").await.text;
            if !metrics.contains(r#"portcullis_webhook_deliveries_total{outcome="delivered",webhook="ops"} 0"#) {
                break received.last().unwrap().json();
            }
        }
    });
    let handed = handed.await.expect("no checkpoint is delivered");
    assert_eq!(
        (&handed["type"], &handed["data"]["origin"]),
        (&json!("portcullis.audit_checkpoint"), &json!("audit.example/1"))
    );
    let checkpoints = std::fs::read_to_string(folder.path().join("audit.jsonl.checkpoints")).unwrap();
    assert!(checkpoints.contains(handed["data"]["checkpoint"].as_str().unwrap()), "{handed}");
    assert_eq!(program.stop().await.0, Some(0));
    let lines: Vec<String> = std::fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    // The batch that was refused came again.
    let bodies = bodies(&collector);
    let first = bodies.iter().rposition(|body| *body == lines[0]).unwrap();
    assert_eq!(bodies[first..], lines[..]);
}
