//! Booting: `-boot`, `-kernel` and its companions.

use domain::{Domain, model::Switch};

use super::{Argument, KeyValues};

/// `-boot`, and a kernel that is booted without a boot loader.
pub(crate) fn boot(domain: &Domain) -> Vec<Argument> {
    let os = &domain.os;
    let menu = os.boot_menu.enable;
    let splash = os.boot_menu.timeout.filter(|_| menu == Some(Switch::On));
    let value = KeyValues::default()
        .with_some("menu", menu.map(Switch::on_off))
        .with_some("splash-time", splash.map(|ms| ms.to_string()))
        .with_some("reboot-timeout", os.bios.reboot_timeout.map(|ms| ms.to_string()))
        .switch("strict", true);
    let files =
        [("-kernel", &os.kernel), ("-initrd", &os.initrd), ("-append", &os.cmdline), ("-dtb", &os.dtb)];
    let files = files.into_iter().filter_map(|(option, value)| Some(Argument::Text(option, value.clone()?)));
    [Argument::pairs("-boot", value)].into_iter().chain(files).collect()
}
