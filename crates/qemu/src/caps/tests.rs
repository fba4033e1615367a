//! Answers in, capabilities out.

use serde_json::json;

use super::*;
use crate::qmp::{Codec, Incoming, Outcome, Refusal};

fn refuse(desc: &str) -> Outcome {
    Err(Refusal { class: "GenericError".into(), desc: desc.into() })
}

/// In the order of [`Queries`] without [`Part::Extent`].
fn answers() -> Vec<Outcome> {
    let mut answers = vec![
        Ok(json!({"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": "Debian 1:10.0.2"})),
        Ok(json!({"arch": "x86_64"})),
        Ok(json!({"enabled": true, "present": true})),
        Ok(json!([
            {"name": "pc-q35-10.0", "alias": "q35", "cpu-max": 4096, "hotpluggable-cpus": true},
            {"name": "none", "cpu-max": 1}
        ])),
        Ok(json!([{"name": "EPYC-v4", "unavailable-features": ["sha-ni"], "static": false}])),
        refuse("CPU model 'host' requires KVM or HVF"),
        Ok(json!([
            {"name": "virtio-rng-pci", "parent": "virtio-rng-pci-base-type"},
            {"name": "sev-guest", "parent": "sev-common"}
        ])),
        refuse("SEV is not enabled in KVM"),
    ];
    for name in ["EPYC", "EPYC-Rome", "EPYC-Milan", "EPYC-Genoa", "EPYC-Turin", "qemu64", "max"] {
        answers.push(if name == "EPYC-Milan" {
            let props = json!({"family": 25, "model": 1, "stepping": 1, "aes": true});
            Ok(json!({"model": {"name": name, "props": props}}))
        } else {
            refuse("The CPU model is unknown")
        });
    }
    answers
}

/// What [`Part::Extent`] asks besides.
fn extent_answers() -> Vec<Outcome> {
    let schema = json!([
        {"name": "query-vnc", "meta-type": "command", "arg-type": "0", "ret-type": "1"},
        {"name": "query-display-options", "meta-type": "command", "arg-type": "0", "ret-type": "2"},
        {"name": "netdev_add", "meta-type": "command", "arg-type": "3", "ret-type": "0"},
        {"name": "2", "meta-type": "object", "variants": [{"case": "sdl", "type": "0"}], "members": []},
        {"name": "3", "meta-type": "object", "variants": [{"case": "user", "type": "4"}], "members": []},
        {"name": "sdl", "meta-type": "event", "arg-type": "0"}
    ]);
    let options =
        json!([{"option": "run-with", "parameters": [{"name": "async-teardown", "type": "boolean"}]}]);
    vec![
        Ok(schema),
        Ok(options),
        Ok(json!(["tpm-tis"])),
        refuse("The command query-tpm-types has not been found"),
        Ok(json!([{"name": "migratable", "type": "bool"}])),
        refuse("Class 'generic-pc-machine' not found"),
        Ok(
            json!({"sgx": true, "flc": true, "sgx1": true, "sgx2": false, "sections": [{"node": 0, "size": 4096}]}),
        ),
    ]
}

fn ask(parts: &[Part], answers: Vec<Outcome>) -> Result<Caps, CapsError> {
    let mut codec = Codec::new();
    let (queries, sent) = Queries::encode(&mut codec, parts);
    assert_eq!(sent.iter().filter(|byte| **byte == b'\n').count(), queries.count());
    let mut replies: Vec<Reply> = (0u64..).zip(answers).map(|(id, outcome)| Reply { id, outcome }).collect();
    replies.reverse();
    Caps::from_replies(&queries, &replies)
}

fn caps(answers: Vec<Outcome>) -> Result<Caps, CapsError> {
    ask(&[Part::Signatures], answers)
}

#[test]
fn replies_become_capabilities() {
    let caps = caps(answers()).unwrap();
    assert_eq!(caps.machine("q35").map(|machine| machine.name.as_str()), Some("pc-q35-10.0"));
    let milan = Some(CpuSignature { family: 25, model: 1, stepping: 1 });
    assert_eq!(caps.signature("EPYC-Milan"), milan);
    assert_eq!(caps.signature("EPYC-Milan-v2"), milan);
    assert_eq!(caps.signature("host"), None);
    assert!(caps.has("sev-guest") && caps.has("virtio-rng-pci") && !caps.has("sev-snp-guest"));
    assert!(caps.at_least(9, 1) && caps.at_least(10, 0) && !caps.at_least(10, 1));
    assert_eq!(caps.sev, Err("SEV is not enabled in KVM".into()));
}

