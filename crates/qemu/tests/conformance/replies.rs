//! A peer that speaks QMP out of a recording: it answers a command by its name and its arguments, in whatever order it
//! is asked, and a command that was not recorded fails the test by its name.

use std::{fs, path::Path};

use qemu::{
    Caps,
    caps::{Part, Queries},
    qmp::{Codec, Incoming, command::QmpCapabilities},
};
use serde_json::{Value, json};

/// What QEMU 10.0.0 answered to libvirt when it ran with KVM.
pub(crate) struct Peer {
    /// Requests and their replies.
    recorded: Vec<(Value, Value)>,
}

impl Peer {
    /// Reads a recording: requests, each followed by its reply, of one start with KVM and then of one without.
    pub(crate) fn open(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let documents: Vec<Value> = text
            .split("\n\n")
            .filter(|text| !text.trim().is_empty())
            .map(|text| serde_json::from_str(text).unwrap())
            .collect();
        let negotiates = |document: &Value| document.get("execute") == Some(&json!("qmp_capabilities"));
        let second = documents.iter().skip(1).position(negotiates).map_or(documents.len(), |at| at + 1);
        let recorded =
            documents[..second].chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        Self { recorded }
    }

    /// What it says to these bytes, a greeting first.
    fn speak(&self, requests: &[u8]) -> String {
        let greeting =
            json!({"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 0}, "package": ""}}});
        let requests = std::str::from_utf8(requests).unwrap().lines();
        let answer = |line| self.answer(&serde_json::from_str(line).unwrap());
        let replies = requests.map(|line| answer(line).unwrap_or_else(|unknown| panic!("{unknown}")));
        std::iter::once(greeting).chain(replies).map(|message| format!("{message}\r\n")).collect()
    }

    fn answer(&self, request: &Value) -> Result<Value, String> {
        let same = |key: &str, recorded: &Value| recorded.get(key) == request.get(key);
        let (_, reply) = self
            .recorded
            .iter()
            .find(|(recorded, _)| same("execute", recorded) && same("arguments", recorded))
            .ok_or_else(|| format!("not recorded: {request}"))?;
        let mut reply = reply.clone();
        reply["id"] = request["id"].clone();
        Ok(reply)
    }

    /// The capabilities by its answers, off the wire.
    pub(crate) fn caps(&self, parts: &[Part]) -> Caps {
        let mut codec = Codec::new();
        let (negotiate, mut bytes) = codec.encode(&QmpCapabilities);
        let (queries, rest) = Queries::encode(&mut codec, parts);
        bytes.extend(rest);
        codec.push(self.speak(&bytes).as_bytes()).unwrap();
        let messages = std::iter::from_fn(|| codec.next().unwrap());
        let replies: Vec<_> = messages
            .filter_map(|message| if let Incoming::Reply(reply) = message { Some(reply) } else { None })
            .collect();
        assert_eq!(replies.len(), queries.count() + 1);
        negotiate.read(replies[0].outcome.clone()).unwrap();
        Caps::from_replies(&queries, &replies).unwrap()
    }
}

#[test]
fn a_peer_answers_by_name_and_arguments() {
    let asks = |typename: &str| json!({"execute": "qom-list-properties", "arguments": {"typename": typename}, "id": 7});
    let peer = Peer { recorded: vec![(asks("a"), json!({"return": 1})), (asks("b"), json!({"return": 2}))] };
    assert_eq!(peer.answer(&asks("b")), Ok(json!({"return": 2, "id": 7})));
    let unknown = peer.answer(&asks("c")).unwrap_err();
    assert_eq!(unknown, format!("not recorded: {}", asks("c")));
    peer.answer(&json!({"execute": "qom-list-properties", "id": 7})).unwrap_err();
}
