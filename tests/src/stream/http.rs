//! Server-sent events and downloads, with hyper.

use super::{
    control::Control,
    end::{End, Refused},
    kind::{Kind, StreamRequest},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

pub(super) async fn open(wanted: &StreamRequest) -> Result<Incoming, Refused> {
    let connection = TcpStream::connect(wanted.address).await.map_err(Refused::failed)?;
    let connection = TokioIo::new(connection);
    let response = match wanted.kind {
        Kind::EventsHttp2 | Kind::DownloadHttp2 | Kind::QuietHttp2 => {
            let handshake = conn::http2::handshake(TokioExecutor::new(), connection).await;
            let (mut sender, driver) = handshake.map_err(Refused::failed)?;
            tokio::spawn(driver);
            sender.send_request(request(wanted, &format!("http://{}", wanted.host))).await
        }
        _ => {
            let (mut sender, driver) = conn::http1::handshake(connection).await.map_err(Refused::failed)?;
            tokio::spawn(driver);
            sender.send_request(request(wanted, "")).await
        }
    };
    whole(response.map_err(Refused::failed)?).await
}

fn request(wanted: &StreamRequest, origin: &str) -> Request<Empty<Bytes>> {
    let mut request = Request::get(format!("{origin}{}", wanted.path));
    for (name, value) in &wanted.headers {
        request = request.header(name, value.as_slice());
    }
    // In h2 the host is the origin's.
    let request = if origin.is_empty() { request.header("host", &wanted.host) } else { request };
    request.body(Empty::new()).expect("a request")
}

async fn whole(response: Response<Incoming>) -> Result<Incoming, Refused> {
    if response.status().is_success() {
        return Ok(response.into_body());
    }
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(Refused::failed)?;
    Err(Refused { status, text: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
}

pub(super) async fn run(mut body: Incoming, control: Control) -> End {
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(_) => control.count_received(),
            Err(fault) => return End::now(true, fault),
        }
    }
    End::now(false, "the end of the body")
}
