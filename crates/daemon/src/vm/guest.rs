//! The handle of a guest in the background: what everybody but its own task may know of it and ask of it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::model::PrintForm;
use domain::{Document, Domain};
use qemu::Technology;
use qemu::qmp::{self, Command, Refusal};
use serde::Deserialize as _;
use serde_json::{Map, Value};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::end::Stopper;
use super::life::{Life, Reactions, RunState};
use super::monitor::Question;
use super::record::{self, Phase, ProcessId, Record, SevLaunch};
use super::rundir::RunDir;
use super::state::{Event, Goals, Milestone, Resume, State};
use super::task::{Background, Log, Notice, OUT_OF_MEMORY, Outcome, Request, Task, drive};
use super::words::LastWords;
use crate::cgroup::Group;
use crate::locked;
use crate::process::Process;

/// How long QEMU may take to answer somebody's question.
pub const ANSWER: Duration = Duration::from_secs(30);

/// How many questions wait for the guest's task.
const QUEUE: usize = 64;

/// How many of QEMU's events wait for who listens; who is slower loses the oldest.
const EVENTS: usize = 32;

/// What happens to a guest in the background, told by its task as it happens.
pub type Observer = Box<dyn FnMut(&Guest, &Notice) + Send>;
/// What is done when it has ended, before anybody who waits for that goes on.
pub type Afterwards = Box<dyn FnOnce(&Guest, &Outcome) + Send>;

/// A running guest. It lives as long as its QEMU does, whoever holds this.
#[derive(Debug)]
pub struct Guest {
    run_dir: PathBuf,
    record: Mutex<Record>,
    live: Mutex<Arc<Domain>>,
    /// Held by whoever changes `live`, from the look at what it is to what it has become.
    changing: Mutex<()>,
    /// 0 before there is one.
    pid: AtomicU32,
    states: watch::Sender<RunState>,
    stages: watch::Sender<Stage>,
    events: broadcast::Sender<qmp::Event>,
    inbox: mpsc::Sender<Message>,
    /// Somebody wants it to end, so it is not launched anew whatever it does.
    doomed: AtomicBool,
}

/// How far its life is.
#[derive(Debug, Clone)]
enum Stage {
    Starting,
    SetUp,
    Up,
    Ended(Arc<Outcome>),
}

/// What its task is told.
#[derive(Debug)]
pub(super) enum Message {
    Ask(Question),
    Event(Event),
}

/// How a guest is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// SIGTERM, which lets QEMU write what it holds of its disks, and SIGKILL if it does not end by that.
    Terminate,
    /// SIGTERM and nothing else; whoever asks stops waiting after a while.
    Gracefully,
    /// QMP's `quit`, then as `Terminate`.
    Quit,
}

/// Why QEMU gave no answer that could be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AskError {
    #[error("QEMU does not run any more")]
    Gone,
    #[error("QEMU did not answer `{command}` within {} s", limit.as_secs())]
    TimedOut { command: String, limit: Duration },
    #[error("QEMU refused `{command}`: {refusal}")]
    Refused { command: String, refusal: Refusal },
    #[error("QEMU answered `{command}` in an unknown form: {why}")]
    Unreadable { command: String, why: String },
}

/// Why a run directory holds no guest that could be taken over.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    #[error("read the record of the guest in `{path}`")]
    Record {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the guest's QEMU has ended")]
    Gone(Box<Record>),
    #[error("the guest was not started completely")]
    Unfinished(Box<Record>),
    #[error("there is no domain for the guest")]
    Unwanted,
    #[error("watch the guest's QEMU, process {pid}")]
    Watch {
        pid: u32,
        #[source]
        source: io::Error,
    },
}

