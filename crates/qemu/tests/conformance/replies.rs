//! Recorded QMP replies: what QEMU 10.0.0 answered to each command.

use std::{fs, path::Path};

use qemu::{
    Caps,
    caps::Queries,
    qmp::{Codec, Refusal, Reply},
};
use serde_json::Value;

/// The capabilities by a recording, which is a list of requests, each followed by its reply.
pub(crate) fn caps(file: &Path) -> Caps {
    let text = fs::read_to_string(file).unwrap();
    let documents: Vec<Value> = text
        .split("\n\n")
        .filter(|text| !text.trim().is_empty())
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let mut codec = Codec::new();
    let (queries, bytes) = Queries::encode(&mut codec);
    let replies: Vec<Reply> = String::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(|line| {
            let request: Value = serde_json::from_str(line).unwrap();
            answer(&request, &documents)
        })
        .collect();
    Caps::from_replies(&queries, &replies).unwrap()
}

/// The first recorded reply to a command of the same name.
fn answer(request: &Value, documents: &[Value]) -> Reply {
    let asked = documents.iter().position(|document| document.get("execute") == request.get("execute"));
    let recorded = &documents[asked.unwrap_or_else(|| panic!("no reply to {request}")) + 1];
    let outcome = match (recorded.get("return"), recorded.get("error")) {
        (Some(value), _) => Ok(value.clone()),
        (None, error) => {
            let text =
                |key: &str| error.and_then(|error| error.get(key)?.as_str()).unwrap_or_default().to_owned();
            Err(Refusal { class: text("class"), desc: text("desc") })
        }
    };
    Reply { id: request.get("id").unwrap().as_u64().unwrap(), outcome }
}
