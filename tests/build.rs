//! Generates the gRPC service of the tests' upstream.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let echo = "proto/echo.proto";
    println!("cargo:rerun-if-changed={echo}");
    let descriptors = protox::compile([echo], ["proto"])?;
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
