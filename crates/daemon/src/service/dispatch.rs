//! Which function answers which call: one `match`, in the order of the areas below.

use std::fmt;
use std::sync::Arc;

use rpc::error::RemoteError;
use rpc::remote::common::Names;
use rpc::remote::{Call, Reply};
use rules::ops::Operation;
use tokio::io::{AsyncRead, AsyncWrite};

use super::domain::{define, info, list, metadata, native, undefine, xml};
use super::network::{self, absent, computer};
use super::storage::{pool, volume};
use super::{Client, Failure, Service, agent, connect, device, lifecycle, node, stats, tune};
use crate::forward;
use crate::store::Autostart;

/// What a call is answered with.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply<'static>),
    /// The results as another daemon gave them: their XDR form.
    Payload(Vec<u8>),
    /// The results, and the stream that begins under the call's serial.
    Stream(Reply<'static>, Stream),
}

impl From<Reply<'static>> for Answer {
    fn from(reply: Reply<'static>) -> Self {
        Self::Reply(reply)
    }
}

/// The daemon's end of a stream: what is read from it goes to the client, what the client sends is written to it. Which
/// of both happens is said by the procedure's [`rpc::program::Flow`]. The end of the client's data is a shutdown of
/// the writing half, whose error the client is told.
pub(crate) struct Stream(pub(crate) Box<dyn Duplex>);

/// Both halves of a stream.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