impl Guest {
    /// Starts a guest that outlives this process. It is being started when this returns; see [`Guest::up`]. `ready` gets
    /// its handle before anything can happen to it.
    pub fn launch(
        request: Request,
        mut record: Record,
        live: Domain,
        observer: Observer,
        afterwards: Afterwards,
        ready: impl FnOnce(&Arc<Self>),
    ) -> io::Result<Arc<Self>> {
        let run_dir = request.run_dir.path().to_owned();
        record.phase = Phase::Starting;
        record.emulator.clone_from(&request.emulator);
        record.paused = request.goals.resume == Resume::Hold;
        if let Life::Background(reactions) = request.goals.life {
            record.reactions = reactions;
        }
        if let Some(Log { path, start, .. }) = &request.log {
            record.log = Some(path.clone());
            record.log_start = *start;
        }
        record.group = request.group.as_ref().map(|group| group.path().to_owned());
        record.write(&run_dir)?;
        request.run_dir.outlive();
        let state = State::new(request.goals.clone());
        let (guest, inbox) = Self::new(run_dir, record, live, state.run_state());
        ready(&guest);
        let background = Background { inbox, guest: Arc::clone(&guest), afterwards: Some(afterwards) };
        let task = Task::new(request, tell(observer, &guest), Some(background));
        tokio::spawn(async move { drive(task, state, Event::Start, &mut no_stopper()).await });
        Ok(guest)
    }

    /// Takes over the guest in a run directory that another process has left. `ways` finds who observes it, `ready`
    /// gets its handle before anything can happen to it.
    pub fn adopt(
        run_dir: RunDir,
        ways: impl FnOnce(&Record) -> Option<(Observer, Afterwards)>,
        ready: impl FnOnce(&Arc<Self>),
    ) -> Result<Arc<Self>, (RunDir, AdoptError)> {
        match Self::inspect(run_dir.path()) {
            Err(error) => Err((run_dir, error)),
            Ok((record, live, process)) => {
                let Some((observer, afterwards)) = ways(&record) else {
                    return Err((run_dir, AdoptError::Unwanted));
                };
                let goals = Goals {
                    confidential: record.technology.is_some(),
                    attest: false,
                    resume: Resume::Hold,
                    life: Life::Background(record.reactions),
                };
                let (state, _) = State::new(goals).on(Event::Adopt(record.standing));
                let pid = process.pid();
                let process = match process.watch() {
                    Ok(process) => process,
                    Err(source) => return Err((run_dir, AdoptError::Watch { pid, source })),
                };
                let group = record.group.clone().map(Group::adopt);
                let path = run_dir.path().to_owned();
                // QEMU may be about to end already, by the quit of the daemon before this one.
                let first = if record.relaunch { Event::RelaunchWanted } else { Event::Heard };
                let (guest, inbox) = Self::new(path, record, live, state.run_state());
                guest.pid.store(pid, Ordering::Relaxed);
                guest.stages.send_replace(Stage::Up);
                ready(&guest);
                let background =
                    Background { inbox, guest: Arc::clone(&guest), afterwards: Some(afterwards) };
                let task = Task::adopted(run_dir, process, group, tell(observer, &guest), background);
                tokio::spawn(async move { drive(task, state, first, &mut no_stopper()).await });
                Ok(guest)
            }
        }
    }

    /// What is recorded of the guest in a run directory, and its process, which is ended where nobody was told of it.
    fn inspect(path: &Path) -> Result<(Record, Domain, Process), AdoptError> {
        let unread = |file, source| AdoptError::Record { path: path.join(file), source };
        let record = Record::read(path).map_err(|source| unread(record::STATUS, source))?;
        let Some(id) = ProcessId::recorded(path).filter(|_| record.boot == record::boot()) else {
            return Err(AdoptError::Gone(Box::new(record)));
        };
        let process = Process::adopt(id.pid, || id.lives())
            .map_err(|source| AdoptError::Watch { pid: id.pid, source })?;
        match (process, record.phase) {
            (process, Phase::Starting) => {
                if let Some(process) = process {
                    process.end();
                }
                Err(AdoptError::Unfinished(Box::new(record)))
            }
            (None, Phase::Started) => Err(AdoptError::Gone(Box::new(record))),
            (Some(process), Phase::Started) => {
                let live = read_live(path).map_err(|source| unread(record::LIVE, source))?;
                Ok((record, live, process))
            }
        }
    }

