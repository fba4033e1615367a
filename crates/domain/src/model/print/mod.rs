//! From the model to XML in libvirt's form: its order of elements and attributes, its layout and quoting.
//!
//! Only what the model has is printed; what a document has beyond that stays in the document.

mod address;
mod chardev;
mod controller;
mod cpu;
mod devices;
mod disk;
mod features;
mod graphics;
mod interface;
mod iothreads;
mod launch_security;
mod memory;
mod node;
mod os;
mod small_devices;
mod sysinfo;

use super::{Domain, GenId, Keyword};

use node::Node;

/// How a domain is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrintForm {
    pub state: PrintState,
    pub secrets: Secrets,
}

/// Which of a domain's two faces is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrintState {
    /// The definition, to start from: no id, no aliases but the user's, ports that are chosen at start as −1.
    Inactive,
    /// The running domain: everything that was chosen at start.
    Live,
}

/// Whether the passwords of displays are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    Show,
    Hide,
}

impl PrintForm {
    /// The definition with everything in it: what is stored.
    pub const DEFINITION: Self = Self { state: PrintState::Inactive, secrets: Secrets::Show };
    /// The running domain with everything in it.
    pub const LIVE: Self = Self { state: PrintState::Live, secrets: Secrets::Show };

    fn is_live(self) -> bool {
        self.state == PrintState::Live
    }
}

impl Domain {
    /// The definition as libvirt prints it, secrets included.
    pub fn print(&self) -> String {
        self.print_as(PrintForm::DEFINITION)
    }

    /// The domain in the given form.
    pub fn print_as(&self, form: PrintForm) -> String {
        print_domain(self, form).print()
    }
}

fn print_domain(domain: &Domain, form: PrintForm) -> Node {
    let enabled = |name, state: Option<super::Switch>| {
        state.map(|state| Node::new(name).attr("enabled", state.yes_no()))
    };
    Node::new("domain")
        .attr("type", domain.kind)
        .opt("id", domain.id.filter(|_| form.is_live()))
        .child(Node::of_text("name", &domain.name))
        .text_child("uuid", domain.uuid)
        .maybe(domain.genid.map(|genid| match genid {
            GenId::Generate => Node::new("genid"),
            GenId::Fixed(uuid) => Node::of_text("genid", uuid),
        }))
        .text_child("title", domain.title.as_ref())
        .text_child("description", domain.description.as_ref())
        .raw(domain.metadata.as_deref())
        .maybe(domain.max_memory.map(memory::print_max_memory))
        .child(memory::print_memory(domain))
        .maybe(domain.current_memory.map(|size| Node::of_size("currentMemory", size)))
        .maybe(memory::print_tune(&domain.memtune))
        .maybe(memory::print_backing(&domain.memory_backing))
        .child(cpu::print_vcpu(&domain.vcpu))
        .all(iothreads::print_iothreads(&domain.iothreads))
        .maybe(cpu::print_tune(&domain.cputune))
        .all(domain.sysinfo.iter().map(sysinfo::print_sysinfo))
        .child(os::print_os(&domain.os))
        .maybe(features::print_features(&domain.features))
        .maybe(domain.cpu.as_ref().map(cpu::print_cpu))
        .child(cpu::print_clock(&domain.clock))
        .text_child("on_poweroff", domain.on_poweroff.map(Keyword::word))
        .text_child("on_reboot", domain.on_reboot.map(Keyword::word))
        .text_child("on_crash", domain.on_crash.map(Keyword::word))
        .maybe(
            Node::new("pm")
                .maybe(enabled("suspend-to-mem", domain.pm.suspend_to_mem))
                .maybe(enabled("suspend-to-disk", domain.pm.suspend_to_disk))
                .unless_empty(),
        )
        .child(devices::print_devices(&domain.devices, form))
        .maybe(domain.launch_security.as_ref().map(launch_security::print_launch_security))
        .keeping(&domain.kept)
}