/// Answers a call. Waiting calls hold nothing that other calls need.
pub(crate) async fn remote(
    service: &Arc<Service>,
    client: &Arc<Client>,
    call: Call<'_>,
) -> Result<Answer, Failure> {
    use {Call as C, Reply as R};
    connect::needs_open(client, call.procedure())?;
    if let Some(answer) = forward::forwarded(service, client, &call).await? {
        return Ok(answer);
    }
    let reply = match call {
        // The connection
        C::AuthList(()) => R::AuthList(vec![connect::auth_list(client)].into()),
        C::AuthPolkit(()) => R::AuthPolkit(connect::auth_polkit(service, client)?),
        C::ConnectOpen(args) => R::ConnectOpen(connect::open(service, client, &args)?),
        C::ConnectClose(()) => R::ConnectClose(()),
        C::ConnectGetType(()) => R::ConnectGetType("QEMU".into()),
        C::ConnectGetUri(()) => R::ConnectGetUri(service.paths.uri().into()),
        C::ConnectSupportsFeature(number) => {
            R::ConnectSupportsFeature(connect::supports_feature(client, number))
        }
        C::ConnectRegisterCloseCallback(()) => {
            R::ConnectRegisterCloseCallback(connect::register_close(client)?)
        }
        C::ConnectUnregisterCloseCallback(()) => {
            R::ConnectUnregisterCloseCallback(connect::unregister_close(client)?)
        }

        // Events
        C::ConnectDomainEventCallbackRegisterAny(args) => {
            R::ConnectDomainEventCallbackRegisterAny(connect::register_domain(service, client, &args)?)
        }
        C::ConnectDomainEventCallbackDeregisterAny(callback) => {
            R::ConnectDomainEventCallbackDeregisterAny(service.events.deregister(client, callback, "domain")?)
        }
        C::ConnectNetworkEventRegisterAny(args) => {
            R::ConnectNetworkEventRegisterAny(connect::register_network(service, client, &args)?)
        }
        C::ConnectNetworkEventDeregisterAny(callback) => {
            R::ConnectNetworkEventDeregisterAny(service.events.deregister(client, callback, "network")?)
        }
        C::ConnectStoragePoolEventRegisterAny(args) => {
            R::ConnectStoragePoolEventRegisterAny(connect::register_pool(service, client, &args)?)
        }
        C::ConnectStoragePoolEventDeregisterAny(callback) => {
            let what = "storage pool";
            R::ConnectStoragePoolEventDeregisterAny(service.events.deregister(client, callback, what)?)
        }
        C::ConnectNodeDeviceEventRegisterAny(args) => {
            R::ConnectNodeDeviceEventRegisterAny(connect::register_device(service, client, &args)?)
        }
        C::ConnectNodeDeviceEventDeregisterAny(callback) => {
            let what = "node device";
            R::ConnectNodeDeviceEventDeregisterAny(service.events.deregister(client, callback, what)?)
        }
        C::ConnectSecretEventRegisterAny(args) => {
            R::ConnectSecretEventRegisterAny(connect::register_secret(service, client, &args)?)
        }
        C::ConnectSecretEventDeregisterAny(callback) => {
            R::ConnectSecretEventDeregisterAny(service.events.deregister(client, callback, "secret")?)
        }

        // The host
        C::ConnectGetVersion(()) => R::ConnectGetVersion(node::version(service).await?),
        C::ConnectGetLibVersion(()) => R::ConnectGetLibVersion(node::LIBVIRT_VERSION),
        C::ConnectGetHostname(()) => R::ConnectGetHostname(node::hostname(service).await?.into()),
        C::ConnectGetSysinfo(flags) => R::ConnectGetSysinfo(node::sysinfo(flags)?.into()),
        C::ConnectGetCapabilities(()) => R::ConnectGetCapabilities(node::capabilities(service).await?.into()),
        C::ConnectGetDomainCapabilities(args) => {
            R::ConnectGetDomainCapabilities(node::domain_capabilities(service, args).await?.into())
        }
        C::ConnectGetMaxVcpus(kind) => R::ConnectGetMaxVcpus(node::max_vcpus(kind.as_deref())?),
        C::ConnectGetCpuModelNames(args) => {
            let (arch, results) = (args.arch.into_owned(), args.need_results != 0);
            R::ConnectGetCpuModelNames(node::cpu_model_names(service, arch, results, args.flags).await?)
        }
        // Only over a unix socket, which nobody else listens to.
        C::ConnectIsSecure(()) => R::ConnectIsSecure(1),
        C::NodeGetInfo(()) => R::NodeGetInfo(node::info()),
        C::NodeGetCpuMap(args) => R::NodeGetCpuMap(node::cpu_map(&args)?),
        C::NodeGetCpuStats(args) => R::NodeGetCpuStats(node::cpu_stats(&args)?),
        C::NodeGetMemoryStats(args) => R::NodeGetMemoryStats(node::memory_stats(&args)?),
        C::NodeGetMemoryParameters(args) => R::NodeGetMemoryParameters(node::memory_parameters(&args)?),
        C::NodeGetCellsFreeMemory(args) => R::NodeGetCellsFreeMemory(node::cells_free_memory(&args)?),
        C::NodeGetFreeMemory(()) => R::NodeGetFreeMemory(node::free_memory()),
        C::NodeGetFreePages(args) => R::NodeGetFreePages(node::free_pages(&args)?),
        C::NodeGetSecurityModel(()) => R::NodeGetSecurityModel(node::security_model()),
        C::NodeGetSevInfo(args) => R::NodeGetSevInfo(node::sev_info(service, &args).await?),
        C::NodeSuspendForDuration(args) => return Err(node::suspend(&args)),

        // Domains: which there are, their definitions
        C::ConnectListAllDomains(args) => {
            R::ConnectListAllDomains(list::all(service, args.need_results, args.flags)?)
        }
        C::ConnectListDomains(most) => R::ConnectListDomains(list::ids(service, most)?),
        C::ConnectNumOfDomains(()) => R::ConnectNumOfDomains(list::count_active(service)),
        C::ConnectListDefinedDomains(most) => R::ConnectListDefinedDomains(list::defined(service, most)?),
        C::ConnectNumOfDefinedDomains(()) => R::ConnectNumOfDefinedDomains(list::count_inactive(service)),
        C::DomainLookupById(id) => R::DomainLookupById(list::by_id(service, id)?),
        C::DomainLookupByName(name) => R::DomainLookupByName(list::by_name(service, &name)?),
        C::DomainLookupByUuid(uuid) => R::DomainLookupByUuid(list::by_uuid(service, uuid)?),
        C::DomainDefineXml(xml) => R::DomainDefineXml(define::define(service, &xml, 0).await?),
        C::DomainDefineXmlFlags(args) => {
            R::DomainDefineXmlFlags(define::define(service, &args.xml, args.flags).await?)
        }
        C::ConnectDomainXmlToNative(args) => {
            R::ConnectDomainXmlToNative(native::from_xml(service, &args).await?)
        }
        C::ConnectDomainXmlFromNative(_) => return Err(native::to_xml()),
        C::DomainUndefine(dom) => {
            R::DomainUndefine(undefine::undefine(service, service.domains.of(&dom)?, 0).await?)
        }
        C::DomainUndefineFlags(args) => R::DomainUndefineFlags(
            undefine::undefine(service, service.domains.of(&args.dom)?, args.flags).await?,
        ),
        C::DomainRename(args) => R::DomainRename(define::rename(service, &args).await?),
        C::DomainGetXmlDesc(args) => {
            R::DomainGetXmlDesc(xml::describe(service, client, &*service.domains.of(&args.dom)?, args.flags)?)
        }
        C::DomainGetState(args) => {
            R::DomainGetState(info::state(&*service.domains.of(&args.dom)?, args.flags)?)
        }
        C::DomainGetInfo(dom) => R::DomainGetInfo(info::info(&*service.domains.of(&dom)?)?),
        C::DomainGetMaxMemory(dom) => R::DomainGetMaxMemory(info::max_memory(&*service.domains.of(&dom)?)?),
        C::DomainGetMaxVcpus(dom) => R::DomainGetMaxVcpus(info::max_vcpus(&*service.domains.of(&dom)?)?),
        C::DomainGetOsType(dom) => R::DomainGetOsType(service.domains.of(&dom).map(|_| info::os_type())?),
        C::DomainIsActive(dom) => R::DomainIsActive(service.domains.of(&dom)?.is_active().into()),
        C::DomainIsPersistent(dom) => R::DomainIsPersistent(service.domains.of(&dom)?.is_persistent().into()),
        C::DomainIsUpdated(dom) => R::DomainIsUpdated(service.domains.of(&dom)?.is_updated().into()),
        C::DomainGetAutostart(dom) => {
            R::DomainGetAutostart(info::autostart(&*service.domains.of(&dom)?, Autostart::Always))
        }
        C::DomainGetAutostartOnce(dom) => {
            R::DomainGetAutostartOnce(info::autostart(&*service.domains.of(&dom)?, Autostart::Once))
        }
        C::DomainSetAutostart(args) => {
            let vm = service.domains.of(&args.dom)?;
            R::DomainSetAutostart(info::set_autostart(service, vm, Autostart::Always, args.autostart).await?)
        }
        C::DomainSetAutostartOnce(args) => {
            let vm = service.domains.of(&args.dom)?;
            R::DomainSetAutostartOnce(
                info::set_autostart(service, vm, Autostart::Once, args.autostart).await?,
            )
        }
        C::DomainGetMetadata(args) => {
            R::DomainGetMetadata(metadata::get(&*service.domains.of(&args.dom)?, &args)?)
        }
        C::DomainSetMetadata(args) => R::DomainSetMetadata(metadata::set(service, &args).await?),
        C::DomainGetMessages(args) => {
            R::DomainGetMessages(info::messages(&*service.domains.of(&args.dom)?, args.flags)?)
        }
        C::DomainGetSecurityLabel(dom) => {
            R::DomainGetSecurityLabel(service.domains.of(&dom).map(|_| info::security_label())?)
        }
        C::DomainGetSecurityLabelList(dom) => {
            R::DomainGetSecurityLabelList(service.domains.of(&dom).map(|_| info::security_labels())?)
        }
        C::DomainHasManagedSaveImage(args) => R::DomainHasManagedSaveImage(
            service.domains.of(&args.dom).and_then(|_| info::has_managed_save(args.flags))?,
        ),
        C::DomainSnapshotNum(args) => R::DomainSnapshotNum(service.domains.of(&args.dom).map(|_| 0)?),
        C::DomainHasCurrentSnapshot(args) => {
            R::DomainHasCurrentSnapshot(service.domains.of(&args.dom).map(|_| 0)?)
        }
        C::DomainListAllSnapshots(args) => {
            R::DomainListAllSnapshots(service.domains.of(&args.dom).map(|_| list::no_snapshots())?)
        }

        // Domains: their life
        C::DomainCreate(dom) => {
            let vm = service.domains.of(&dom)?;
            R::DomainCreate(lifecycle::create(service, client, vm, 0).await.map(drop)?)
        }
        C::DomainCreateWithFlags(args) => {
            let vm = service.domains.of(&args.dom)?;
            R::DomainCreateWithFlags(lifecycle::create(service, client, vm, args.flags).await?)
        }
        C::DomainCreateXml(args) => {
            R::DomainCreateXml(lifecycle::create_xml(service, client, &args.xml, args.flags).await?)
        }
        C::DomainCreateWithFiles(_) | C::DomainCreateXmlWithFiles(_) => {
            return Err(lifecycle::create_with_files());
        }
        C::DomainDestroy(dom) => {
            R::DomainDestroy(lifecycle::destroy(service, service.domains.of(&dom)?, 0).await?)
        }
        C::DomainDestroyFlags(args) => R::DomainDestroyFlags(
            lifecycle::destroy(service, service.domains.of(&args.dom)?, args.flags).await?,
        ),
        C::DomainShutdown(dom) => {
            R::DomainShutdown(lifecycle::shutdown(service, service.domains.of(&dom)?, 0).await?)
        }
        C::DomainShutdownFlags(args) => R::DomainShutdownFlags(
            lifecycle::shutdown(service, service.domains.of(&args.dom)?, args.flags).await?,
        ),
        C::DomainReboot(args) => {
            R::DomainReboot(lifecycle::reboot(service, service.domains.of(&args.dom)?, args.flags).await?)
        }
        C::DomainReset(args) => {
            R::DomainReset(lifecycle::reset(service.domains.of(&args.dom)?, args.flags).await?)
        }
        C::DomainSuspend(dom) => R::DomainSuspend(lifecycle::suspend(service.domains.of(&dom)?).await?),
        C::DomainResume(dom) => R::DomainResume(lifecycle::resume(service.domains.of(&dom)?).await?),
        C::DomainPmWakeup(args) => {
            R::DomainPmWakeup(lifecycle::wake_up(service.domains.of(&args.dom)?, args.flags).await?)
        }
        C::DomainPmSuspendForDuration(args) => {
            return Err(lifecycle::sleep(&*service.domains.of(&args.dom)?, args.target));
        }
        C::DomainSetLifecycleAction(args) => {
            let vm = service.domains.of(&args.dom)?;
            R::DomainSetLifecycleAction(lifecycle::set_lifecycle_action(service, vm, &args).await?)
        }

        // Domains: what is not done to them, each refused with its reason
        C::DomainSave(args) => {
            return Err(lifecycle::saved(&*service.domains.of(&args.dom)?, Operation::Save));
        }
        C::DomainSaveFlags(args) => {
            return Err(lifecycle::saved(&*service.domains.of(&args.dom)?, Operation::Save));
        }
        C::DomainManagedSave(args) => {
            return Err(lifecycle::saved(&*service.domains.of(&args.dom)?, Operation::ManagedSave));
        }
        C::DomainCoreDump(args) => {
            return Err(lifecycle::saved(&*service.domains.of(&args.dom)?, Operation::Dump));
        }
        C::DomainCoreDumpWithFormat(args) => {
            return Err(lifecycle::saved(&*service.domains.of(&args.dom)?, Operation::Dump));
        }
        C::DomainRestore(from) => return Err(lifecycle::unknown_save(&from)),
        C::DomainRestoreFlags(args) => return Err(lifecycle::unknown_save(&args.from)),
        C::DomainSaveImageGetXmlDesc(args) => return Err(lifecycle::unknown_save(&args.name)),
        C::DomainSaveImageDefineXml(args) => return Err(lifecycle::unknown_save(&args.file)),
        C::DomainManagedSaveRemove(args) => {
            // There never is one, and libvirt is content with that.
            R::DomainManagedSaveRemove(service.domains.of(&args.dom).map(drop)?)
        }
        C::DomainSnapshotCreateXml(args) => {
            return Err(lifecycle::snapshot(&*service.domains.of(&args.dom)?));
        }
        C::DomainSnapshotLookupByName(args) => {
            service.domains.of(&args.dom)?;
            return Err(lifecycle::unknown_snapshot(&args.name));
        }
        C::DomainSnapshotCurrent(args) => {
            service.domains.of(&args.dom)?;
            return Err(lifecycle::no_current_snapshot());
        }
        C::DomainSnapshotListNames(args) => {
            R::DomainSnapshotListNames(service.domains.of(&args.dom).map(|_| Names::default())?)
        }

        // Domains: devices, tuning, figures
        C::DomainOpenConsole(args) => return device::open_console(service, &args),
        C::DomainOpenChannel(args) => return device::open_channel(service, &args).await,
        C::DomainScreenshot(args) => return device::screenshot(service, &args).await,
        C::DomainAttachDevice(args) => R::DomainAttachDevice(device::attach(service, &args).await?),
        C::DomainAttachDeviceFlags(args) => {
            R::DomainAttachDeviceFlags(device::attach_flags(service, &args).await?)
        }
        C::DomainDetachDevice(args) => R::DomainDetachDevice(device::detach(service, &args).await?),
        C::DomainDetachDeviceFlags(args) => {
            R::DomainDetachDeviceFlags(device::detach_flags(service, &args).await?)
        }
        C::DomainDetachDeviceAlias(args) => {
            R::DomainDetachDeviceAlias(device::detach_alias(service, &args).await?)
        }
        C::DomainUpdateDeviceFlags(args) => {
            R::DomainUpdateDeviceFlags(device::update_flags(service, &args).await?)
        }
        C::DomainSendKey(args) => R::DomainSendKey(device::send_key(service, &args).await?),
        C::DomainInjectNmi(args) => R::DomainInjectNmi(device::inject_nmi(service, &args).await?),
        C::DomainBlockResize(args) => R::DomainBlockResize(device::block_resize(service, &args).await?),
        C::DomainSetBlockThreshold(args) => {
            R::DomainSetBlockThreshold(device::set_block_threshold(service, &args).await?)
        }
        C::DomainStartDirtyRateCalc(args) => {
            R::DomainStartDirtyRateCalc(device::start_dirty_rate_calc(service, &args).await?)
        }
        C::DomainGetBlockJobInfo(args) => R::DomainGetBlockJobInfo(device::block_job_info(service, &args)?),
        C::DomainGetJobInfo(dom) => R::DomainGetJobInfo(device::job_info(service, &dom)?),
        C::DomainGetJobStats(args) => R::DomainGetJobStats(device::job_stats(service, &args)?),
        C::DomainAbortJob(dom) => R::DomainAbortJob(device::abort_job(service, &dom)?),
        C::DomainAbortJobFlags(args) => R::DomainAbortJobFlags(device::abort_job(service, &args.dom)?),
        C::DomainGetControlInfo(args) => R::DomainGetControlInfo(device::control_info(service, &args)?),
        C::DomainGetLaunchSecurityInfo(args) => {
            R::DomainGetLaunchSecurityInfo(device::launch_security_info(service, &args).await?)
        }
        C::DomainSetLaunchSecurityState(args) => {
            R::DomainSetLaunchSecurityState(device::set_launch_security_state(service, &args).await?)
        }
        C::DomainGetMemoryParameters(args) => {
            R::DomainGetMemoryParameters(tune::get_memory_parameters(service, &args)?)
        }
        C::DomainSetMemoryParameters(args) => {
            R::DomainSetMemoryParameters(tune::set_memory_parameters(service, &args).await?)
        }
        C::DomainSetMemory(args) => R::DomainSetMemory(tune::set_memory(service, &args).await?),
        C::DomainSetMemoryFlags(args) => {
            R::DomainSetMemoryFlags(tune::set_memory_flags(service, &args).await?)
        }
        C::DomainSetMaxMemory(args) => R::DomainSetMaxMemory(tune::set_max_memory(service, &args).await?),
        C::DomainSetMemoryStatsPeriod(args) => {
            R::DomainSetMemoryStatsPeriod(stats::set_period(service, &args).await?)
        }
        C::DomainSetVcpus(args) => R::DomainSetVcpus(tune::set_vcpus(service, &args).await?),
        C::DomainSetVcpusFlags(args) => R::DomainSetVcpusFlags(tune::set_vcpus_flags(service, &args).await?),
        C::DomainGetVcpusFlags(args) => R::DomainGetVcpusFlags(tune::get_vcpus_flags(service, &args).await?),
        C::DomainGetVcpus(args) => R::DomainGetVcpus(tune::get_vcpus(service, &args).await?),
        C::DomainGetVcpuPinInfo(args) => R::DomainGetVcpuPinInfo(tune::vcpu_pin_info(service, &args)?),
        C::DomainPinVcpu(args) => R::DomainPinVcpu(tune::pin_vcpu(service, &args).await?),
        C::DomainPinVcpuFlags(args) => R::DomainPinVcpuFlags(tune::pin_vcpu_flags(service, &args).await?),
        C::DomainPinEmulator(args) => R::DomainPinEmulator(tune::pin_emulator(service, &args).await?),
        C::DomainGetEmulatorPinInfo(args) => {
            R::DomainGetEmulatorPinInfo(tune::emulator_pin_info(service, &args)?)
        }
        C::DomainGetIothreadInfo(args) => {
            R::DomainGetIothreadInfo(tune::iothread_info(service, &args).await?)
        }
        C::DomainAddIothread(args) => R::DomainAddIothread(tune::fixed_iothreads(service, &args.dom)?),
        C::DomainDelIothread(args) => R::DomainDelIothread(tune::fixed_iothreads(service, &args.dom)?),
        C::DomainPinIothread(args) => R::DomainPinIothread(tune::pin_iothread(service, &args).await?),
        C::DomainSetIothreadParams(args) => {
            R::DomainSetIothreadParams(tune::fixed_iothreads(service, &args.dom)?)
        }
        C::DomainGetSchedulerType(dom) => R::DomainGetSchedulerType(tune::scheduler_type(service, &dom)?),
        C::DomainGetSchedulerParameters(args) => {
            R::DomainGetSchedulerParameters(tune::get_scheduler(service, &args)?)
        }
        C::DomainGetSchedulerParametersFlags(args) => {
            R::DomainGetSchedulerParametersFlags(tune::get_scheduler_flags(service, &args)?)
        }
        C::DomainSetSchedulerParameters(args) => R::DomainSetSchedulerParameters(tune::not_tuned(
            service,
            &args.dom,
            "scheduler parameters of guests",
        )?),
        C::DomainSetSchedulerParametersFlags(args) => R::DomainSetSchedulerParametersFlags(tune::not_tuned(
            service,
            &args.dom,
            "scheduler parameters of guests",
        )?),
        C::DomainGetBlkioParameters(args) => R::DomainGetBlkioParameters(tune::get_blkio(service, &args)?),
        C::DomainSetBlkioParameters(args) => {
            R::DomainSetBlkioParameters(tune::not_tuned(service, &args.dom, "weights of guests' block I/O")?)
        }
        C::DomainGetNumaParameters(args) => R::DomainGetNumaParameters(tune::get_numa(service, &args)?),
        C::DomainSetNumaParameters(args) => {
            R::DomainSetNumaParameters(tune::not_tuned(service, &args.dom, "NUMA nodes of guests")?)
        }
        C::DomainGetBlockIoTune(args) => R::DomainGetBlockIoTune(tune::get_block_io_tune(service, &args)?),
        C::DomainSetBlockIoTune(args) => {
            R::DomainSetBlockIoTune(tune::set_block_io_tune(service, &args).await?)
        }
        C::DomainGetInterfaceParameters(args) => {
            R::DomainGetInterfaceParameters(tune::get_interface_parameters(service, &args)?)
        }
        C::DomainSetInterfaceParameters(args) => R::DomainSetInterfaceParameters(tune::not_tuned(
            service,
            &args.dom,
            "rates of guests' network interfaces",
        )?),
        C::ConnectGetAllDomainStats(args) => R::ConnectGetAllDomainStats(stats::all(service, &args).await?),
        C::DomainMemoryStats(args) => R::DomainMemoryStats(stats::memory_stats(service, &args).await?),
        C::DomainBlockStats(args) => R::DomainBlockStats(stats::block_stats(service, &args).await?),
        C::DomainBlockStatsFlags(args) => {
            R::DomainBlockStatsFlags(stats::block_stats_flags(service, &args).await?)
        }
        C::DomainGetBlockInfo(args) => R::DomainGetBlockInfo(stats::block_info(service, &args).await?),
        C::DomainGetDiskErrors(args) => R::DomainGetDiskErrors(stats::disk_errors(service, &args).await?),
        C::DomainInterfaceStats(args) => R::DomainInterfaceStats(stats::interface_stats(service, &args)?),
        C::DomainInterfaceAddresses(args) => {
            R::DomainInterfaceAddresses(stats::addresses(service, &args).await?)
        }
        C::DomainGetCpuStats(args) => R::DomainGetCpuStats(stats::cpu_stats(service, &args)?),
        C::DomainGetHostname(args) => R::DomainGetHostname(agent::hostname(service, &args).await?),
        C::DomainGetGuestInfo(args) => R::DomainGetGuestInfo(agent::guest_info(service, &args).await?),
        C::DomainGetTime(args) => R::DomainGetTime(agent::get_time(service, &args).await?),
        C::DomainSetTime(args) => R::DomainSetTime(agent::set_time(service, &args).await?),
        C::DomainGetFsinfo(args) => R::DomainGetFsinfo(agent::fs_info(service, &args).await?),
        C::DomainFsfreeze(args) => R::DomainFsfreeze(agent::freeze(service, &args).await?),
        C::DomainFsthaw(args) => R::DomainFsthaw(agent::thaw(service, &args).await?),
        C::DomainFstrim(args) => R::DomainFstrim(agent::trim(service, &args).await?),
        C::DomainGetGuestVcpus(args) => R::DomainGetGuestVcpus(agent::guest_vcpus(service, &args).await?),
        C::DomainSetGuestVcpus(args) => R::DomainSetGuestVcpus(agent::set_guest_vcpus(service, &args).await?),
        C::DomainSetUserPassword(args) => {
            R::DomainSetUserPassword(agent::set_user_password(service, &args).await?)
        }
        C::DomainAgentSetResponseTimeout(args) => {
            R::DomainAgentSetResponseTimeout(agent::set_response_timeout(service, &args)?)
        }

        // Networks
        C::ConnectNumOfNetworks(()) => R::ConnectNumOfNetworks(network::count(service, true).await?),
        C::ConnectNumOfDefinedNetworks(()) => {
            R::ConnectNumOfDefinedNetworks(network::count(service, false).await?)
        }
        C::ConnectListNetworks(most) => R::ConnectListNetworks(network::names(service, true, most).await?),
        C::ConnectListDefinedNetworks(most) => {
            R::ConnectListDefinedNetworks(network::names(service, false, most).await?)
        }
        C::ConnectListAllNetworks(args) => R::ConnectListAllNetworks(network::list(service, args).await?),
        C::NetworkLookupByName(name) => R::NetworkLookupByName(network::by_name(service, &name).await?),
        C::NetworkLookupByUuid(uuid) => R::NetworkLookupByUuid(network::by_uuid(service, uuid).await?),
        C::NetworkGetXmlDesc(args) => R::NetworkGetXmlDesc(network::xml(service, &args).await?),
        C::NetworkCreate(net) => R::NetworkCreate(network::start(service, &net).await?),
        C::NetworkDestroy(net) => R::NetworkDestroy(network::stop(service, &net).await?),
        C::NetworkIsActive(net) => R::NetworkIsActive(network::is_active(service, &net).await?),
        C::NetworkIsPersistent(net) => R::NetworkIsPersistent(network::is_persistent(service, &net).await?),
        C::NetworkGetAutostart(net) => R::NetworkGetAutostart(network::autostart(service, &net).await?),
        C::NetworkSetAutostart(args) => R::NetworkSetAutostart(network::set_autostart(service, &args).await?),
        C::NetworkGetBridgeName(net) => R::NetworkGetBridgeName(network::bridge(service, &net).await?),
        C::NetworkGetDhcpLeases(args) => R::NetworkGetDhcpLeases(network::leases(service, &args).await?),
        C::NetworkListAllPorts(args) => R::NetworkListAllPorts(network::ports(service, &args).await?),
        C::NetworkGetMetadata(args) => R::NetworkGetMetadata(network::metadata(service, &args).await?),
        C::NetworkDefineXml(_) | C::NetworkDefineXmlFlags(_) => {
            return Err(network::refused("networks cannot be defined"));
        }
        C::NetworkCreateXml(_) | C::NetworkCreateXmlFlags(_) => {
            return Err(network::refused("networks cannot be created"));
        }
        C::NetworkUndefine(_) => return Err(network::refused("networks cannot be undefined")),
        C::NetworkUpdate(_) | C::NetworkSetMetadata(_) => {
            return Err(network::refused("networks cannot be changed"));
        }

        // What there is none of
        C::ConnectNumOfNwfilters(()) => R::ConnectNumOfNwfilters(0),
        C::ConnectListNwfilters(_) => R::ConnectListNwfilters(Default::default()),
        C::ConnectListAllNwfilters(_) => R::ConnectListAllNwfilters(absent::nwfilters()),
        C::NwfilterLookupByName(name) => return Err(absent::nwfilter(&name)),
        C::NwfilterLookupByUuid(uuid) => return Err(absent::nwfilter_with(uuid)),
        C::ConnectListAllNwfilterBindings(_) => R::ConnectListAllNwfilterBindings(absent::bindings()),
        C::NwfilterBindingLookupByPortDev(port) => return Err(absent::binding(&port)),
        C::ConnectNumOfInterfaces(()) => return Err(absent::interfaces("virConnectNumOfInterfaces")),
        C::ConnectListInterfaces(_) => return Err(absent::interfaces("virConnectListInterfaces")),
        C::ConnectNumOfDefinedInterfaces(()) => {
            return Err(absent::interfaces("virConnectNumOfDefinedInterfaces"));
        }
        C::ConnectListDefinedInterfaces(_) => {
            return Err(absent::interfaces("virConnectListDefinedInterfaces"));
        }
        C::ConnectListAllInterfaces(_) => return Err(absent::interfaces("virConnectListAllInterfaces")),
        C::InterfaceLookupByName(_) => return Err(absent::interfaces("virInterfaceLookupByName")),
        C::InterfaceLookupByMacString(_) => return Err(absent::interfaces("virInterfaceLookupByMACString")),
        C::NodeNumOfDevices(args) => R::NodeNumOfDevices(computer::count(args.cap.as_deref())),
        C::NodeListDevices(args) => R::NodeListDevices(computer::names(args.cap.as_deref(), args.maxnames)),
        C::ConnectListAllNodeDevices(args) => R::ConnectListAllNodeDevices(computer::list(&args)),
        C::NodeDeviceLookupByName(name) => R::NodeDeviceLookupByName(computer::by_name(&name)?),
        C::NodeDeviceGetXmlDesc(args) => R::NodeDeviceGetXmlDesc(computer::xml(&args.name)?),
        C::NodeDeviceGetParent(name) => R::NodeDeviceGetParent(computer::by_name(&name).map(|_| None)?),
        C::NodeDeviceNumOfCaps(name) => R::NodeDeviceNumOfCaps(computer::by_name(&name).map(|_| 1)?),
        C::NodeDeviceListCaps(args) => R::NodeDeviceListCaps(computer::capabilities(&args)?),
        C::NodeDeviceIsActive(name) => R::NodeDeviceIsActive(computer::by_name(&name).map(|_| 1)?),
        C::NodeDeviceIsPersistent(name) => R::NodeDeviceIsPersistent(computer::by_name(&name).map(|_| 1)?),
        C::NodeDeviceGetAutostart(name) => R::NodeDeviceGetAutostart(computer::by_name(&name).map(|_| 1)?),
        C::DomainListAllCheckpoints(args) => {
            R::DomainListAllCheckpoints(service.domains.of(&args.dom).map(|_| absent::checkpoints())?)
        }
        C::ConnectNumOfSecrets(()) => R::ConnectNumOfSecrets(0),
        C::ConnectListSecrets(_) => R::ConnectListSecrets(Default::default()),
        C::ConnectListAllSecrets(_) => R::ConnectListAllSecrets(absent::secrets()),
        C::SecretLookupByUuid(uuid) => return Err(absent::secret(uuid)),
        C::SecretLookupByUsage(args) => return Err(absent::secret_for(&args.usage_id)),

        // Storage
        C::ConnectNumOfStoragePools(()) => R::ConnectNumOfStoragePools(pool::count(service, true).await?),
        C::ConnectNumOfDefinedStoragePools(()) => {
            R::ConnectNumOfDefinedStoragePools(pool::count(service, false).await?)
        }
        C::ConnectListStoragePools(most) => {
            R::ConnectListStoragePools(pool::names(service, true, most).await?)
        }
        C::ConnectListDefinedStoragePools(most) => {
            R::ConnectListDefinedStoragePools(pool::names(service, false, most).await?)
        }
        C::ConnectListAllStoragePools(args) => {
            R::ConnectListAllStoragePools(pool::list(service, args).await?)
        }
        C::ConnectFindStoragePoolSources(args) => R::ConnectFindStoragePoolSources(pool::sources(&args)?),
        C::ConnectGetStoragePoolCapabilities(flags) => {
            R::ConnectGetStoragePoolCapabilities(pool::capabilities(flags)?)
        }
        C::StoragePoolLookupByName(name) => R::StoragePoolLookupByName(pool::by_name(service, &name).await?),
        C::StoragePoolLookupByUuid(uuid) => R::StoragePoolLookupByUuid(pool::by_uuid(service, uuid).await?),
        C::StoragePoolLookupByVolume(vol) => {
            R::StoragePoolLookupByVolume(volume::pool_of(service, &vol).await?)
        }
        C::StoragePoolLookupByTargetPath(path) => {
            R::StoragePoolLookupByTargetPath(pool::by_target(service, &path).await?)
        }
        C::StoragePoolCreateXml(args) => R::StoragePoolCreateXml(pool::create(service, &args).await?),
        C::StoragePoolDefineXml(args) => R::StoragePoolDefineXml(pool::define(service, &args).await?),
        C::StoragePoolCreate(args) => R::StoragePoolCreate(pool::start(service, &args).await?),
        C::StoragePoolBuild(args) => R::StoragePoolBuild(pool::build(service, &args).await?),
        C::StoragePoolDestroy(pool) => R::StoragePoolDestroy(pool::destroy(service, &pool).await?),
        C::StoragePoolDelete(args) => R::StoragePoolDelete(pool::delete(service, &args).await?),
        C::StoragePoolUndefine(pool) => R::StoragePoolUndefine(pool::undefine(service, &pool).await?),
        C::StoragePoolRefresh(args) => R::StoragePoolRefresh(pool::refresh(service, &args).await?),
        C::StoragePoolGetInfo(pool) => R::StoragePoolGetInfo(pool::info(service, &pool).await?),
        C::StoragePoolGetXmlDesc(args) => R::StoragePoolGetXmlDesc(pool::xml(service, &args).await?),
        C::StoragePoolGetAutostart(pool) => {
            R::StoragePoolGetAutostart(pool::autostart(service, &pool).await?)
        }
        C::StoragePoolSetAutostart(args) => {
            R::StoragePoolSetAutostart(pool::set_autostart(service, &args).await?)
        }
        C::StoragePoolIsActive(pool) => R::StoragePoolIsActive(pool::is_active(service, &pool).await?),
        C::StoragePoolIsPersistent(pool) => {
            R::StoragePoolIsPersistent(pool::is_persistent(service, &pool).await?)
        }
        C::StoragePoolNumOfVolumes(pool) => R::StoragePoolNumOfVolumes(volume::count(service, &pool).await?),
        C::StoragePoolListVolumes(args) => R::StoragePoolListVolumes(volume::names(service, &args).await?),
        C::StoragePoolListAllVolumes(args) => {
            R::StoragePoolListAllVolumes(volume::list(service, &args).await?)
        }
        C::StorageVolLookupByName(args) => R::StorageVolLookupByName(volume::by_name(service, &args).await?),
        C::StorageVolLookupByKey(key) => R::StorageVolLookupByKey(volume::by_key(service, &key).await?),
        C::StorageVolLookupByPath(path) => R::StorageVolLookupByPath(volume::by_path(service, &path).await?),
        C::StorageVolGetInfo(vol) => R::StorageVolGetInfo(volume::info(service, &vol, 0).await?),
        C::StorageVolGetInfoFlags(args) => {
            R::StorageVolGetInfoFlags(volume::info(service, &args.vol, args.flags).await?)
        }
        C::StorageVolGetXmlDesc(args) => R::StorageVolGetXmlDesc(volume::xml(service, &args).await?),
        C::StorageVolGetPath(vol) => R::StorageVolGetPath(volume::path(service, &vol).await?),
        C::StorageVolCreateXml(args) => R::StorageVolCreateXml(volume::create(service, &args).await?),
        C::StorageVolCreateXmlFrom(args) => {
            R::StorageVolCreateXmlFrom(volume::create_from(service, &args).await?)
        }
        C::StorageVolDelete(args) => R::StorageVolDelete(volume::delete(service, &args).await?),
        C::StorageVolResize(args) => R::StorageVolResize(volume::resize(service, &args).await?),
        C::StorageVolWipe(args) => R::StorageVolWipe(volume::wipe(service, &args).await?),
        C::StorageVolWipePattern(args) => {
            R::StorageVolWipePattern(volume::wipe_pattern(service, &args).await?)
        }
        C::StorageVolUpload(args) => {
            return volume::upload(service, &args)
                .await
                .map(|stream| Answer::Stream(R::StorageVolUpload(()), stream));
        }
        C::StorageVolDownload(args) => {
            return volume::download(service, &args)
                .await
                .map(|stream| Answer::Stream(R::StorageVolDownload(()), stream));
        }
        other => {
            let procedure = other.procedure();
            tracing::debug!(client = client.id, %procedure, "a call that is not implemented");
            return Err(Box::new(RemoteError::unknown_procedure(procedure.number(), Some(&procedure))));
        }
    };
    Ok(reply.into())
}