    fn new(
        run_dir: PathBuf,
        record: Record,
        live: Domain,
        state: RunState,
    ) -> (Arc<Self>, mpsc::Receiver<Message>) {
        let (sender, inbox) = mpsc::channel(QUEUE);
        let guest = Self {
            run_dir,
            record: Mutex::new(record),
            live: Mutex::new(Arc::new(live)),
            changing: Mutex::default(),
            pid: AtomicU32::new(0),
            states: watch::Sender::new(state),
            stages: watch::Sender::new(Stage::Starting),
            events: broadcast::Sender::new(EVENTS),
            inbox: sender,
            doomed: AtomicBool::new(false),
        };
        (Arc::new(guest), inbox)
    }

    /// Waits until it is set up and may be tuned, before [`Guest::go`]; or until it is clear that it never will.
    pub async fn set_up(&self) -> Result<(), Arc<Outcome>> {
        self.reach(|stage| !matches!(stage, Stage::Starting)).await
    }

    /// It has been tuned, and may run where that is wanted.
    pub async fn go(&self) {
        self.tell(Event::Tuned).await;
    }

    /// Waits until it runs, or stays paused as wanted; or until it is clear that it never will.
    pub async fn up(&self) -> Result<(), Arc<Outcome>> {
        self.reach(|stage| matches!(stage, Stage::Up | Stage::Ended(_))).await
    }

    async fn reach(&self, wanted: impl FnMut(&Stage) -> bool) -> Result<(), Arc<Outcome>> {
        let mut stages = self.stages.subscribe();
        let stage = stages.wait_for(wanted).await;
        match stage.as_deref() {
            Ok(Stage::Ended(outcome)) => Err(Arc::clone(outcome)),
            // The sender is this.
            _ => Ok(()),
        }
    }

    /// Waits until its QEMU is gone and everything that follows from that is done.
    pub async fn ended(&self) -> Arc<Outcome> {
        let mut stages = self.stages.subscribe();
        loop {
            if let Stage::Ended(outcome) = &*stages.borrow_and_update() {
                return Arc::clone(outcome);
            }
            // The sender is this.
            let _ = stages.changed().await;
        }
    }

    /// The domain's number.
    pub fn id(&self) -> u32 {
        locked(&self.record).id
    }

    /// QEMU's process; 0 before there is one.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Its record as it is now.
    pub fn record(&self) -> Record {
        locked(&self.record).clone()
    }

    /// The running domain: everything that was chosen at its start.
    pub fn live(&self) -> Arc<Domain> {
        Arc::clone(&locked(&self.live))
    }

    /// Changes the running domain, after something came, went or was set. Changes come one after the other, so none is
    /// lost to another, and they are written down in their order; who only looks waits for none of that. Where `change`
    /// fails, nothing is changed. It is not to wait for anything, nor to change the running domain another time.
    pub fn change_live<T, E>(&self, change: impl FnOnce(&mut Domain) -> Result<T, E>) -> Result<T, E> {
        let _turn = locked(&self.changing);
        let mut live = Domain::clone(&self.live());
        let changed = change(&mut live)?;
        self.write_live(&live);
        *locked(&self.live) = Arc::new(live);
        Ok(changed)
    }

    /// The same for what cannot fail.
    pub fn note_live<T>(&self, change: impl FnOnce(&mut Domain) -> T) -> T {
        match self.change_live(|live| Ok::<_, std::convert::Infallible>(change(live))) {
            Ok(changed) => changed,
        }
    }

    fn write_live(&self, live: &Domain) {
        let text = live.print_as(PrintForm::LIVE);
        if let Err(error) = record::replace(&self.run_dir.join(record::LIVE), text.as_bytes()) {
            tracing::warn!(path = %self.run_dir.display(), %error, "the running domain cannot be written down");
        }
    }

    pub fn state(&self) -> RunState {
        *self.states.borrow()
    }

    pub fn watch(&self) -> watch::Receiver<RunState> {
        self.states.subscribe()
    }

    /// QEMU's events from now on.
    pub fn events(&self) -> broadcast::Receiver<qmp::Event> {
        self.events.subscribe()
    }

