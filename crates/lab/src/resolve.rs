//! Fits a domain to the lab: what it names by path and is not here is replaced, its disks become throw-away ones.
//!
//! The result is edits of the document and a list of what was replaced, so that nothing happens silently. Only
//! the lab does this: on a real host a missing path is an error.

use std::path::{Path, PathBuf};

use domain::model::launch_security::LaunchSecurity;
use domain::model::os::FirmwareFormat;
use domain::{Document, Domain, Edit, Element};
use host::Loader;
use qemu::firmware::{Mapping, described_machine};

use crate::tools::hidden_inside;

/// A domain fitted to the lab.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolution {
    pub edits: Vec<Edit>,
    pub substitutions: Vec<Substitution>,
    /// The outer machine's disks, in order.
    pub disks: Vec<DiskSource>,
    /// The firmware image that will be loaded and measured, if the domain names one.
    pub firmware: Option<PathBuf>,
}

/// A path that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitution {
    /// `emulator`, `firmware`, `kernel`, `initrd`.
    pub what: &'static str,
    pub wanted: String,
    pub used: String,
    /// How the replacement was found.
    pub by: String,
}

/// A disk of the domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSource {
    /// Its name in the guest: `sda`.
    pub target: String,
    pub wanted: PathBuf,
    /// The image, if it is here.
    pub image: Option<PathBuf>,
    /// What the domain says the image's format is.
    pub format: String,
}

/// Why a domain cannot be fitted.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("firmware `{path}` is not here, and no installed firmware fits the domain (wanted: {wanted})")]
    NoFirmware { path: String, wanted: String },
    #[error("{what} `{}` is not here", path.display())]
    NoBoot { what: &'static str, path: PathBuf },
    #[error("disk `{target}`: image `{}` is not here; only one missing image can be replaced by the demo image", path.display())]
    SecondMissing { target: String, path: PathBuf },
    #[error("{what} `{}` lies below `{hidden}`, which the lab's outer machine has for itself", path.display())]
    Hidden { what: String, path: PathBuf, hidden: &'static str },
}

/// What is installed here and can take the place of what a domain names and is not here.
#[derive(Debug)]
pub struct Installed<'a> {
    pub qemu: &'a Path,
    /// Firmware in its order of precedence.
    pub loaders: &'a [Loader],
    /// The demo guest's kernel and initrd, as far as [`wants_demo_boot`] asks for them.
    pub boot: Option<&'a DemoBoot>,
}

/// The demo guest's kernel and initrd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoBoot {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
}

/// Whether the domain names a kernel or an initrd that is not here.
#[must_use]
pub fn wants_demo_boot(domain: &Domain) -> bool {
    [&domain.os.kernel, &domain.os.initrd].into_iter().flatten().any(|path| !Path::new(path).exists())
}

/// Where the outer machine shows a disk.
#[must_use]
pub fn disk_device(index: usize) -> String {
    format!("/dev/lab/disk{index}")
}

/// Fits a domain.
///
/// # Errors
/// Something that the domain names is not here and has no replacement.
pub fn resolve(
    document: &Document,
    domain: &Domain,
    installed: &Installed<'_>,
) -> Result<Resolution, ResolveError> {
    let mut resolution = Resolution::default();
    let root = document.root();
    if let Some(emulator) = root.child("devices").and_then(|devices| devices.child("emulator")) {
        resolution.emulator(emulator, installed.qemu);
    }
    if let Some(loader) = root.child("os").and_then(|os| os.child("loader")) {
        resolution.loader(loader, domain, installed.loaders)?;
    }
    let boot = installed.boot;
    let demo = [("kernel", boot.map(|boot| &boot.kernel)), ("initrd", boot.map(|boot| &boot.initrd))];
    for (what, demo) in demo {
        if let Some(element) = root.child("os").and_then(|os| os.child(what)) {
            resolution.boot(what, element, demo)?;
        }
    }
    for disk in root.child("devices").into_iter().flat_map(|devices| devices.children_named("disk")) {
        resolution.disk(disk)?;
    }
    Ok(resolution)
}

