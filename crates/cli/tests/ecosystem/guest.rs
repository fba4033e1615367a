//! A real Linux guest with QEMU's agent in it, emulated: what only a guest that runs can answer, do or refuse.

use std::path::Path;

use expect_test::expect;

use super::Daemon;

#[test]
fn a_guest_answers_its_agent_lets_devices_go_and_ends_by_its_button() {
    let daemon = Daemon::start();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data/real_guest/play.sh");
    let place = daemon.path("place");
    std::fs::create_dir(&place).unwrap();
    let said = daemon.run("sh", &[data.to_str().unwrap(), &daemon.uri(), place.to_str().unwrap()]);
    let said: String = said.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
    expect![[r##"
        # start guest
        # guestinfo guest --os --hostname --filesystem --timezone
        os.id               : sevirt-test
        os.name             : sevirt test guest
        os.pretty-name      : sevirt test guest
        os.machine          : x86_64
        timezone.name       : UTC
        timezone.offset     : 0
        hostname            : guest.example
        fs.count            : 1
        fs.0.name           : vda
        fs.0.mountpoint     : /mnt
        fs.0.fstype         : ext4
        fs.0.disk.count     : 1
        fs.0.disk.0.alias   : vda
        fs.0.disk.0.device  : /dev/vda
        # domhostname guest --source agent
        guest.example
        # domtime guest --time 1700000000
        # domtime guest --pretty
        Time: 2023-11-14 22:1x
        # domtime guest --now
        # domifaddr guest --source agent --interface eth0
         eth0       52:54:00:00:00:01    ipv4         10.0.2.15/24
        # domfsinfo guest
         /mnt   vda   ext4   vda
        # domfsfreeze guest
        # qemu-agent-command guest {"execute":"guest-fsfreeze-status"}
        {"return":"frozen"}
        # domfsthaw guest
        # set-user-password guest root s3cret
        unused
        available
        usable
        # setmem guest 250M --live
        actual 256000
        # attach-disk guest PLACE/second.img vdb --targetbus virtio --live
        # attach-device guest nic.xml --live
        disk.0.alias        : vda
        disk.1.alias        : vdb
        if.0.hwaddr         : 00:00:00:00:00:00
        if.1.hwaddr         : 52:54:00:00:00:01
        if.2.hwaddr         : 52:54:00:00:00:02
        # detach-disk guest vdb --live
        # detach-device guest nic.xml --live
        # domblklist guest
         vda   PLACE/disk.img
        # domiflist guest
         -   user   -   virtio   52:54:00:00:00:01
        # setvcpus guest 2 --live
        # setvcpus guest 2 --guest
        # vcpucount guest --guest --active
        2
        # guestvcpus guest
        vcpus          : 0-1
        online         : 0-1
        offlinable     : 1
        # guestvcpus guest --disable --cpulist 1
        # guestvcpus guest --disable --cpulist 0
        error: invalid argument: vCPU '0' is not offlinable
        # vcpucount guest --guest --active
        1
        # setvcpus guest 3 --guest
        error: invalid argument: requested vcpu count is greater than the count of enabled vcpus in the domain: 3 > 2
        console: chpasswd  root:s3cret
        # reboot guest --mode agent
        # domstate guest --reason
        running (booted)
        # shutdown guest --mode agent
        # domstate guest --reason
        shut off (shutdown)
        # start guest
        # shutdown guest --mode acpi
        # domstate guest --reason
        shut off (shutdown)
        event 'lifecycle' for domain 'guest': Resumed Unpaused
        event 'lifecycle' for domain 'guest': Started Booted
        event 'reboot' for domain 'guest'
        event 'lifecycle' for domain 'guest': Shutdown Finished after guest request
        event 'lifecycle' for domain 'guest': Stopped Shutdown
        event 'lifecycle' for domain 'guest': Resumed Unpaused
        event 'lifecycle' for domain 'guest': Started Booted
        event 'lifecycle' for domain 'guest': Shutdown Finished after guest request
        event 'lifecycle' for domain 'guest': Stopped Shutdown
        the agent connected 3 times
    "##]].assert_eq(&said);
}