    /// What makes it confidential; `None`: nothing does.
    pub fn technology(&self) -> Option<Technology> {
        locked(&self.record).technology
    }

    /// What is known of its launch, where it is a confidential guest.
    pub fn sev(&self) -> Option<SevLaunch> {
        locked(&self.record).sev.clone()
    }

    /// Asks QEMU something.
    pub async fn ask<C: Command>(&self, command: C) -> Result<C::Reply, AskError> {
        self.ask_with(command, None).await
    }

    /// Hands QEMU a descriptor, by a command that takes one. One at a time: QEMU keeps only the last that came until a
    /// command takes it.
    pub async fn ask_with<C: Command>(&self, command: C, fd: Option<OwnedFd>) -> Result<C::Reply, AskError> {
        self.ask_within(ANSWER, command, fd).await
    }

    /// The same of something that takes its time.
    pub async fn ask_within<C: Command>(
        &self,
        limit: Duration,
        command: C,
        fd: Option<OwnedFd>,
    ) -> Result<C::Reply, AskError> {
        let mut message = Map::new();
        message.insert("execute".into(), C::NAME.into());
        let arguments = command.arguments();
        if !arguments.is_empty() {
            message.insert("arguments".into(), arguments.into());
        }
        match self.question(C::NAME, message, fd, limit).await? {
            Ok(value) => C::Reply::deserialize(value)
                .map_err(|why| AskError::Unreadable { command: C::NAME.into(), why: why.to_string() }),
            Err(refusal) => Err(AskError::Refused { command: C::NAME.into(), refusal }),
        }
    }

    /// Sends a message as it is, and gives the whole reply, with the `id` of the message where it has one.
    pub async fn ask_raw(&self, message: Value) -> Result<Value, AskError> {
        let Value::Object(message) = message else {
            return Err(AskError::Unreadable { command: String::new(), why: "it is no JSON object".into() });
        };
        let command = message.get("execute").and_then(Value::as_str).unwrap_or_default().to_owned();
        let id = message.get("id").cloned();
        let mut reply = Map::new();
        match self.question(&command, message, None, ANSWER).await? {
            Ok(value) => reply.insert("return".into(), value),
            Err(Refusal { class, desc }) => {
                reply.insert("error".into(), serde_json::json!({ "class": class, "desc": desc }))
            }
        };
        if let Some(id) = id {
            reply.insert("id".into(), id);
        }
        Ok(reply.into())
    }

