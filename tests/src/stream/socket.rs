//! Websockets, with tokio-tungstenite.

use super::{
    control::Control,
    end::{End, Refused},
    kind::StreamRequest,
};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        ClientRequestBuilder, Error, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue},
    },
};

type Socket = WebSocketStream<TcpStream>;

pub(super) async fn open(wanted: &StreamRequest) -> Result<Socket, Refused> {
    let connection = TcpStream::connect(wanted.address).await.map_err(Refused::failed)?;
    let uri = format!("ws://{}{}", wanted.address, wanted.path).parse().expect("a request target");
    let mut request = ClientRequestBuilder::new(uri).into_client_request().expect("a request");
    for (name, value) in &wanted.headers {
        let name: HeaderName = name.parse().expect("a header name");
        request.headers_mut().append(name, HeaderValue::from_bytes(value).expect("a header value"));
    }
    request.headers_mut().insert("host", HeaderValue::from_str(&wanted.host).expect("a host"));
    match tokio_tungstenite::client_async(request, connection).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            Err(Refused { status: response.status().as_u16(), text: String::from_utf8_lossy(body).into_owned() })
        }
        Err(fault) => Err(Refused::failed(fault)),
    }
}

pub(super) async fn run(mut socket: Socket, mut control: Control) -> End {
    loop {
        tokio::select! {
            send = control.to_send.recv() => {
                let Some(()) = send else { return End::now(false, "the client left") };
                if let Err(fault) = socket.send(Message::text("hello")).await {
                    return End::now(true, fault);
                }
            }
            received = socket.next() => match received {
                Some(Ok(Message::Close(frame))) => return End::now(true, frame),
                Some(Ok(_)) => control.count_received(),
                Some(Err(fault)) => return End::now(true, fault),
                None => return End::now(true, "the end of the connection"),
            },
        }
    }
}
