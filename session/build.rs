//! Generates the messages and the service of the check stream from the `.proto` file that the filter shares.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "proto/portcullis/check/v1/check.proto";
    println!("cargo:rerun-if-changed={proto}");
    let descriptors = protox::compile([proto], ["proto"])?;
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
