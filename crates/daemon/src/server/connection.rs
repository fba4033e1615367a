//! One connection: reads packets, has them answered, writes the answers.

use std::io;
use std::sync::Arc;

use rpc::error::RemoteError;
use rpc::remote::{Call, Reply};
use rpc::{Decoder, Incoming, Limit, Message, keepalive, packet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::service::{self, Answer, Client, Service};

pub(super) async fn serve(
    service: Arc<Service>,
    client: Arc<Client>,
    mut stream: UnixStream,
) -> io::Result<()> {
    let mut decoder = Decoder::new(Limit::Full);
    let mut buffer = vec![0u8; 16 << 10];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let mut input = buffer.get(..length).unwrap_or_default();
        while let Some(message) = decoder.advance(&mut input).map_err(io::Error::other)? {
            if let Some(answer) = answer(&service, &client, &message).await {
                stream.write_all(&answer).await?;
            }
        }
    }
}

async fn answer(service: &Arc<Service>, client: &Client, message: &Message) -> Option<Vec<u8>> {
    let header = message.header;
    let result = match rpc::incoming::read(message, client.rights()) {
        Incoming::Ping => return Some(keepalive::Procedure::Pong.packet().to_vec()),
        Incoming::Pong | Incoming::Stream | Incoming::Ignored => return None,
        Incoming::Refused(error) => Err(error),
        Incoming::Remote(Call::AuthList(())) => {
            Ok(Answer::Reply(Reply::AuthList(vec![rpc::remote::connect::auth::NONE].into())))
        }
        Incoming::Remote(call) => service::remote(service, client, call).await,
        Incoming::Qemu(call) => {
            let procedure = call.procedure();
            Err(Box::new(RemoteError::unknown_procedure(procedure.number(), Some(&procedure))))
        }
    };
    let encoded = match result {
        Ok(Answer::Reply(reply) | Answer::Stream(reply, _)) => reply.encode(header.reply()),
        Err(error) => packet::encode(header.reply_error(), &*error),
    };
    encoded.inspect_err(|error| tracing::warn!(%error, "an answer cannot be sent")).ok()
}