impl Resolution {
    fn emulator(&mut self, element: Element<'_>, qemu: &Path) {
        let wanted = element.text().trim().to_owned();
        if !wanted.is_empty() && !is_here(Path::new(&wanted)) {
            let used = qemu.display().to_string();
            self.edits.push(Edit::set_text(element, &used));
            self.substitutions.push(Substitution {
                what: "emulator",
                wanted,
                used,
                by: "found by PATH".into(),
            });
        }
    }

    fn loader(
        &mut self,
        element: Element<'_>,
        domain: &Domain,
        loaders: &[Loader],
    ) -> Result<(), ResolveError> {
        let wanted = element.text().trim().to_owned();
        if wanted.is_empty() {
            return Ok(());
        }
        let path = PathBuf::from(&wanted);
        if path.exists() {
            visible("firmware", &path)?;
            self.firmware = Some(path);
            return Ok(());
        }
        let found = loaders.iter().find(|loader| {
            fits(loader, domain) && loader.image.known().is_some_and(host::FirmwareImage::can_set_c_bit)
        });
        let Some(found) = found else {
            return Err(ResolveError::NoFirmware { path: wanted, wanted: features(domain).join(", ") });
        };
        let used = found.descriptor.executable().to_owned();
        self.edits.push(Edit::set_text(element, &used));
        self.firmware = Some(PathBuf::from(&used));
        let by = format!("chosen by `{}`", found.path.display());
        self.substitutions.push(Substitution { what: "firmware", wanted, used, by });
        Ok(())
    }

    /// The kernel or the initrd of a direct boot.
    fn boot(
        &mut self,
        what: &'static str,
        element: Element<'_>,
        demo: Option<&PathBuf>,
    ) -> Result<(), ResolveError> {
        let wanted = element.text().trim().to_owned();
        let path = Path::new(&wanted);
        if path.exists() {
            return visible(what, path);
        }
        let Some(demo) = demo else {
            return Err(ResolveError::NoBoot { what, path: path.to_owned() });
        };
        visible(what, demo)?;
        let used = demo.display().to_string();
        self.edits.push(Edit::set_text(element, &used));
        let by = "the demo guest, made of this machine's kernel".to_owned();
        self.substitutions.push(Substitution { what, wanted, used, by });
        Ok(())
    }

    /// Disks that the guest may write to come from the outer machine's disks; what is only read is found on the
    /// host's root.
    fn disk(&mut self, element: Element<'_>) -> Result<(), ResolveError> {
        let device = element.attribute("device").map_or_else(|| "disk".into(), |device| device.value());
        let Some(source) = element.child("source") else { return Ok(()) };
        let Some(path) = source.attribute("file").or_else(|| source.attribute("dev")) else { return Ok(()) };
        let target = element.child("target").and_then(|target| target.attribute("dev"));
        let target = target.map_or_else(|| "disk".to_owned(), |target| target.value().into_owned());
        let wanted = PathBuf::from(path.value().as_ref());
        if device != "disk" && device != "lun" {
            return visible(&format!("disk `{target}`:"), &wanted);
        }
        let image = wanted.exists().then(|| wanted.clone());
        if image.is_none() && self.disks.iter().any(|disk| disk.image.is_none()) {
            return Err(ResolveError::SecondMissing { target, path: wanted });
        }
        let format = element.child("driver").and_then(|driver| driver.attribute("type"));
        let format = format.map_or_else(|| "raw".to_owned(), |format| format.value().into_owned());
        let inside = disk_device(self.disks.len());
        self.edits.push(Edit::set_attribute(element, "type", "block"));
        self.edits.push(Edit::replace(path.span(), format!("dev='{inside}'")));
        self.disks.push(DiskSource { target, wanted, image, format });
        Ok(())
    }
}

/// Whether an emulator is here; the outer machine has this machine's.
fn is_here(path: &Path) -> bool {
    path.exists() && hidden_inside(path).is_none()
}

fn visible(what: &str, path: &Path) -> Result<(), ResolveError> {
    match hidden_inside(path) {
        Some(hidden) => Err(ResolveError::Hidden { what: what.to_owned(), path: path.to_owned(), hidden }),
        None => Ok(()),
    }
}

/// What the domain's protection asks of a firmware descriptor.
fn features(domain: &Domain) -> Vec<&'static str> {
    match &domain.launch_security {
        Some(LaunchSecurity::Sev(sev)) if sev.is_es() => vec!["amd-sev", "amd-sev-es"],
        Some(LaunchSecurity::Sev(_)) => vec!["amd-sev"],
        Some(LaunchSecurity::SevSnp(_)) => vec!["amd-sev-snp"],
        Some(LaunchSecurity::Other { .. }) | None => Vec::new(),
    }
}

