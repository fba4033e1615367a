//! From a domain to a request for the supervisor: everything that can be refused before QEMU runs is refused here, by
//! name, and everything that QEMU needs is made ready.

mod clock;
mod files;
mod live;
mod memory;
mod place;
mod sockets;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attest::sev::certs::{Certificate, TrustRoot};
use attest::sev::digest::LaunchDigest;
use attest::sev::policy::Policy;
use attest::sev::secret::Entry;
use domain::Domain;
use domain::model::launch_security::{LaunchSecurity, Sev};
use domain::model::{CompleteError, DomainKind, Surroundings};
use host::Facts;
use qemu::Caps;
use qemu::Technology;
use qemu::plan::{LaunchInputs, Network, Plan, PlanError, wanted_taps};

use crate::expected::{self, Expected, ExpectedError};
use crate::guest_log;
use crate::isolate::{IsolateError, Isolation};
use crate::owner::{LocalOwner, OwnerError, Secrets, verify_platform};
use crate::tap::{self, TapError, Taps};
use crate::vm::{Console, Goals, Life, Reactions, Request, Resume, RunDir, RunDirError};

pub(crate) use live::{name_sockets, run_of};
pub use place::DEFAULT_EMULATOR;
pub(crate) use place::huge_pages;
pub use sockets::SocketError;
use sockets::Sockets;

/// What is wanted of a start beyond what the domain says.
#[expect(missing_debug_implementations, reason = "it holds secrets")]
pub struct Options {
    pub attest: Option<Attest>,
    /// End well once the guest is set up and measured.
    pub stay_paused: bool,
    pub console: Option<Console>,
    /// How long the guest may live.
    pub timeout: Option<Duration>,
    /// Below which run directories are made.
    pub run_base: PathBuf,
    /// How QEMU is kept apart.
    pub isolation: Isolation,
    /// For a guest that outlives this process.
    pub background: Option<InBackground>,
}

/// What a guest in the background needs.
#[derive(Debug, Clone)]
pub struct InBackground {
    pub reactions: Reactions,
    /// The file that QEMU's output is appended to.
    pub log: PathBuf,
    /// Where variable stores go that the domain names no file for.
    pub nvram_dir: PathBuf,
    /// What the networks are that the domain's interfaces name.
    pub networks: BTreeMap<String, Network>,
}

/// What a guest's owner brings.
#[expect(missing_debug_implementations, reason = "it holds secrets")]
pub struct Attest {
    pub root: TrustRoot,
    /// The chip's certificate with AMD's signature, where the platform exports it without.
    pub cek: Option<Certificate>,
    /// The digest to accept, where it is not to be computed from the domain's own files.
    pub digest: Option<LaunchDigest>,
    pub secrets: Vec<Entry>,
    /// Where secrets go, in guest physical addresses; without it, to the firmware's secret area.
    pub secret_address: Option<u64>,
}

