//! A host's files, and what is told of them. How it compares with libvirt is tested with virsh.

use std::path::Path;

use expect_test::{Expect, expect};
use rpc::remote::common::Nparams;
use rpc::remote::node::{CpuMapArgs, CpuStatsArgs, FreePagesArgs, MemoryStatsArgs};

use super::sys::Sys;
use super::*;

/// Two sockets of two cores of two threads, a NUMA cell each; the last processor is switched off.
fn host() -> (tempfile::TempDir, Sys) {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: String, text: String| {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text + "\n").unwrap();
    };
    let cpus = "sys/devices/system/cpu";
    write(format!("{cpus}/present"), "0-7".to_owned());
    write(format!("{cpus}/online"), "0-6".to_owned());
    for cpu in 0..7 {
        let topology = format!("{cpus}/cpu{cpu}/topology");
        write(format!("{topology}/physical_package_id"), (cpu / 4).to_string());
        write(format!("{topology}/die_id"), "0".to_owned());
        write(format!("{topology}/cluster_id"), "-1".to_owned());
        write(format!("{topology}/core_id"), (cpu % 4 / 2).to_string());
        let siblings = if cpu == 6 { "6".to_owned() } else { format!("{}-{}", cpu / 2 * 2, cpu / 2 * 2 + 1) };
        write(format!("{topology}/thread_siblings_list"), siblings);
        let cache = format!("{cpus}/cpu{cpu}/cache");
        for (index, level, kind, size, shared) in [
            (0, 1, "Data", "32K", cpu / 2),
            (2, 2, "Unified", "1024K", cpu / 2),
            (3, 3, "Unified", "32768K", cpu / 4),
        ] {
            let index = format!("{cache}/index{index}");
            write(format!("{index}/id"), shared.to_string());
            write(format!("{index}/level"), level.to_string());
            write(format!("{index}/type"), kind.to_owned());
            write(format!("{index}/size"), size.to_owned());
            let (first, last) =
                if level == 3 { (cpu / 4 * 4, cpu / 4 * 4 + 3) } else { (shared * 2, shared * 2 + 1) };
            write(format!("{index}/shared_cpu_list"), format!("{first}-{}", last.min(6)));
        }
    }
    for node in 0..2 {
        let directory = format!("sys/devices/system/node/node{node}");
        write(format!("{directory}/cpulist"), format!("{}-{}", node * 4, node * 4 + 3));
        write(format!("{directory}/distance"), if node == 0 { "10 32" } else { "32 10" }.to_owned());
        let memory =
            format!("Node {node} MemTotal:       4194304 kB\nNode {node} MemFree:        {} kB", 1000 + node);
        write(format!("{directory}/meminfo"), memory);
        write(format!("{directory}/hugepages/hugepages-2048kB/nr_hugepages"), (node * 16).to_string());
        write(format!("{directory}/hugepages/hugepages-2048kB/free_hugepages"), (node * 12).to_string());
    }
    let memory = "MemTotal: 8388608 kB\nMemFree: 2001 kB\nBuffers: 7 kB\nCached: 8 kB\nActive(anon): 1 kB";
    write("proc/meminfo".to_owned(), memory.to_owned());
    write("proc/cpuinfo".to_owned(), "processor\t: 0\ncpu MHz\t\t: 2599.998\n".to_owned());
    write("proc/stat".to_owned(), "cpu  10 20 30 40 50 60 70 0 0 0\ncpu1 1 2 3 4 5 6 7 0 0 0\n".to_owned());
    write("sys/kernel/mm/ksm/pages_to_scan".to_owned(), "100".to_owned());
    write("sys/kernel/mm/ksm/full_scans".to_owned(), "18446744073709551615".to_owned());
    for (file, value) in [("sys_vendor", "Maker & Sons"), ("bios_version", "1.2"), ("product_uuid", "")] {
        write(format!("sys/class/dmi/id/{file}"), value.to_owned());
    }
    let sys = Sys::at(directory.path());
    (directory, sys)
}

/// Something else than a host's tree.
fn nothing() -> Sys {
    Sys::at(Path::new("/nowhere"))
}

#[track_caller]
fn check(found: impl std::fmt::Debug, expect: &Expect) {
    expect.assert_eq(&format!("{found:?}"));
}

fn words<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
    let error = result.unwrap_err();
    format!("{} {} {error}", error.code.0, error.domain.0)
}

