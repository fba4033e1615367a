//! Prints `<vcpu>`, `<cputune>`, `<cpu>` and `<clock>`.

use super::node::Node;
use crate::model::cpu::{
    Adjustment, Catchup, Clock, ClockOffset, Cpu, CpuModel, CpuTune, Timer, Topology, Vcpu,
};

pub(super) fn print_vcpu(vcpu: &Vcpu) -> Node {
    Node::of_text("vcpu", vcpu.count)
        .word("placement", vcpu.placement)
        .opt("cpuset", vcpu.cpuset.as_ref())
        .opt("current", vcpu.current)
}

pub(super) fn print_tune(tune: &CpuTune) -> Option<Node> {
    Node::new("cputune")
        .text_child("shares", tune.shares)
        .text_child("period", tune.period)
        .text_child("quota", tune.quota)
        .text_child("global_period", tune.global_period)
        .text_child("global_quota", tune.global_quota)
        .text_child("emulator_period", tune.emulator_period)
        .text_child("emulator_quota", tune.emulator_quota)
        .text_child("iothread_period", tune.iothread_period)
        .text_child("iothread_quota", tune.iothread_quota)
        .all(
            tune.vcpu_pins
                .iter()
                .map(|pin| Node::new("vcpupin").attr("vcpu", pin.vcpu).attr("cpuset", &pin.cpuset)),
        )
        .maybe(tune.emulator_pin.as_ref().map(|cpuset| Node::new("emulatorpin").attr("cpuset", cpuset)))
        .all(
            tune.iothread_pins.iter().map(|pin| {
                Node::new("iothreadpin").attr("iothread", pin.iothread).attr("cpuset", &pin.cpuset)
            }),
        )
        .unless_empty()
}

pub(super) fn print_cpu(cpu: &Cpu) -> Node {
    Node::new("cpu")
        .word("mode", cpu.mode)
        .word("match", cpu.matching)
        .word("check", cpu.check)
        .on_off("migratable", cpu.migratable)
        .maybe(cpu.model.as_ref().map(print_model))
        .text_child("vendor", cpu.vendor.as_ref())
        .maybe(cpu.topology.map(print_topology))
        .maybe(cpu.cache.map(|cache| Node::new("cache").opt("level", cache.level).attr("mode", cache.mode)))
        .maybe(cpu.max_phys_addr.map(|address| {
            Node::new("maxphysaddr")
                .attr("mode", address.mode)
                .opt("bits", address.bits)
                .opt("limit", address.limit)
        }))
        .all(
            cpu.features.iter().map(|feature| {
                Node::new("feature").word("policy", feature.policy).attr("name", &feature.name)
            }),
        )
}

fn print_model(model: &CpuModel) -> Node {
    Node::new("model")
        .word("fallback", model.fallback)
        .opt("vendor_id", model.vendor_id.as_ref())
        .text(model.name.as_ref())
}

fn print_topology(topology: Topology) -> Node {
    let Topology { sockets, dies, clusters, cores, threads } = topology;
    Node::new("topology")
        .attr("sockets", sockets)
        .attr("dies", dies)
        .attr("clusters", clusters)
        .attr("cores", cores)
        .attr("threads", threads)
}

pub(super) fn print_clock(clock: &Clock) -> Node {
    let adjusted = |node: Node, adjustment: Option<Adjustment>| match adjustment {
        None => node,
        Some(Adjustment::Reset) => node.attr("adjustment", "reset"),
        Some(Adjustment::Seconds(seconds)) => node.attr("adjustment", seconds),
    };
    let node = Node::new("clock");
    let node = match &clock.offset {
        ClockOffset::Utc { adjustment } => adjusted(node.attr("offset", "utc"), *adjustment),
        ClockOffset::Localtime { adjustment } => adjusted(node.attr("offset", "localtime"), *adjustment),
        ClockOffset::Timezone { timezone } => node.attr("offset", "timezone").attr("timezone", timezone),
        ClockOffset::Variable { adjustment, basis } => {
            node.attr("offset", "variable").attr("adjustment", adjustment).attr("basis", basis)
        }
        ClockOffset::Absolute { start } => node.attr("offset", "absolute").attr("start", start),
    };
    node.all(clock.timers.iter().map(print_timer))
}

fn print_timer(timer: &Timer) -> Node {
    let print_catchup = |catchup: Catchup| {
        Node::new("catchup")
            .opt("threshold", catchup.threshold)
            .opt("slew", catchup.slew)
            .opt("limit", catchup.limit)
    };
    Node::new("timer")
        .attr("name", timer.name)
        .yes_no("present", timer.present)
        .word("tickpolicy", timer.tick_policy)
        .word("track", timer.track)
        .opt("frequency", timer.frequency)
        .word("mode", timer.mode)
        .maybe(timer.catchup.map(print_catchup))
}
