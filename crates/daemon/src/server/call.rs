//! One call, from its packet to the packet that answers it. Every call is answered, whatever happens.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rpc::error::RemoteError;
use rpc::packet::{self, Header};
use rpc::{Incoming, Message, incoming};

use super::connection::Shared;
use super::stream::{Pieces, Pump};
use crate::service::{self, Answer, Client, Failure, Stream};

/// Answers a call. What is returned is the stream that it opened, to be pumped.
pub(super) async fn answer(shared: Arc<Shared>, message: Message, inbound: Option<Pieces>) -> Option<Pump> {
    let header = message.header;
    let outcome = Caught(Box::pin(outcome(&shared, &message))).await.unwrap_or_else(|| {
        tracing::error!(
            procedure = header.procedure,
            "a call ended in a panic; this is a fault of the daemon"
        );
        Err(Box::new(RemoteError::internal("the daemon failed at this call; its log says where")))
    });
    let (packet, stream) = match outcome {
        Ok((packet, stream)) => (packet, stream),
        Err(error) => return refuse_with(&shared.client, header, &error),
    };
    shared.client.outbox.push(packet);
    let (stream, pieces) = (stream?, inbound?);
    Pump::new(shared, header, stream, pieces)
}

/// The packet that answers a call.
async fn outcome(shared: &Shared, message: &Message) -> Result<(Vec<u8>, Option<Stream>), Failure> {
    let Shared { service, client, .. } = shared;
    let header = message.header;
    let (encoded, stream) = match incoming::read(message, client.rights()) {
        Incoming::Refused(error) => return Err(error),
        Incoming::Remote(call) => match service::remote(service, client, call).await? {
            Answer::Reply(reply) => (reply.encode(header.reply()), None),
            Answer::Payload(bytes) => (packet::encode_bytes(header.reply(), &bytes), None),
            Answer::Stream(reply, stream) => (reply.encode(header.reply()), Some(stream)),
        },
        Incoming::Qemu(call) => (service::qemu(service, call).await?.encode(header.reply()), None),
        Incoming::Ping | Incoming::Pong | Incoming::Stream | Incoming::Ignored => {
            return Err(Box::new(RemoteError::rpc("not a call")));
        }
    };
    match encoded {
        Ok(packet) => Ok((packet, stream)),
        Err(error) => Err(Box::new(RemoteError::rpc(format!(
            "the answer has no form on the wire: {}",
            crate::chain(&error)
        )))),
    }
}

/// Answers with an error.
pub(super) fn refuse(client: &Client, header: Header, why: &str) {
    refuse_with(client, header, &RemoteError::operation_failed(why));
}

fn refuse_with(client: &Client, header: Header, error: &RemoteError<'_>) -> Option<Pump> {
    match packet::encode(header.reply_error(), error) {
        Ok(packet) => client.outbox.push(packet),
        // It is bounded, and has no NUL.
        Err(error) => tracing::error!(%error, "an error cannot be sent"),
    }
    None
}

/// A future whose panic is a result.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    }
}
