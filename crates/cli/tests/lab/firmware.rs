//! The firmware that guests boot with in the lab.

/// The firmware of this machine that boots SEV guests.
pub(crate) fn for_sev() -> String {
    let fits = |loader: &&host::Loader| {
        loader.image.known().is_some_and(host::FirmwareImage::can_set_c_bit)
            && loader.descriptor.has("amd-sev")
            && !loader.descriptor.has("requires-smm")
    };
    let loaders = host::probe(&host::Root::live()).firmware;
    loaders.iter().find(fits).unwrap().descriptor.executable().to_owned()
}
