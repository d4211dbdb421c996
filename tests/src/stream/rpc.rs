//! gRPC, with tonic.

use super::{End, Line, Refused, Wanted, ended};
use crate::proto::{Text, echo_client::EchoClient};
use futures_util::stream;
use std::net::SocketAddr;
use tokio::sync::mpsc;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

type Speaker = mpsc::UnboundedSender<Text>;

pub(super) async fn open(wanted: &Wanted) -> Result<(Speaker, Streaming<Text>), Refused> {
    let (speaker, mut spoken) = mpsc::unbounded_channel();
    let texts = stream::poll_fn(move |context| spoken.poll_recv(context));
    let mut client = Grpc::new(channel(wanted.address, &wanted.host).await?);
    client.ready().await.map_err(Refused::failed)?;
    let path = PathAndQuery::try_from(wanted.path.as_str()).expect("a path");
    let request = authorized(texts, wanted.token.as_deref());
    let answer = client.streaming(request, path, ProstCodec::<Text, Text>::default()).await;
    answer.map(|answer| (speaker, answer.into_inner())).map_err(refused)
}

/// A call whose answer never comes.
pub(crate) async fn wait(address: SocketAddr, host: &str, token: &str) -> Refused {
    let answer = match channel(address, host).await.map(EchoClient::new) {
        Ok(mut client) => client.wait(authorized(Text::default(), Some(token))).await.map_err(refused),
        Err(refused) => Err(refused),
    };
    answer.map(|_| ()).expect_err("the upstream never answers")
}

async fn channel(address: SocketAddr, host: &str) -> Result<Channel, Refused> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an endpoint");
    let origin = format!("http://{host}").parse().expect("an origin");
    endpoint.origin(origin).connect().await.map_err(Refused::failed)
}

fn authorized<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("a metadata value");
        request.metadata_mut().insert("authorization", value);
    }
    request
}

fn refused(status: Status) -> Refused {
    Refused { status: status.code() as u16, text: status.message().to_owned() }
}

pub(super) async fn run(speaker: Speaker, mut texts: Streaming<Text>, mut line: Line) -> End {
    loop {
        tokio::select! {
            said = line.mouth.recv() => {
                let text = Text { text: "hello".to_owned() };
                let sent = said.is_some() && speaker.send(text).is_ok();
                // The stream says how it ended when it is read.
                if !sent && said.is_none() {
                    return ended(false, "the client left");
                }
            }
            heard = texts.message() => match heard {
                Ok(Some(_)) => line.hear(),
                Ok(None) => return ended(false, "the end of the stream"),
                Err(status) => return ended(true, status),
            },
        }
    }
}
