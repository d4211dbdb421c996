//! gRPC, with tonic.

use super::{End, Line, Refused, Wanted, ended};
use crate::proto::{Text, echo_client::EchoClient};
use futures_util::stream;
use std::net::SocketAddr;
use tokio::sync::mpsc;
use tonic::{
    Request, Status, Streaming,
    transport::{Channel, Endpoint},
};

type Speaker = mpsc::UnboundedSender<Text>;

pub(super) async fn open(wanted: &Wanted) -> Result<(Speaker, Streaming<Text>), Refused> {
    let (speaker, mut spoken) = mpsc::unbounded_channel();
    let texts = stream::poll_fn(move |context| spoken.poll_recv(context));
    let mut client = client(wanted.address, &wanted.host).await?;
    let answer = client.talk(authorized(texts, &wanted.token)).await;
    answer.map(|answer| (speaker, answer.into_inner())).map_err(refused)
}

/// A call whose answer never comes.
pub(crate) async fn wait(address: SocketAddr, host: &str, token: &str) -> Refused {
    let answer = match client(address, host).await {
        Ok(mut client) => client.wait(authorized(Text::default(), token)).await.map_err(refused),
        Err(refused) => Err(refused),
    };
    answer.map(|_| ()).expect_err("the upstream never answers")
}

async fn client(address: SocketAddr, host: &str) -> Result<EchoClient<Channel>, Refused> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an endpoint");
    let origin = format!("http://{host}").parse().expect("an origin");
    Ok(EchoClient::new(endpoint.origin(origin).connect().await.map_err(Refused::failed)?))
}

fn authorized<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("a metadata value");
    request.metadata_mut().insert("authorization", value);
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
