//! Prints `<os>`.

use super::node::Node;
use crate::model::{
    Keyword,
    os::{Loader, Nvram, Os},
};

pub(super) fn print_os(os: &Os) -> Node {
    let features = os.firmware_features.iter().map(|feature| {
        Node::new("feature").attr("enabled", feature.enabled.yes_no()).attr("name", feature.name)
    });
    Node::new("os")
        .word("firmware", os.firmware)
        .child(Node::of_text("type", "hvm").opt("arch", os.arch.as_ref()).opt("machine", os.machine.as_ref()))
        .maybe(Node::new("firmware").all(features).unless_empty())
        .maybe(os.loader.as_ref().map(print_loader))
        .maybe(os.nvram.as_ref().map(print_nvram))
        .text_child("kernel", os.kernel.as_ref())
        .text_child("initrd", os.initrd.as_ref())
        .text_child("cmdline", os.cmdline.as_ref())
        .text_child("dtb", os.dtb.as_ref())
        .all(os.boot.iter().map(|device| Node::new("boot").attr("dev", device.word())))
        .maybe(
            Node::new("bootmenu")
                .yes_no("enable", os.boot_menu.enable)
                .opt("timeout", os.boot_menu.timeout)
                .unless_empty(),
        )
        .maybe(
            Node::new("bios")
                .yes_no("useserial", os.bios.use_serial)
                .opt("rebootTimeout", os.bios.reboot_timeout)
                .unless_empty(),
        )
        .maybe(os.smbios.map(|mode| Node::new("smbios").attr("mode", mode)))
}

fn print_loader(loader: &Loader) -> Node {
    Node::new("loader")
        .yes_no("readonly", loader.readonly)
        .yes_no("secure", loader.secure)
        .word("type", loader.kind)
        .yes_no("stateless", loader.stateless)
        .word("format", loader.format)
        .text(loader.path.as_ref())
}

fn print_nvram(nvram: &Nvram) -> Node {
    Node::new("nvram")
        .opt("template", nvram.template.as_ref())
        .word("templateFormat", nvram.template_format)
        .word("format", nvram.format)
        .text(nvram.path.as_ref())
}
