//! The servers behind Envoy. Each is the same for all rows and does almost nothing, so that the bench measures Envoy.

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use portcullis_tests::local;
use proto::{
    CheckRequest, CheckResponse,
    authorization_server::{Authorization, AuthorizationServer},
};
use std::convert::Infallible;
use tokio::net::{TcpListener, TcpStream};
use tonic::Status;

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/envoy.service.auth.v3.rs"));
}

/// Where released requests go. Not the echo of the end-to-end tests: making its JSON would cost more than some of the rows.
pub(crate) async fn upstream(port: u16) {
    serve(port, |stream| async {
        let answer = service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(ok()));
        // The client may close the connection at any time.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
    })
    .await;
}

/// The external authorization server of the peers: OK to everything, over gRPC and over plain HTTP. Of a gRPC request it
/// decodes nothing, and it runs on as many threads as the session service does.
pub(crate) async fn authz(port: u16) {
    let grpc = TowerToHyperService::new(AuthorizationServer::new(Always));
    serve(port, move |stream| {
        let grpc = grpc.clone();
        async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let grpc = grpc.clone();
                async move {
                    if request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc") {
                        return hyper::service::Service::call(&grpc, request)
                            .await
                            .map(|answer| answer.map(tonic::body::Body::new));
                    }
                    Ok(ok().map(tonic::body::Body::new))
                }
            });
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
        }
    })
    .await;
}

fn ok() -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(b"ok\n")))
}

async fn serve<F: Future<Output = ()> + Send + 'static>(port: u16, talk: impl Fn(TcpStream) -> F) {
    let listener = TcpListener::bind(local(port)).await.expect("the port is free");
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // As Envoy does. Otherwise Nagle's algorithm delays small answers.
            let _ = stream.set_nodelay(true);
            tokio::spawn(talk(stream));
        }
    }
}

struct Always;

#[tonic::async_trait]
impl Authorization for Always {
    async fn check(&self, _: tonic::Request<CheckRequest>) -> Result<tonic::Response<CheckResponse>, Status> {
        Ok(tonic::Response::new(CheckResponse { status: Some(proto::Status::default()) }))
    }
}
