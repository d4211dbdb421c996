//! Generates the check stream's messages, for the fake session service, and the gRPC service of the upstream.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let check = "../session/proto/portcullis/check/v1/check.proto";
    let echo = "proto/echo.proto";
    println!("cargo:rerun-if-changed={check}");
    println!("cargo:rerun-if-changed={echo}");
    let descriptors = protox::compile([check, echo], ["../session/proto", "proto"])?;
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