    async fn question(
        &self,
        command: &str,
        message: Map<String, Value>,
        fd: Option<OwnedFd>,
        limit: Duration,
    ) -> Result<qmp::Outcome, AskError> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            let question = Message::Ask(Question { message, fd, reply });
            self.inbox.send(question).await.map_err(|_| AskError::Gone)?;
            answer.await.map_err(|_| AskError::Gone)
        };
        match tokio::time::timeout(limit, asked).await {
            Ok(outcome) => outcome,
            Err(_) => Err(AskError::TimedOut { command: command.to_owned(), limit }),
        }
    }

    /// Tells the guest's task something; a guest that has ended needs to be told nothing.
    async fn tell(&self, event: Event) {
        let _ = self.inbox.send(Message::Event(event)).await;
    }

    /// Asks for its end. See [`Guest::ended`].
    pub async fn stop(&self, how: How) {
        {
            let mut record = locked(&self.record);
            self.doomed.store(true, Ordering::Relaxed);
            if std::mem::take(&mut record.relaunch) {
                self.write_started(&record);
            }
        }
        self.tell(match how {
            How::Terminate => Event::Destroy { graceful: false },
            How::Gracefully => Event::Destroy { graceful: true },
            How::Quit => Event::StopRequested(Stopper::Command),
        })
        .await;
    }

    /// Whether somebody wants it to end.
    pub fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Relaxed)
    }

    /// Whether it is launched anew once its QEMU is gone.
    pub fn is_relaunched(&self) -> bool {
        locked(&self.record).relaunch
    }

    /// Whether it has been set up.
    pub fn is_up(&self) -> bool {
        matches!(*self.stages.borrow(), Stage::Up)
    }

    /// Ends it, to be launched anew.
    pub async fn relaunch(&self) {
        self.tell(Event::RelaunchWanted).await;
    }

    /// Its memory was written to a file after it crashed, or cannot be.
    pub async fn dumped(&self) {
        self.tell(Event::Dumped).await;
    }

    /// Says whether the shutdown that the guest is asked for next is a reboot.
    pub async fn expect_reboot(&self, reboot: bool) {
        self.tell(Event::RebootWanted(reboot)).await;
    }

    pub fn reactions(&self) -> Reactions {
        locked(&self.record).reactions
    }

    /// Changes what becomes of it when it powers off, reboots or crashes.
    pub async fn react(&self, change: impl FnOnce(&mut Reactions)) {
        let reactions = {
            let mut record = locked(&self.record);
            change(&mut record.reactions);
            self.write(&record);
            record.reactions
        };
        self.tell(Event::React(reactions)).await;
    }

    /// The domain was given another name.
    pub fn rename(&self, name: &str) {
        let mut record = locked(&self.record);
        name.clone_into(&mut record.name);
        self.write(&record);
    }

    fn write(&self, record: &Record) {
        if let Err(error) = record.write(&self.run_dir) {
            tracing::warn!(path = %self.run_dir.display(), %error, "the guest's state cannot be written down");
        }
    }

    /// QEMU's process runs.
    pub(super) fn spawned(&self, pid: u32) {
        self.pid.store(pid, Ordering::Relaxed);
    }

    /// Takes note of how it stands now.
    pub(super) fn note(&self, state: &State) {
        let now = state.run_state();
        self.states.send_if_modified(|known| std::mem::replace(known, now) != now);
        let mut record = locked(&self.record);
        let standing = state.standing().unwrap_or(record.standing);
        let relaunch = state.is_relaunching() && !self.is_doomed();
        if (record.standing, record.relaunch) != (standing, relaunch) {
            (record.standing, record.relaunch) = (standing, relaunch);
            self.write_started(&record);
        }
    }

    /// Writes down what concerns nobody before it has started: until then nobody will take it over.
    fn write_started(&self, record: &Record) {
        if record.phase == Phase::Started {
            self.write(record);
        }
    }

    /// QEMU is put into another control group than was written down.
    pub(super) fn moved(&self, group: &Path) {
        let mut record = locked(&self.record);
        record.group = Some(group.to_owned());
        self.write(&record);
    }

    /// Takes note of what its task has reached.
    fn reached(&self, milestone: &Milestone) {
        match milestone {
            Milestone::Ready(Some(sev)) => locked(&self.record).sev = Some(SevLaunch::of(sev, None)),
            Milestone::Measured(evidence) => {
                let measurement = Some(evidence.measurement.clone());
                locked(&self.record).sev = Some(SevLaunch::of(&evidence.sev, measurement));
            }
            Milestone::Traced => {
                let mut record = locked(&self.record);
                record.traced = true;
                self.write_started(&record);
            }
            Milestone::Listed(chardevs) => {
                self.note_live(|live| {
                    for chardev in chardevs {
                        if let Some(pty) = chardev.pty() {
                            super::live::connect(live, &chardev.label, pty);
                        }
                    }
                });
            }
            _ => {}
        }
    }

    /// It was started, and somebody is about to hear of it.
    fn started(&self) {
        let mut record = locked(&self.record);
        record.phase = Phase::Started;
        self.write(&record);
    }

    fn is_starting(&self) -> bool {
        matches!(*self.stages.borrow(), Stage::Starting | Stage::SetUp)
    }

    /// QEMU is gone, and so is all that belonged to it.
    pub(super) fn end(&self, outcome: Outcome, afterwards: Option<Afterwards>) {
        if let Some(afterwards) = afterwards {
            afterwards(self, &outcome);
        }
        self.states.send_replace(outcome.run_state());
        self.stages.send_replace(Stage::Ended(Arc::new(outcome)));
    }
}

