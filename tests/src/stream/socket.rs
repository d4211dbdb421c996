//! Websockets, with tokio-tungstenite.

use super::{End, Line, Refused, Wanted, ended};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{ClientRequestBuilder, Error, Message, client::IntoClientRequest, http::HeaderValue},
};

type Socket = WebSocketStream<TcpStream>;

pub(super) async fn open(wanted: &Wanted) -> Result<Socket, Refused> {
    let connection = TcpStream::connect(wanted.address).await.map_err(Refused::failed)?;
    let uri = format!("ws://{}{}", wanted.address, wanted.path).parse().expect("a request target");
    let mut request = ClientRequestBuilder::new(uri);
    if let Some(token) = &wanted.token {
        request = request.with_header("authorization", format!("Bearer {token}"));
    }
    let mut request = request.into_client_request().expect("a request");
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

pub(super) async fn run(mut socket: Socket, mut line: Line) -> End {
    loop {
        tokio::select! {
            said = line.mouth.recv() => {
                let Some(()) = said else { return ended(false, "the client left") };
                if let Err(fault) = socket.send(Message::text("hello")).await {
                    return ended(true, fault);
                }
            }
            heard = socket.next() => match heard {
                Some(Ok(Message::Close(frame))) => return ended(true, frame),
                Some(Ok(_)) => line.hear(),
                Some(Err(fault)) => return ended(true, fault),
                None => return ended(true, "the end of the connection"),
            },
        }
    }
}