/// A start that is ready, and what can be said about it.
#[derive(Debug)]
pub struct Prepared {
    pub request: Request,
    /// The domain as it will run: completed, with everything that was chosen for this start.
    pub live: Domain,
    /// Why the guest cannot run here although it can be launched.
    pub cannot_resume: Option<String>,
    pub launch: Option<LaunchInputs>,
    /// The digest that its owner will accept, and what it covers.
    pub expected: Option<Expected>,
    /// The platform's certificates up to the trusted root, in words.
    pub chain: Option<String>,
    /// What was decided in the domain's place.
    pub notes: Vec<String>,
    /// What the domain says and this start does not carry out.
    pub unmodelled: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("complete the domain")]
    Complete(#[source] CompleteError),
    #[error("get random bytes")]
    Random(#[source] getrandom::Error),
    #[error("prepare the run directory")]
    RunDir(#[source] RunDirError),
    #[error("make the guest's network devices")]
    Tap(#[source] TapError),
    #[error(transparent)]
    Socket(SocketError),
    #[error("plan the start")]
    Plan(#[source] PlanError),
    #[error("{what} `{path}` cannot be used")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the firmware `{path}` has {size} bytes, and flash comes in multiples of 4096: it is cut off, or no image"
    )]
    CutOffFirmware { path: PathBuf, size: u64 },
    #[error("make the guest's variable store `{path}` from the template `{template}`")]
    Variables {
        path: PathBuf,
        template: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the guest's variable store `{path}` is to be {format}, and its template `{template}` is not")]
    VariablesFormat { path: PathBuf, template: PathBuf, format: String },
    #[error("the guest has no variable store `{path}`, and there is no template to make it from")]
    NoVariables { path: PathBuf },
    #[error("a domain of type `qemu` is emulated: it cannot be confidential, which takes type `kvm`")]
    Emulated,
    #[error("the domain asks for no launch security, so there is nothing to attest")]
    NothingToAttest,
    #[error("a SEV-SNP guest is attested from inside, by its own report, and not by its launch")]
    SnpAttest,
    #[error(
        "the domain brings its owner's session, so only its owner has the keys: verify it with `sevirt verify`, \
         or leave `<dhCert>` and `<session>` out"
    )]
    ForeignSession,
    #[error("the platform offers no SEV to attest: {0}")]
    NoSev(String),
    #[error("open a session with the platform")]
    Owner(#[source] OwnerError),
    #[error(transparent)]
    Expected(ExpectedError),
    #[error(transparent)]
    Isolate(IsolateError),
    #[error("open QEMU's log `{path}`")]
    Log {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl StartError {
    /// Whether it is the platform that is not trusted, rather than the start that is not possible.
    pub fn is_distrust(&self) -> bool {
        match self {
            // What the owner brings and what this machine gives are no faults of the platform.
            Self::Owner(OwnerError::Table(_) | OwnerError::Random(_)) => false,
            Self::Owner(_) => true,
            _ => false,
        }
    }

    /// The file that it is about.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } | Self::CutOffFirmware { path, .. } | Self::NoVariables { path } => {
                Some(path)
            }
            Self::Variables { path, .. } | Self::VariablesFormat { path, .. } => Some(path),
            Self::Socket(error) => Some(&error.path),
            Self::Expected(error) => error.path(),
            _ => None,
        }
    }
}

/// Makes everything ready for a start of `domain`.
pub fn prepare(
    mut domain: Domain,
    caps: &Caps,
    facts: &Facts,
    options: Options,
) -> Result<Prepared, StartError> {
    let Options { attest, stay_paused, console, timeout, run_base, isolation, background } = options;
    if domain.kind == DomainKind::Qemu && domain.launch_security.is_some() {
        return Err(StartError::Emulated);
    }
    if let Some(missing) = isolation.fault() {
        return Err(StartError::Isolate(missing.clone().into()));
    }
    complete(&mut domain, caps)?;
    let session = attest.as_ref().map(|attest| open_session(&mut domain, caps, attest)).transpose()?;

    let run_dir = RunDir::create(&run_base, &domain.name).map_err(StartError::RunDir)?;
    let listener = run_dir.listen().map_err(StartError::RunDir)?;
    let mut here = place::surroundings(&domain, caps, facts, &run_dir.qemu(), listener.as_raw_fd());
    if let Some(background) = &background {
        here.nvram_dir.clone_from(&background.nvram_dir);
        here.networks.clone_from(&background.networks);
        here.is_tuned = true;
    }
    if let Some(user) = isolation.user() {
        user.clone_into(&mut here.user);
    }
    isolation.own_huge_pages(&mut here.memory_dirs, &run_dir).map_err(StartError::Isolate)?;
    memory::make_directory(&domain, &here.memory_dirs, isolation.owner())?;
    let taps = Taps::open(&wanted_taps(&domain, &here.networks)).map_err(StartError::Tap)?;
    here.fds.taps = taps.numbers();
    let sockets = match isolation.owner() {
        Some(owner) => Sockets::listen(&domain, owner).map_err(StartError::Socket)?,
        // QEMU makes them itself.
        None => Sockets::default(),
    };
    here.fds.sockets = sockets.numbers();
    let plan = Plan::new(&domain, caps, &here).map_err(StartError::Plan)?;
    let launch = plan.launch_inputs().cloned();

    files::check(&domain, &plan)?;
    if let Some(launch) = &launch {
        check_firmware(launch, attest.as_ref())?;
    }
    // Whether there is an owner below does not decide it: without one nothing is accepted.
    let must_attest = attest.is_some();
    let (mut owner, mut expected, mut chain) = (None, None, None);
    if let (Some(attest), Some(session), Some(launch)) = (attest, session, &launch) {
        let accepted = accepted(&attest, launch)?;
        let secrets = match attest.secrets.as_slice() {
            [] => None,
            entries => Some(Secrets::new(entries, attest.secret_address).map_err(StartError::Owner)?),
        };
        let mut judge = LocalOwner::new(session.keys, session.policy, accepted.digest, secrets);
        if attest.digest.is_some()
            && let Ok(own) = expected::launch_digest(launch)
        {
            judge = judge.knowing_own_files(own.digest);
        }
        owner = Some(Box::new(move |evidence: &_| judge.judge(evidence)) as crate::vm::Owner);
        expected = Some(accepted);
        chain = Some(session.chain);
    }
    files::make_variables(&plan, &here.nvram_dir)?;
    let confinement =
        isolation.confine(&domain, &plan, &here.memory_dirs, &run_dir).map_err(StartError::Isolate)?;

    let cannot_resume = impossible(launch.as_ref(), facts);
    let resume = match &cannot_resume {
        _ if stay_paused && background.is_some() => Resume::Hold,
        _ if stay_paused => Resume::StayPaused,
        Some(reason) => Resume::Impossible(reason.clone()),
        None => Resume::Yes,
    };
    let mut live = live::running(&domain, &plan, &here).map_err(StartError::Plan)?;
    taps.note(&mut live);
    let (life, log) = match background {
        None => (Life::Foreground, None),
        Some(InBackground { reactions, log, .. }) => {
            let opened = guest_log::open(&log, &caps.version.to_string(), &plan.to_shell())
                .map_err(|source| StartError::Log { path: log, source })?;
            (Life::Background(reactions), Some(opened))
        }
    };
    let sums = plan.memory(&memory::sizes(&plan, facts));
    let mut notes = plan.notes().to_vec();
    let (group, without) = memory::group(&domain, &sums);
    notes.extend(without);
    let mut argv = plan.argv();
    let emulator = if argv.is_empty() { PathBuf::new() } else { PathBuf::from(argv.remove(0)) };
    let request = Request {
        emulator,
        arguments: argv,
        environment: plan.environment().iter().map(|(name, value)| (name.into(), value.into())).collect(),
        files: plan.files().iter().map(|file| (file.path.clone(), file.contents.clone())).collect(),
        run_dir,
        listener,
        inherited: taps.into_fds().into_iter().chain(sockets.into_fds()).collect(),
        memory_lock: memory::lock(&domain, &sums),
        group,
        confinement,
        goals: Goals { confidential: launch.is_some(), attest: must_attest, resume, life },
        owner,
        console,
        timeout,
        log,
    };
    let unmodelled = plan.unmodelled().to_vec();
    Ok(Prepared { request, live, cannot_resume, launch, expected, chain, notes, unmodelled })
}

/// Plans a start without making anything ready, for those who only look at it. Files and sockets of the run are below
/// `domain_dir`, and QMP has the descriptor `monitor`.
pub fn plan(
    mut domain: Domain,
    caps: &Caps,
    facts: &Facts,
    domain_dir: &Path,
    monitor: i32,
) -> Result<Plan, StartError> {
    complete(&mut domain, caps)?;
    let mut here = place::surroundings(&domain, caps, facts, domain_dir, monitor);
    here.fds.taps = tap::stand_ins(&wanted_taps(&domain, &here.networks), monitor + 1);
    Plan::new(&domain, caps, &here).map_err(StartError::Plan)
}

/// What a plan for a device that is plugged into a running guest needs to know of the host. `domain_dir` is QEMU's own.
pub(crate) fn surroundings_of_guest(
    domain: &Domain,
    caps: &Caps,
    facts: &Facts,
    domain_dir: &Path,
) -> qemu::plan::Surroundings {
    place::surroundings(domain, caps, facts, domain_dir, -1)
}

/// The QEMU that runs the domain.
pub fn emulator(domain: &Domain) -> PathBuf {
    domain.devices.emulator.as_ref().map_or_else(|| PathBuf::from(DEFAULT_EMULATOR), PathBuf::from)
}

/// Fills in what the user left out, as libvirt does when it is handed a definition.
pub(crate) fn complete(domain: &mut Domain, caps: &Caps) -> Result<(), StartError> {
    let wanted = domain.os.machine.as_deref().unwrap_or("pc");
    let machine = caps.machine(wanted);
    let cpu_model = machine
        .and_then(|machine| machine.default_cpu_type.as_deref())
        .map_or("qemu64", |name| name.strip_suffix("-x86_64-cpu").unwrap_or(name));
    let mut failed = None;
    let mut random = || {
        let mut bytes = [0u8; 16];
        if let Err(error) = getrandom::fill(&mut bytes) {
            failed = Some(error);
        }
        bytes
    };
    let mut surroundings = Surroundings {
        machine: machine.map(|machine| machine.name.clone()),
        cpu_model: cpu_model.to_owned(),
        emulator: Some(DEFAULT_EMULATOR.to_owned()),
        random: &mut random,
    };
    let completed = domain.complete(&mut surroundings);
    if let Some(error) = failed {
        return Err(StartError::Random(error));
    }
    completed.map_err(StartError::Complete)
}

/// A session between the owner and the platform, the owner's half.
struct Session {
    keys: attest::sev::keys::TransportKeys,
    policy: Policy,
    chain: String,
}

/// Verifies the platform and puts the host's half of a new session into the domain.
fn open_session(domain: &mut Domain, caps: &Caps, attest: &Attest) -> Result<Session, StartError> {
    let sev: &mut Sev = match &mut domain.launch_security {
        Some(LaunchSecurity::Sev(sev)) => sev,
        Some(LaunchSecurity::SevSnp(_)) => return Err(StartError::SnpAttest),
        Some(LaunchSecurity::Other { .. }) | None => return Err(StartError::NothingToAttest),
    };
    if sev.session.is_some() || sev.dh_cert.is_some() {
        return Err(StartError::ForeignSession);
    }
    let policy = Policy(sev.policy.ok_or(StartError::Plan(PlanError::NoPolicy))?);
    let platform = caps.sev.as_ref().map_err(|reason| StartError::NoSev(reason.clone()))?;
    let platform = verify_platform(platform, &attest.root, attest.cek.clone()).map_err(StartError::Owner)?;
    let (keys, blobs) = platform.open_session(policy).map_err(StartError::Owner)?;
    sev.dh_cert = Some(blobs.dh_cert);
    sev.session = Some(blobs.session);
    Ok(Session { keys, policy, chain: platform.summary })
}

/// What the firmware must have for what is asked of it.
fn check_firmware(launch: &LaunchInputs, attest: Option<&Attest>) -> Result<(), StartError> {
    let Some(firmware) = &launch.firmware else { return Ok(()) };
    if launch.kernel_hashes {
        expected::check_hash_table(firmware).map_err(StartError::Expected)?;
    }
    if attest.is_some_and(|attest| !attest.secrets.is_empty() && attest.secret_address.is_none()) {
        expected::check_secret_area(firmware).map_err(StartError::Expected)?;
    }
    Ok(())
}

/// The digest that the owner accepts. Where a given one is that of the domain's own files, what it covers is known.
fn accepted(attest: &Attest, launch: &LaunchInputs) -> Result<Expected, StartError> {
    let own = expected::launch_digest(launch);
    let Some(digest) = attest.digest else { return own.map_err(StartError::Expected) };
    Ok(own.ok().filter(|own| own.digest == digest).unwrap_or_else(|| Expected {
        digest,
        firmware: launch.firmware.clone().unwrap_or_default(),
        covers: vec!["what the digest given with --expect-digest was made of".into()],
    }))
}

/// Why the guest cannot run here although it can be launched.
fn impossible(launch: Option<&LaunchInputs>, facts: &Facts) -> Option<String> {
    let simulator = facts.simulated.as_deref()?;
    match launch?.technology {
        Technology::Sev => None,
        technology @ (Technology::SevEs | Technology::SevSnp) => Some(format!(
            "the platform is simulated ({simulator}), and a {technology} guest's encrypted registers need the real one; \
             its launch was carried out and measured (--paused-only ends there)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use attest::sev::secret::TableError;

    use super::*;

    #[test]
    fn secrets_that_make_no_table_are_no_distrust_of_the_platform() {
        assert!(StartError::Owner(OwnerError::OtherCek).is_distrust());
        let empty = OwnerError::Table(TableError::Empty);
        assert!(!StartError::Owner(empty).is_distrust());
        assert!(!StartError::NothingToAttest.is_distrust());
    }
}