/// Lets the handle take note first.
fn tell(mut observer: Observer, guest: &Arc<Guest>) -> Box<dyn FnMut(Notice) + Send> {
    let guest = Arc::clone(guest);
    Box::new(move |notice| {
        match &notice {
            Notice::Milestone(milestone) => guest.reached(milestone),
            // Nobody may be listening.
            Notice::Heard(event) => drop(guest.events.send(event.clone())),
            Notice::Console(_) => {}
        }
        let is_up = matches!(notice, Notice::Milestone(Milestone::Held | Milestone::Resumed));
        if is_up && guest.is_starting() {
            guest.started();
        }
        observer(&guest, &notice);
        if is_up && guest.is_starting() {
            guest.stages.send_replace(Stage::Up);
        }
        if matches!(notice, Notice::Milestone(Milestone::SetUp)) {
            guest.stages.send_replace(Stage::SetUp);
        }
    })
}

/// Nothing but its own inbox stops a guest in the background.
fn no_stopper() -> mpsc::Receiver<Stopper> {
    mpsc::channel(1).1
}

/// What QEMU said last of a guest that nobody watched.
pub(crate) fn last_words(record: &Record) -> Vec<String> {
    let mut words = LastWords::default();
    if let Some(log) = &record.log {
        words.read_end(log, record.log_start);
    }
    if record.group.clone().map(Group::adopt).is_some_and(|group| group.ran_out_of_memory()) {
        words.push(OUT_OF_MEMORY);
    }
    words.into_lines()
}

pub(crate) fn read_live(run_dir: &Path) -> io::Result<Domain> {
    let text = record::read_bounded(&run_dir.join(record::LIVE))?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    let document = Document::parse(&text).map_err(io::Error::other)?;
    Ok(Domain::read(&document).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relaunch_is_on_record_before_qemu_is_asked_to_end() {
        let directory = tempfile::tempdir().unwrap();
        let (live, _) = Domain::read(
            &Document::parse("<domain type='kvm'><name>a</name><memory>1</memory></domain>").unwrap(),
        );
        let mut record = Record::new("u".into(), "a".into(), 1);
        record.phase = Phase::Started;
        let life = Life::Background(Reactions::USUAL);
        let goals = Goals { confidential: true, attest: false, resume: Resume::Hold, life };
        let standing = super::super::life::Standing::Running { unpaused: false };
        let (state, _) = State::new(goals).on(Event::Adopt(standing));
        let (guest, _inbox) = Guest::new(directory.path().into(), record, live, state.run_state());
        let (state, actions) = state.on(Event::Shutdown { guest: true, reason: "guest-reset".into() });
        // This is done between a step and what follows from it.
        guest.note(&state);
        use super::super::state::{Action, Query};
        assert!(actions.contains(&Action::Ask(Query::Quit)), "{actions:?}");
        assert!(Record::read(directory.path()).unwrap().relaunch);
        assert!(guest.is_relaunched());
        // Who ends it meanwhile wants no other.
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(guest.stop(How::Quit));
        assert!(!Record::read(directory.path()).unwrap().relaunch);
        guest.note(&state);
        assert!(!guest.is_relaunched());
    }

    #[test]
    fn no_change_of_the_running_domain_is_lost_to_another() {
        let directory = tempfile::tempdir().unwrap();
        let text = "<domain type='kvm'><name>a</name><memory>1</memory><vcpu>1</vcpu></domain>";
        let (live, _) = Domain::read(&Document::parse(text).unwrap());
        let record = Record::new("u".into(), "a".into(), 1);
        let state = rpc::remote::domain::state::RUNNING_BOOTED.into();
        let (guest, _inbox) = Guest::new(directory.path().into(), record, live, state);
        let (threads, changes) = (4, 50);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..changes).for_each(|_| guest.note_live(|live| live.vcpu.count += 1)));
            }
        });
        assert_eq!(guest.live().vcpu.count, 1 + threads * changes);
        assert_eq!(read_live(directory.path()).unwrap().vcpu.count, 1 + threads * changes);
        guest
            .change_live(|live| {
                live.vcpu.count = 0;
                Err::<(), _>(())
            })
            .unwrap_err();
        assert_eq!(guest.live().vcpu.count, 1 + threads * changes);
    }
}