/// Whether an installed firmware can stand in for the one that the domain names.
fn fits(installed: &Loader, domain: &Domain) -> bool {
    let descriptor = &installed.descriptor;
    let loader = domain.os.loader.clone().unwrap_or_default();
    let format = match loader.format.unwrap_or(FirmwareFormat::Raw) {
        FirmwareFormat::Raw => "raw",
        FirmwareFormat::Qcow2 => "qcow2",
    };
    let snp = matches!(domain.launch_security, Some(LaunchSecurity::SevSnp(_)));
    let mapping_fits = match &descriptor.mapping {
        Mapping::Flash { executable, nvram_template, .. } => {
            executable.format == format && (snp || nvram_template.is_some())
        }
        Mapping::Memory { .. } => snp,
        Mapping::Kernel { .. } | Mapping::Igvm { .. } => false,
    };
    let secure = loader.secure.is_some_and(domain::model::Switch::is_on);
    mapping_fits
        && descriptor.interface_types.iter().any(|have| have == "uefi")
        && descriptor.has("requires-smm") == secure
        && features(domain).iter().all(|feature| installed.offers(feature))
        && descriptor.is_for(
            domain.os.arch.as_deref().unwrap_or("x86_64"),
            described_machine(domain.os.machine.as_deref()),
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use host::{Area, Fact, FirmwareImage, Tables};
    use qemu::firmware::Descriptor;

    fn loader(name: &str, features: &str, machines: &str) -> Loader {
        let text = format!(
            r#"{{"interface-types": ["uefi"], "features": [{features}],
                "targets": [{{"architecture": "x86_64", "machines": [{machines}]}}],
                "mapping": {{"device": "flash", "executable": {{"filename": "/fw/{name}.fd", "format": "raw"}},
                "nvram-template": {{"filename": "/fw/{name}_VARS.fd", "format": "raw"}}}}}}"#
        );
        Loader {
            path: format!("/usr/share/qemu/firmware/{name}.json").into(),
            descriptor: Descriptor::parse(&text).unwrap(),
            image: Fact::Known(FirmwareImage { size: 1, tables: Err(String::new()), code_bits: None }),
        }
    }

    fn loaders() -> Vec<Loader> {
        vec![
            loader("secure", r#""amd-sev", "requires-smm""#, r#""pc-q35-*""#),
            loader("plain", r#""acpi-s3""#, r#""pc-q35-*", "pc-i440fx-*""#),
            loader("sev", r#""amd-sev""#, r#""pc-q35-*", "pc-i440fx-*""#),
        ]
    }

    fn resolved(text: &str) -> Result<(Document, Resolution), ResolveError> {
        let document = Document::parse(text).unwrap();
        let (domain, _) = Domain::read(&document);
        let boot = DemoBoot { kernel: "/boot/demo".into(), initrd: "/state/initrd".into() };
        let qemu = Path::new("/usr/bin/qemu-system-x86_64");
        let installed =
            Installed { qemu, loaders: &loaders(), boot: wants_demo_boot(&domain).then_some(&boot) };
        let resolution = resolve(&document, &domain, &installed)?;
        Ok((document.apply(&resolution.edits).unwrap(), resolution))
    }

    #[track_caller]
    fn check(body: &str, want: &Expect) {
        let text = format!("<domain type='kvm'>{body}<launchSecurity type='sev'/></domain>");
        let answer = match resolved(&text) {
            Ok((document, resolution)) => {
                let mut answer = document.text().to_owned();
                for Substitution { what, wanted, used, by } in &resolution.substitutions {
                    answer += &format!("\n{what}: {wanted} -> {used} ({by})");
                }
                for disk in &resolution.disks {
                    answer += &format!("\n{}: {:?}", disk.target, disk.image);
                }
                answer
            }
            Err(error) => error.to_string(),
        };
        want.assert_eq(&answer);
    }

    #[test]
    fn missing_paths_are_replaced_and_told() {
        check(
            "<os><type machine='pc-q35-3.0'>hvm</type><loader type='pflash'>/none/CODE.fd</loader></os>\
             <devices><emulator>/none/qemu-kvm</emulator></devices>",
            &expect![[r#"
                <domain type='kvm'><os><type machine='pc-q35-3.0'>hvm</type><loader type='pflash'>/fw/sev.fd</loader></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices><launchSecurity type='sev'/></domain>
                emulator: /none/qemu-kvm -> /usr/bin/qemu-system-x86_64 (found by PATH)
                firmware: /none/CODE.fd -> /fw/sev.fd (chosen by `/usr/share/qemu/firmware/sev.json`)"#]],
        );
    }

    #[test]
    fn a_missing_kernel_and_initrd_become_the_demo_guests() {
        check(
            "<os><kernel>/bin/sh</kernel><initrd>/none/initrd</initrd></os>",
            &expect![[r#"
                <domain type='kvm'><os><kernel>/bin/sh</kernel><initrd>/state/initrd</initrd></os><launchSecurity type='sev'/></domain>
                initrd: /none/initrd -> /state/initrd (the demo guest, made of this machine's kernel)"#]],
        );
    }

    #[test]
    fn what_is_here_stays() {
        check(
            "<devices><emulator>/bin/sh</emulator></devices>",
            &expect![
                "<domain type='kvm'><devices><emulator>/bin/sh</emulator></devices><launchSecurity type='sev'/></domain>"
            ],
        );
    }

    #[test]
    fn disks_become_the_outer_machines() {
        check(
            "<devices><disk type='file' device='disk'><source file='/bin/sh'/><target dev='sda'/></disk>\
             <disk type='file' device='cdrom'><source file='/none.iso'/><target dev='sdb'/></disk>\
             <disk><driver type='qcow2'/><source file=\"/none.qcow2\" index='1'/><target dev='sdc'/></disk></devices>",
            &expect![[r#"
                <domain type='kvm'><devices><disk type='block' device='disk'><source dev='/dev/lab/disk0'/><target dev='sda'/></disk><disk type='file' device='cdrom'><source file='/none.iso'/><target dev='sdb'/></disk><disk type='block'><driver type='qcow2'/><source dev='/dev/lab/disk1' index='1'/><target dev='sdc'/></disk></devices><launchSecurity type='sev'/></domain>
                sda: Some("/bin/sh")
                sdc: None"#]],
        );
    }

    #[test]
    fn only_one_missing_image_is_replaced() {
        check(
            "<devices><disk><source file='/none/a'/><target dev='sda'/></disk>\
             <disk><source file='/none/b'/><target dev='sdb'/></disk></devices>",
            &expect![
                "disk `sdb`: image `/none/b` is not here; only one missing image can be replaced by the demo image"
            ],
        );
    }

    #[test]
    fn a_firmware_that_nothing_fits_is_named() {
        check(
            "<os><type machine='microvm'>hvm</type><loader>/none/CODE.fd</loader></os>",
            &expect![
                "firmware `/none/CODE.fd` is not here, and no installed firmware fits the domain (wanted: amd-sev)"
            ],
        );
    }

    #[test]
    fn an_images_tables_count_where_its_descriptor_is_silent() {
        let document = Document::parse(
            "<domain type='kvm'><os><type machine='q35'>hvm</type><loader type='pflash'>/none</loader></os>\
             <launchSecurity type='sev'><policy>7</policy></launchSecurity></domain>",
        )
        .unwrap();
        let (domain, _) = Domain::read(&document);
        let mut silent = loader("sev", r#""amd-sev""#, r#""pc-q35-*""#);
        assert!(!fits(&silent, &domain));
        let tables = Tables {
            sev_es_reset: Some(0x80_b004),
            hash_table: Area::Absent,
            secret_area: Area::Absent,
            snp_metadata: false,
        };
        silent.image = Fact::Known(FirmwareImage { size: 1, tables: Ok(tables), code_bits: Some(64) });
        assert!(fits(&silent, &domain));
    }

    #[test]
    fn what_the_outer_machine_hides_is_refused() {
        check(
            "<devices><disk device='cdrom'><source file='/run/media/a.iso'/><target dev='sda'/></disk></devices>",
            &expect![
                "disk `sda`: `/run/media/a.iso` lies below `/run`, which the lab's outer machine has for itself"
            ],
        );
    }
}
