//! Generates the messages of the check stream from the one `.proto` file that filter and service share.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "../session/proto/portcullis/check/v1/check.proto";
    println!("cargo:rerun-if-changed={proto}");
    let descriptors = protox::compile([proto], ["../session/proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