#[test]
fn processors_are_counted_and_laid_out() {
    let (_directory, sys) = host();
    let topology = topology::Topology::of(&sys);
    assert_eq!(topology.cells.len(), 2);
    assert_eq!((topology.present, topology.online.len()), (8, 7));
    // One thread is off, so that nothing multiplies to seven.
    check(topology.shape(), &expect!["Shape { cells: 1, sockets: 1, cores: 7, threads: 1 }"]);
    let info = processors::info_of(&sys);
    assert_eq!((info.cpus, info.mhz, info.memory), (7, 2599, 8 << 20));
    let map = processors::map(&sys, &CpuMapArgs { need_map: 1, need_online: 1, flags: 0 }).unwrap();
    assert_eq!((map.cpumap.0.as_ref(), map.online, map.ret), (&[0x7f][..], 7, 8));
    let map = processors::map(&sys, &CpuMapArgs { need_map: 0, need_online: 0, flags: 0 }).unwrap();
    assert_eq!((map.cpumap.0.len(), map.online, map.ret), (0, 0, 8));
}

#[test]
fn a_host_without_numa_is_one_cell() {
    let (directory, sys) = host();
    std::fs::remove_dir_all(directory.path().join("sys/devices/system/node")).unwrap();
    std::fs::write(directory.path().join("sys/devices/system/cpu/online"), "0-3").unwrap();
    let topology = topology::Topology::of(&sys);
    check(topology.shape(), &expect!["Shape { cells: 1, sockets: 1, cores: 2, threads: 2 }"]);
    let [cell] = &topology.cells[..] else { panic!("{:?}", topology.cells) };
    assert_eq!((cell.memory, cell.cpus.len()), (8 << 20, 4));
}

#[test]
fn a_host_that_tells_nothing_has_one_processor() {
    let info = processors::info_of(&nothing());
    assert_eq!((info.cpus, info.nodes, info.sockets, info.cores, info.threads), (1, 1, 1, 1, 1));
}

#[test]
fn memory_is_told_by_cell_and_page() {
    let (_directory, sys) = host();
    let stats = |cell_num, nparams| memory::stats(&sys, &MemoryStatsArgs { nparams, cell_num, flags: 0 });
    assert_eq!(stats(-1, 0).unwrap().nparams, 4);
    let shown = |reply: rpc::remote::node::StatsReply<'_>| {
        reply.params.iter().map(|stat| format!("{} {}", stat.field, stat.value)).collect::<Vec<_>>()
    };
    assert_eq!(shown(stats(-1, 4).unwrap()), ["total 8388608", "free 2001", "buffers 7", "cached 8"]);
    assert_eq!(shown(stats(1, 2).unwrap()), ["total 4194304", "free 1001"]);
    assert_eq!(words(stats(7, 2)), "8 0 cellNum in virHostMemGetStats must be less than or equal to 1");
    assert_eq!(words(stats(-1, 3)), "8 0 nparams in virHostMemGetStats must be equal to 4");

    let pages = |pages: &[u32], start_cell, cell_count| {
        let args = FreePagesArgs { pages: pages.to_vec().into(), start_cell, cell_count, flags: 0 };
        memory::free_pages_of(&sys, &args).map(|counts| counts.to_vec())
    };
    assert_eq!(pages(&[4, 2048], 0, 9).unwrap(), [250, 0, 250, 12]);
    assert_eq!(pages(&[4], -1, 1).unwrap(), [500]);
    assert_eq!(words(pages(&[3], 1, 1)), "9 0 operation failed: page size 3 is not available on node 1");
    assert_eq!(words(pages(&[4], 2, 1)), "1 0 internal error: start cell 2 out of range (0-1)");

    let parameters = |nparams| memory::parameters(&sys, &Nparams { nparams, flags: 0 }).unwrap();
    assert_eq!((parameters(0).params.len(), parameters(0).nparams), (0, 2));
    check(
        parameters(9).params,
        &expect![[
            r#"List([TypedParam { field: "shm_pages_to_scan", value: Uint(100) }, TypedParam { field: "shm_full_scans", value: Ullong(18446744073709551615) }])"#
        ]],
    );
}

#[test]
fn time_is_told_in_nanoseconds() {
    let (_directory, sys) = host();
    let stats = |cpu_num, nparams| processors::stats(&sys, &CpuStatsArgs { cpu_num, nparams, flags: 0 });
    assert_eq!(stats(-1, 0).unwrap().nparams, 4);
    let seconds = |cpu| {
        let reply = stats(cpu, 4).unwrap();
        let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second();
        reply.params.iter().map(|stat| format!("{} {}", stat.field, stat.value / tick)).collect::<Vec<_>>()
    };
    assert_eq!(seconds(-1), ["kernel 160", "user 30", "idle 40", "iowait 50"]);
    assert_eq!(seconds(1), ["kernel 16", "user 3", "idle 4", "iowait 5"]);
    assert_eq!(words(stats(2, 4)), "8 0 Invalid cpuNum in virHostCPUGetStatsLinux");
    let flags = processors::stats(&sys, &CpuStatsArgs { cpu_num: -1, nparams: 4, flags: 3 });
    assert_eq!(words(flags), "8 0 unsupported flags (0x3) in function virHostCPUGetStats");
}

