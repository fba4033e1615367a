//! The running domain: what is known of it only once QEMU runs.

use domain::Domain;
use domain::model::chardev::{CharKind, CharSource};

/// Takes note of the pseudo terminal that QEMU made for a character device, known by its label: `char` and the
/// device's alias.
pub(super) fn connect(domain: &mut Domain, label: &str, pty: &str) {
    let Some(alias) = label.strip_prefix("char") else { return };
    let devices = &mut domain.devices;
    let sources = (devices.serials.iter_mut().map(|device| (&device.info, &mut device.source)))
        .chain(devices.consoles.iter_mut().map(|device| (&device.info, &mut device.source)))
        .chain(devices.channels.iter_mut().map(|device| (&device.info, &mut device.source)));
    for (info, source) in sources {
        if info.alias.as_deref() == Some(alias)
            && let CharSource { kind: CharKind::Pty { path }, .. } = source
        {
            *path = Some(pty.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Document;

    use super::*;

    #[test]
    fn a_console_shares_its_serial_port_s_terminal() {
        let text = "<domain type='kvm'><name>a</name><memory>1</memory><devices>
            <serial type='pty'><alias name='serial0'/></serial>
            <serial type='null'><alias name='serial1'/></serial>
            <console type='pty'><alias name='serial0'/></console></devices></domain>";
        let (mut domain, _) = Domain::read(&Document::parse(text).unwrap());
        connect(&mut domain, "charserial0", "/dev/pts/7");
        connect(&mut domain, "charserial1", "/dev/pts/8");
        let pty = CharKind::Pty { path: Some("/dev/pts/7".into()) };
        let devices = &domain.devices;
        assert_eq!((&devices.serials[0].source.kind, &devices.consoles[0].source.kind), (&pty, &pty));
        assert_eq!(devices.serials[1].source.kind, CharKind::Null);
    }
}
