//! gRPC streams, with tonic.

use super::{
    control::Control,
    end::{End, Refused},
    kind::StreamRequest,
};
use crate::proto::{Text, echo_client::EchoClient};
use futures_util::stream;
use std::net::SocketAddr;
use tokio::sync::mpsc;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{AsciiMetadataKey, AsciiMetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

type Sender = mpsc::UnboundedSender<Text>;

pub(super) async fn open(wanted: &StreamRequest) -> Result<(Sender, Streaming<Text>), Refused> {
    let (sender, mut sent) = mpsc::unbounded_channel();
    let texts = stream::poll_fn(move |context| sent.poll_recv(context));
    let mut client = Grpc::new(channel(wanted.address, &wanted.host).await?);
    client.ready().await.map_err(Refused::failed)?;
    let path = PathAndQuery::try_from(wanted.path.as_str()).expect("a path");
    let mut request = Request::new(texts);
    for (name, value) in &wanted.headers {
        let name: AsciiMetadataKey = name.parse().expect("a metadata key");
        request.metadata_mut().append(name, AsciiMetadataValue::try_from(value.as_slice()).expect("a metadata value"));
    }
    let answer = client.streaming(request, path, ProstCodec::<Text, Text>::default()).await;
    answer.map(|answer| (sender, answer.into_inner())).map_err(refused)
}

/// Makes a call that the upstream never answers; returns how it ended.
pub(crate) async fn wait(address: SocketAddr, host: &str, token: &str) -> Refused {
    let answer = match channel(address, host).await.map(EchoClient::new) {
        Ok(mut client) => {
            let mut request = Request::new(Text::default());
            let value = format!("Bearer {token}").parse().expect("a metadata value");
            request.metadata_mut().insert("authorization", value);
            client.wait(request).await.map_err(refused)
        }
        Err(refused) => Err(refused),
    };
    answer.map(|_| ()).expect_err("the upstream never answers")
}

async fn channel(address: SocketAddr, host: &str) -> Result<Channel, Refused> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an endpoint");
    let origin = format!("http://{host}").parse().expect("an origin");
    endpoint.origin(origin).connect().await.map_err(Refused::failed)
}

fn refused(status: Status) -> Refused {
    Refused { status: status.code() as u16, text: status.message().to_owned() }
}

pub(super) async fn run(sender: Sender, mut texts: Streaming<Text>, mut control: Control) -> End {
    loop {
        tokio::select! {
            send = control.to_send.recv() => {
                let text = Text { text: "hello".to_owned() };
                let sent = send.is_some() && sender.send(text).is_ok();
                // A send that fails is explained by the status that is read next.
                if !sent && send.is_none() {
                    return End::now(false, "the client left");
                }
            }
            received = texts.message() => match received {
                Ok(Some(_)) => control.count_received(),
                Ok(None) => return End::now(false, "the end of the stream"),
                Err(status) => return End::now(true, status),
            },
        }
    }
}
