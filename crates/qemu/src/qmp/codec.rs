//! The framing of QMP: one JSON object a line, replies matched to commands by `id`, every size capped.
//!
//! QEMU is the less trusted side here (a guest may have taken it over), so a line that never ends, a reply to a
//! command that was never sent, a second reply to one that was, or a second greeting ends the conversation with an
//! error.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::command::{Command, Ticket};
use super::event::Event;

/// The longest message that is accepted, in bytes. QEMU's longest by far, its own schema, is about 240 KB.
pub const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// Turns commands into bytes and bytes into messages, for one connection.
#[derive(Debug, Default)]
pub struct Codec {
    buffer: Vec<u8>,
    /// How much of `buffer` is known to hold no line end.
    scanned: usize,
    next_id: u64,
    waiting: BTreeSet<u64>,
    greeted: bool,
}

/// One message from QEMU.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    Greeting(Greeting),
    Reply(Reply),
    Event(Event),
}

/// What QEMU says first: who it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Greeting {
    pub version: super::command::Version,
    /// Protocol capabilities on offer, such as `oob`.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// The answer to the command that carried `id`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub id: u64,
    pub outcome: Outcome,
}

/// What a command came to: its raw return value, or QEMU's refusal.
pub type Outcome = Result<Value, Refusal>;

/// QEMU's error object, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{desc}")]
pub struct Refusal {
    pub class: String,
    pub desc: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("QMP message longer than {MAX_MESSAGE_BYTES} bytes")]
    TooLong,
    #[error("QMP message is not JSON")]
    NotJson(#[source] serde_json::Error),
    #[error("QMP message is neither greeting, reply nor event: `{0}`")]
    NotQmp(String),
    #[error("QMP reply to a command that is not waiting (id {0})")]
    NotWaiting(String),
    #[error("QMP greeting on a connection that has had one")]
    GreetedTwice,
}

impl Codec {
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes that carry out `command`, and the ticket that its reply is read with.
    pub fn encode<C: Command>(&mut self, command: &C) -> (Ticket<C>, Vec<u8>) {
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.insert(id);
        let mut message = Map::new();
        message.insert("execute".into(), C::NAME.into());
        let arguments = command.arguments();
        if !arguments.is_empty() {
            message.insert("arguments".into(), arguments.into());
        }
        message.insert("id".into(), id.into());
        let mut bytes = Value::from(message).to_string().into_bytes();
        bytes.push(b'\n');
        (Ticket::new(id), bytes)
    }

    /// The bytes of a message that somebody else made, under an id of this conversation.
    pub fn encode_raw(&mut self, mut message: Map<String, Value>) -> (u64, Vec<u8>) {
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.insert(id);
        message.insert("id".into(), id.into());
        let mut bytes = Value::from(message).to_string().into_bytes();
        bytes.push(b'\n');
        (id, bytes)
    }

    /// Takes bytes as they arrive, cut anywhere. Whoever reads from the socket calls [`Codec::next`] until it is
    /// empty before pushing more, so that the buffer holds at most one message and one read.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        if self.buffer.len() - self.scanned + bytes.len() > 2 * MAX_MESSAGE_BYTES {
            return Err(CodecError::TooLong);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole message, if it has arrived.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is fallible and resumes when more bytes are pushed"
    )]
    pub fn next(&mut self) -> Result<Option<Incoming>, CodecError> {
        loop {
            let Some(end) = self.buffer.iter().skip(self.scanned).position(|byte| *byte == b'\n') else {
                self.scanned = self.buffer.len();
                return if self.scanned > MAX_MESSAGE_BYTES { Err(CodecError::TooLong) } else { Ok(None) };
            };
            let end = self.scanned + end;
            if end > MAX_MESSAGE_BYTES {
                return Err(CodecError::TooLong);
            }
            let rest = self.buffer.split_off(end + 1);
            let line = std::mem::replace(&mut self.buffer, rest);
            self.scanned = 0;
            if !line.trim_ascii().is_empty() {
                return self.read(&line).map(Some);
            }
        }
    }

    fn read(&mut self, line: &[u8]) -> Result<Incoming, CodecError> {
        let mut message: Map<String, Value> = serde_json::from_slice(line).map_err(CodecError::NotJson)?;
        if let Some(greeting) = message.remove("QMP") {
            // Each greeting is answered, so a peer that greets without end would be answered without end.
            if std::mem::replace(&mut self.greeted, true) {
                return Err(CodecError::GreetedTwice);
            }
            return Greeting::deserialize(greeting).map(Incoming::Greeting).map_err(CodecError::NotJson);
        }
        if let Some(name) = message.get("event").and_then(Value::as_str) {
            let name = name.to_owned();
            let data = message.remove("data").unwrap_or(Value::Null);
            return Ok(Incoming::Event(Event::read(&name, data)));
        }
        let outcome = if let Some(value) = message.remove("return") {
            Ok(value)
        } else if let Some(error) = message.remove("error") {
            Err(Refusal::deserialize(error).map_err(CodecError::NotJson)?)
        } else {
            return Err(CodecError::NotQmp(excerpt(line)));
        };
        let id = message.get("id").and_then(Value::as_u64).filter(|id| self.waiting.remove(id));
        let Some(id) = id else {
            let id = message.get("id").map_or_else(|| "none".into(), |id| excerpt(id.to_string().as_bytes()));
            return Err(CodecError::NotWaiting(id));
        };
        Ok(Incoming::Reply(Reply { id, outcome }))
    }
}

