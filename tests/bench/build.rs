//! Generates the service that stands in for an external authorization server.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let authz = "proto/authz.proto";
    println!("cargo:rerun-if-changed={authz}");
    let descriptors = protox::compile([authz], ["proto"])?;
    tonic_prost_build::configure().build_client(false).compile_fds(descriptors)?;
    Ok(())
}
