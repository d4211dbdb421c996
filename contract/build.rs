//! Generates the messages of the check stream and, with the feature `grpc`, its client and server.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "proto/portcullis/check/v1/check.proto";
    println!("cargo:rerun-if-changed={proto}");
    let descriptors = protox::compile([proto], ["proto"])?;
    let grpc = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(grpc)
        .build_server(grpc)
        .build_transport(false)
        .codec_path("crate::codec::BoundedCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
