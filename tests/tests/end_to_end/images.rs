//! The images that `deploy/image.sh` makes, read back as registries, loaders and container runtimes read them.

use portcullis_tests::{Client, Process, dist, free_port, local, root, until};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

const USER: u32 = 65_532;
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A service image that grows beyond this holds something that it does not need. CI's is built without optimization, and is half
/// as large again as what is shipped.
const SERVICE_BYTES_MAX: u64 = 20 << 20;

fn command(program: &str) -> Command {
    let mut command = Command::new(root().join("deploy/tools.sh"));
    command.args(["run", program]).current_dir(root());
    command
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().expect("a program that can be run");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn temporary() -> TempDir {
    tempfile::Builder::new().prefix("portcullis-").tempdir().expect("a temporary directory")
}

fn make() -> TempDir {
    let dir = temporary();
    run(Command::new(root().join("deploy/image.sh")).arg(dir.path()));
    dir
}

/// An image in an OCI layout.
struct Image {
    layout: PathBuf,
    manifest: Value,
}

impl Image {
    fn open(images: &Path, name: &str) -> Self {
        let layout = images.join(name);
        let index: Value =
            serde_json::from_slice(&fs::read(layout.join("index.json")).expect("an index")).expect("JSON");
        let [of] = &index["manifests"].as_array().expect("manifests")[..] else { panic!("one image: {index}") };
        let version = &of["annotations"]["org.opencontainers.image.ref.name"];
        assert_eq!(*version, env!("CARGO_PKG_VERSION"), "the tag of {name}");
        assert_eq!(of["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        let mut image = Self { layout, manifest: Value::Null };
        image.manifest = serde_json::from_slice(&image.blob(of)).expect("JSON");
        image
    }

    /// What a descriptor refers to, which must have its digest and size.
    fn blob(&self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().expect("a digest");
        let content = fs::read(self.path(descriptor)).expect("a blob");
        let hex: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(format!("sha256:{hex}"), digest);
        assert_eq!(descriptor["size"], content.len(), "{digest}");
        content
    }

    fn path(&self, descriptor: &Value) -> PathBuf {
        self.layout.join("blobs").join(descriptor["digest"].as_str().expect("a digest").replace(':', "/"))
    }

    fn config(&self) -> Value {
        assert_eq!(self.manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
        serde_json::from_slice(&self.blob(&self.manifest["config"])).expect("JSON")
    }

    /// The archive of its only layer.
    fn layer(&self) -> PathBuf {
        let [layer] = &self.manifest["layers"].as_array().expect("layers")[..] else { panic!("one layer") };
        assert_eq!(layer["mediaType"], LAYER);
        self.blob(layer);
        self.path(layer)
    }

    fn unpack(&self, dir: &Path) {
        run(Command::new("tar").args(["-xpzf"]).arg(self.layer()).arg("-C").arg(dir));
    }

    fn bytes(&self) -> u64 {
        fs::metadata(self.layer()).expect("a layer").len()
    }
}

#[test]
#[ignore = "fetches Debian's umoci: part of `make test-faults`"]
fn the_module_is_in_the_only_layer_under_the_name_that_loaders_look_for() {
    let images = make();
    let image = Image::open(images.path(), "portcullis");
    // Loaders take a manifest that names Docker's media type for a Docker image, whose layers have another type.
    assert!(matches!(image.manifest["mediaType"].as_str(), None | Some("application/vnd.oci.image.manifest.v1+json")));
    assert_eq!(run(Command::new("tar").arg("-tzf").arg(image.layer())), "plugin.wasm\n");
    let dir = temporary();
    image.unpack(dir.path());
    let module = fs::read(dir.path().join("plugin.wasm")).expect("the module");
    assert!(module == fs::read(dist("portcullis.wasm")).expect("dist/portcullis.wasm"), "another module");
}

#[test]
#[ignore = "fetches Debian's umoci: part of `make test-faults`"]
fn the_service_image_is_small_runs_as_nobody_and_holds_only_the_service() {
    let images = make();
    let image = Image::open(images.path(), "portcullis-session");
    assert!(image.bytes() < SERVICE_BYTES_MAX, "{} bytes", image.bytes());
    let config = image.config();
    let expected = json!({
        "User": format!("{USER}:{USER}"),
        "Entrypoint": ["/usr/bin/portcullis-session"],
        "Cmd": ["--config", "/etc/portcullis/session.yaml"],
        "ExposedPorts": {"7070/tcp": {}, "7071/tcp": {}},
        "Volumes": {"/var/lib/portcullis": {}},
        "StopSignal": "SIGTERM",
    });
    assert_eq!(config["config"], expected);
    let listing = run(Command::new("tar").args(["--numeric-owner", "-tvzf"]).arg(image.layer()));
    for line in listing.lines() {
        let is_store = line.ends_with(" var/lib/portcullis/");
        assert!(line.contains(if is_store { " 65532/65532 " } else { " 0/0 " }), "{line}");
        let mode = line.get(..10).expect("a mode");
        let others = mode.get(4..).expect("a mode");
        assert!(!others.contains('w') && !mode.contains('s') && !mode.contains('l'), "{line}");
    }
    let programs: Vec<_> = listing.lines().filter(|line| line.contains("bin/") && line.starts_with('-')).collect();
    assert!(programs.len() == 1 && programs[0].ends_with(" usr/bin/portcullis-session"), "{programs:?}");
}

#[test]
#[ignore = "fetches Debian's umoci: part of `make test-faults`"]
fn the_same_build_makes_the_same_images() {
    let (one, other) = (make(), make());
    for name in ["portcullis", "portcullis-session"] {
        let [one, other] = [&one, &other].map(|images| Image::open(images.path(), name).manifest);
        assert_eq!(one, other, "{name}");
    }
}

#[test]
#[ignore = "fetches Debian's skopeo: part of `make test-faults`"]
fn skopeo_reads_and_copies_both_images() {
    let images = make();
    for name in ["portcullis", "portcullis-session"] {
        let image = Image::open(images.path(), name);
        let source = format!("oci:{}:{}", image.layout.display(), env!("CARGO_PKG_VERSION"));
        let inspected: Value = serde_json::from_str(&run(command("skopeo").args(["inspect", &source]))).expect("JSON");
        assert_eq!(inspected["Layers"], json!([image.manifest["layers"][0]["digest"]]));
        let copy = images.path().join(format!("{name}.copy"));
        let target = format!("dir:{}", copy.display());
        // Without the machine's policy for images, which may not exist.
        run(command("skopeo").args(["--insecure-policy", "copy", "--quiet", &source, &target]));
        let copied = fs::read(copy.join("manifest.json")).expect("a manifest");
        assert_eq!(serde_json::from_slice::<Value>(&copied).expect("JSON"), image.manifest);
    }
}

/// Runs the image as a container runtime does: its own root, read-only, its own user; only the store can be written.
fn contained(root: &Path, config: &Path, store: &Path, process: &Value) -> Command {
    const SCRIPT: &str = r#"
        set -e
        mount --bind "$1" "$1"
        mount -o remount,ro,bind "$1"
        mount --bind "$2" "$1/etc/portcullis"
        mount --bind "$3" "$1/var/lib/portcullis"
        user=$4 root=$1
        shift 4
        exec chroot --userspec="$user" "$root" "$@""#;
    let words = ["Entrypoint", "Cmd"].map(|key| process[key].as_array().expect("words").clone()).concat();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT, "sh"]).args([root, config, store]);
    command.arg(process["User"].as_str().expect("a user")).args(words.iter().map(|word| word.as_str().expect("text")));
    command
}

#[tokio::test]
#[ignore = "fetches Debian's umoci: part of `make test-faults`"]
async fn the_service_runs_from_its_image_without_privileges_on_a_read_only_root() {
    let images = make();
    let image = Image::open(images.path(), "portcullis-session");
    let dirs = ["root", "etc", "store"].map(|name| images.path().join(name));
    for dir in &dirs {
        fs::create_dir(dir).expect("a directory");
    }
    let [root, etc, store] = dirs;
    image.unpack(&root);
    if fs::metadata(root.join("var/lib/portcullis")).expect("the folder of the store").uid() != USER {
        eprintln!("» SKIPPED: only root can run the image of the session service");
        return;
    }
    std::os::unix::fs::chown(&store, Some(USER), Some(USER)).expect("root can do it");
    let ports = [free_port(), free_port()];
    let config = json!({
        "listen": local(ports[0]).to_string(),
        "admin": local(ports[1]).to_string(),
        "filter_credential": {"file": "/etc/portcullis/filter"},
        "admin_credential": {"file": "/etc/portcullis/admin"},
        "store": {"embedded": {"path": "/var/lib/portcullis/store"}},
    });
    fs::write(etc.join("session.yaml"), config.to_string()).expect("a file");
    fs::write(etc.join("filter"), "a credential of the filter's").expect("a file");
    fs::write(etc.join("admin"), "a credential of the admin's").expect("a file");
    let mut command = contained(&root, &etc, &store, &image.config()["config"]);
    let mut process = Process::start(&mut command, images.path(), "contained");
    let client = Client::new(local(ports[1]));
    until("the contained service is ready", async || {
        process.must_live();
        let answer = client.get("/readyz").fresh().try_send().await.ok()?;
        answer.status.is_success().then_some(())
    })
    .await;
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("the state of a process");
    let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).expect("a key").trim().to_owned();
    assert_eq!(value("Uid:"), format!("{USER}\t{USER}\t{USER}\t{USER}"));
    assert_eq!(value("CapEff:"), "0000000000000000");
    process.terminate();
    let ended = until("the contained service ends", async || process.ended()).await;
    assert!(ended.success(), "{ended}: {}", process.err());
    assert!(store.join("store").exists());
}