#[test]
fn smbios_is_told_as_far_as_it_is_there() {
    let (_directory, sys) = host();
    expect![[r#"
        <sysinfo type='smbios'>
          <bios>
            <entry name='version'>1.2</entry>
          </bios>
          <system>
            <entry name='manufacturer'>Maker &amp; Sons</entry>
          </system>
        </sysinfo>
    "#]]
    .assert_eq(&sysinfo::document(&sys, 0).unwrap());
    assert_eq!(
        words(sysinfo::document(&nothing(), 0)),
        "67 10 unsupported configuration: Host SMBIOS information is not available"
    );
}

#[test]
fn the_host_is_never_suspended() {
    let words = |target, flags| suspend(&SuspendArgs { target, duration: 60, flags }).to_string();
    assert_eq!(words(0, 0), "argument unsupported: Suspend-to-RAM");
    assert_eq!(words(2, 0), "argument unsupported: Hybrid-Suspend");
    assert_eq!(words(9, 0), "invalid argument: Invalid suspend target");
    assert_eq!(words(0, 4), "unsupported flags (0x4) in function virNodeSuspend");
}

#[test]
fn the_host_is_described_as_libvirt_does() {
    let (_directory, sys) = host();
    let topology = topology::Topology::of(&sys);
    let host = capabilities::Host {
        uuid: None,
        cpu: capabilities::Cpu {
            model: Some(("EPYC-Milan-v2".to_owned(), "AMD")),
            microcode: Some(7),
            signature: Some([25, 1, 1]),
            address_bits: Some(48),
        },
        caches: topology::caches(&sys, &topology.online),
        topology,
        iommu: true,
        qemu_user: host::User { name: "sevirt-qemu".to_owned(), uid: 64, gids: vec![107, 5] },
    };
    expect![[r#"
        <capabilities>
          <host>
            <cpu>
              <arch>x86_64</arch>
              <model>EPYC-Milan-v2</model>
              <vendor>AMD</vendor>
              <microcode version='7'/>
              <signature family='25' model='1' stepping='1'/>
              <topology sockets='1' dies='1' clusters='1' cores='7' threads='1'/>
              <maxphysaddr mode='emulate' bits='48'/>
              <pages unit='KiB' size='4'/>
              <pages unit='KiB' size='2048'/>
            </cpu>
            <power_management/>
            <iommu support='yes'/>
            <topology>
              <cells num='2'>
                <cell id='0'>
                  <memory unit='KiB'>4194304</memory>
                  <pages unit='KiB' size='4'>1048576</pages>
                  <pages unit='KiB' size='2048'>0</pages>
                  <distances>
                    <sibling id='0' value='10'/>
                    <sibling id='1' value='32'/>
                  </distances>
                  <cpus num='4'>
                    <cpu id='0' socket_id='0' die_id='0' cluster_id='0' core_id='0' siblings='0-1'/>
                    <cpu id='1' socket_id='0' die_id='0' cluster_id='0' core_id='0' siblings='0-1'/>
                    <cpu id='2' socket_id='0' die_id='0' cluster_id='0' core_id='1' siblings='2-3'/>
                    <cpu id='3' socket_id='0' die_id='0' cluster_id='0' core_id='1' siblings='2-3'/>
                  </cpus>
                </cell>
                <cell id='1'>
                  <memory unit='KiB'>4194304</memory>
                  <pages unit='KiB' size='4'>1040384</pages>
                  <pages unit='KiB' size='2048'>16</pages>
                  <distances>
                    <sibling id='0' value='32'/>
                    <sibling id='1' value='10'/>
                  </distances>
                  <cpus num='3'>
                    <cpu id='4' socket_id='1' die_id='0' cluster_id='0' core_id='0' siblings='4-5'/>
                    <cpu id='5' socket_id='1' die_id='0' cluster_id='0' core_id='0' siblings='4-5'/>
                    <cpu id='6' socket_id='1' die_id='0' cluster_id='0' core_id='1' siblings='6'/>
                  </cpus>
                </cell>
              </cells>
            </topology>
            <cache>
              <bank id='0' level='2' type='both' size='1' unit='MiB' cpus='0-1'/>
              <bank id='1' level='2' type='both' size='1' unit='MiB' cpus='2-3'/>
              <bank id='2' level='2' type='both' size='1' unit='MiB' cpus='4-5'/>
              <bank id='3' level='2' type='both' size='1' unit='MiB' cpus='6'/>
              <bank id='0' level='3' type='both' size='32' unit='MiB' cpus='0-3'/>
              <bank id='1' level='3' type='both' size='32' unit='MiB' cpus='4-6'/>
            </cache>
            <secmodel>
              <model>none</model>
              <doi>0</doi>
            </secmodel>
            <secmodel>
              <model>dac</model>
              <doi>0</doi>
              <baselabel type='kvm'>+64:+107</baselabel>
              <baselabel type='qemu'>+64:+107</baselabel>
            </secmodel>
          </host>
    "#]]
    .assert_eq(&format!("<capabilities>\n{host}"));
}