/// Enough of a message to recognise it by, fit for a terminal.
fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..80).unwrap_or(bytes));
    text.trim_end().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::command::{QueryStatus, Quit, RunState};
    use super::*;

    const GREETING: &[u8] = br#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "Debian"}, "capabilities": ["oob"]}}
"#;

    fn all(codec: &mut Codec) -> Vec<Incoming> {
        std::iter::from_fn(|| codec.next().unwrap()).collect()
    }

    #[test]
    fn a_command_is_one_line_with_its_id() {
        let mut codec = Codec::new();
        let (_, first) = codec.encode(&QueryStatus);
        let (_, second) = codec.encode(&Quit);
        assert_eq!(first, b"{\"execute\":\"query-status\",\"id\":0}\n");
        assert_eq!(second, b"{\"execute\":\"quit\",\"id\":1}\n");
    }

    #[test]
    fn replies_come_in_any_order_and_events_between_them() {
        let mut codec = Codec::new();
        let (status, _) = codec.encode(&QueryStatus);
        let (quit, _) = codec.encode(&Quit);
        codec.push(GREETING).unwrap();
        codec
            .push(
                br#"{"return": {}, "id": 1}
{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}
{"error": {"class": "GenericError", "desc": "no"}, "id": 0}
"#,
            )
            .unwrap();
        let messages = all(&mut codec);
        let [
            Incoming::Greeting(greeting),
            Incoming::Reply(first),
            Incoming::Event(Event::Stop),
            Incoming::Reply(second),
        ] = messages.as_slice()
        else {
            panic!("{messages:?}");
        };
        assert_eq!(greeting.version.to_string(), "10.0.2 (Debian)");
        assert_eq!(first.id, quit.id());
        quit.read(first.outcome.clone()).unwrap();
        let error = status.read(second.outcome.clone()).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused query-status: no");
    }

    #[test]
    fn a_typed_reply_is_read() {
        let mut codec = Codec::new();
        let (ticket, _) = codec.encode(&QueryStatus);
        codec.push(b"{\"return\": {\"status\": \"prelaunch\", \"running\": false}, \"id\": 0}\n").unwrap();
        let Some(Incoming::Reply(reply)) = codec.next().unwrap() else { panic!("no reply") };
        assert_eq!(ticket.read(reply.outcome).unwrap().status, RunState::Prelaunch);
    }

    #[track_caller]
    fn refused(bytes: &[u8], expected: &str) {
        let mut codec = Codec::new();
        let _sent = codec.encode(&Quit);
        codec.push(bytes).unwrap();
        let error = loop {
            match codec.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("accepted"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_is_not_qmp_ends_the_conversation() {
        refused(b"hello\n", "QMP message is not JSON");
        refused(b"[1]\n", "QMP message is not JSON");
        refused(b"{}\n", "QMP message is neither greeting, reply nor event: `{}`");
        refused(b"{\"return\": {}}\n", "QMP reply to a command that is not waiting (id none)");
        refused(b"{\"return\": {}, \"id\": 7}\n", "QMP reply to a command that is not waiting (id 7)");
        let twice = b"{\"return\": {}, \"id\": 0}\n{\"return\": {}, \"id\": 0}\n";
        refused(twice, "QMP reply to a command that is not waiting (id 0)");
        refused(&GREETING.repeat(2), "QMP greeting on a connection that has had one");
    }

    #[test]
    fn a_line_that_never_ends_is_refused() {
        let mut codec = Codec::new();
        let chunk = vec![b' '; 1 << 20];
        let error = (0..64).find_map(|_| codec.push(&chunk).err().or_else(|| codec.next().err()));
        assert!(matches!(error, Some(CodecError::TooLong)));
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let mut deep = vec![b'['; 1 << 20];
        deep.push(b'\n');
        refused(&deep, "QMP message is not JSON");
    }

    proptest! {
        #[test]
        fn the_cuts_do_not_matter(cuts in prop::collection::vec(1usize..40, 1..60)) {
            let mut stream = GREETING.to_vec();
            stream.extend_from_slice(b"{\"event\": \"RESUME\"}\r\n\n{\"return\": {}, \"id\": 0}\n");
            let mut whole = Codec::new();
            let _sent = whole.encode(&Quit);
            whole.push(&stream).unwrap();
            let expected = all(&mut whole);

            let mut codec = Codec::new();
            let _sent = codec.encode(&Quit);
            let mut seen = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                codec.push(now).unwrap();
                seen.extend(all(&mut codec));
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut codec = Codec::new();
            codec.push(&bytes).unwrap();
            while let Ok(Some(_)) = codec.next() {}
        }
    }
}