#[test]
fn the_stored_form_reads_back() {
    let mut answers = answers();
    if let Some(sev) = answers.get_mut(7) {
        *sev = Ok(json!({"pdh": "AA==", "cert-chain": "AA==", "cbitpos": 51, "reduced-phys-bits": 1}));
    }
    let caps = caps(answers).unwrap();
    let stored = serde_json::to_string(&caps).unwrap();
    assert_eq!(serde_json::from_str::<Caps>(&stored).unwrap(), caps);
}

#[test]
fn a_refused_or_missing_answer_is_named() {
    let mut answers = answers();
    if let Some(target) = answers.get_mut(1) {
        *target = refuse("no");
    }
    assert_eq!(caps(answers.clone()).unwrap_err().to_string(), "QEMU refused query-target: no");
    answers.clear();
    assert_eq!(caps(answers).unwrap_err().to_string(), "QEMU did not answer query-machines");
}

#[test]
fn answers_off_the_wire_become_capabilities() {
    let mut codec = Codec::new();
    let (queries, _) = Queries::encode(&mut codec, &[Part::Signatures]);
    for (id, outcome) in answers().into_iter().enumerate() {
        let mut message = match outcome {
            Ok(value) => json!({"return": value}),
            Err(refusal) => json!({"error": {"class": refusal.class, "desc": refusal.desc}}),
        };
        if let Some(fields) = message.as_object_mut() {
            fields.insert("id".into(), id.into());
        }
        codec.push(format!("{message}\r\n").as_bytes()).unwrap();
    }
    let replies: Vec<Reply> = std::iter::from_fn(|| codec.next().unwrap())
        .filter_map(|message| if let Incoming::Reply(reply) = message { Some(reply) } else { None })
        .collect();
    Caps::from_replies(&queries, &replies).unwrap();
}

#[test]
fn parts_are_there_only_where_they_were_asked_for() {
    let core: Vec<Outcome> = answers().into_iter().take(8).collect();
    let plain = ask(&[], core.clone()).unwrap();
    assert!(!plain.holds(Part::Signatures) && !plain.holds(Part::Extent));
    assert_eq!(plain.signature("EPYC-Milan"), None);
    let all = ask(&[Part::Signatures, Part::Extent], [answers(), extent_answers()].concat()).unwrap();
    assert!(all.holds(Part::Signatures) && all.holds(Part::Extent));
    let wide = ask(&[Part::Extent], [core, extent_answers()].concat()).unwrap();
    assert!(!wide.holds(Part::Signatures) && wide.holds(Part::Extent));
}

#[test]
fn the_extent_is_read_from_schema_options_and_properties() {
    let all = ask(&[Part::Signatures, Part::Extent], [answers(), extent_answers()].concat()).unwrap();
    let extent = all.extent.unwrap();
    let only = |name: &str| BTreeSet::from([name.to_owned()]);
    assert_eq!(
        (extent.displays, extent.netdevs, extent.tpm_models),
        (only("sdl"), only("user"), only("tpm-tis"))
    );
    assert!(extent.vnc && extent.async_teardown && extent.migratable);
    assert!(!extent.spice && !extent.i8042 && extent.tpm_types.is_empty() && extent.hyperv.is_none());
    assert_eq!(extent.sgx.unwrap().sections[0].size, 4096);
}

#[test]
fn a_host_model_is_believed_only_with_kvm() {
    let props = json!({"family": 25, "model": 1, "stepping": 1, "hv-relaxed": true, "hv-spinlocks": 4095,
        "hv-evmcs": false, "hv-vendor-id": "Linux KVM Hv"});
    let with_kvm = |enabled: bool| {
        let mut answers = [answers(), extent_answers()].concat();
        answers[2] = Ok(json!({"enabled": enabled, "present": true}));
        answers[5] = Ok(json!({"model": {"name": "host", "props": props}}));
        ask(&[Part::Signatures, Part::Extent], answers).unwrap()
    };
    let kvm = with_kvm(true);
    assert_eq!(kvm.signature("host"), Some(CpuSignature { family: 25, model: 1, stepping: 1 }));
    let names: Vec<_> = kvm.extent.unwrap().hyperv.unwrap().into_iter().collect();
    assert_eq!(names, ["relaxed", "spinlocks", "vendor-id"]);
    let tcg = with_kvm(false);
    assert_eq!((tcg.host_cpu, tcg.extent.unwrap().hyperv), (None, None));
}
