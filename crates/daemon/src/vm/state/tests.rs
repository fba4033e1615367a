//! Scripted lives, and the property that no order of events reaches an illegal state.

use proptest::prelude::*;
use qemu::qmp::command::{RunState, SevGuest, SevGuestState, SevInjectLaunchSecret, SevState};

use super::super::end::ExitKind;
use super::*;

const RUN: Goals = Goals { confidential: true, attest: false, resume: Resume::Yes, life: Life::Foreground };
const ATTEST: Goals = Goals { attest: true, ..RUN };
const BACKGROUND: Goals = Goals { confidential: false, life: Life::Background(Reactions::USUAL), ..RUN };

fn sev() -> SevState {
    SevState {
        enabled: true,
        api_major: 1,
        api_minor: 55,
        build_id: 8,
        state: SevGuestState::LaunchSecret,
        guest: SevGuest::Sev { policy: 1, handle: 1 },
    }
}

fn plain() -> SevState {
    SevState { enabled: false, state: SevGuestState::Uninit, ..sev() }
}

fn secret() -> SevInjectLaunchSecret {
    SevInjectLaunchSecret { header: "aGVhZA==".into(), secret: "Ym9keQ==".into(), gpa: None }
}

/// The actions of a life, deadlines left out.
fn live(goals: Goals, events: impl IntoIterator<Item = Event>) -> (State, Vec<Action>) {
    let mut state = State::new(goals);
    let mut all = Vec::new();
    for event in events {
        let (next, actions) = state.on(event);
        state = next;
        all.extend(actions.into_iter().filter(|action| !matches!(action, Action::Deadline(_))));
    }
    (state, all)
}

fn until_inspected(sev: SevState) -> Vec<Event> {
    vec![
        Event::Start,
        Event::Spawned,
        Event::Greeted,
        Event::Answered(Answer::Negotiated),
        Event::Answered(Answer::Sev(sev)),
    ]
}

fn until_measured() -> Vec<Event> {
    let mut events = until_inspected(sev());
    events.push(Event::Answered(Answer::Measured("bWVhc3VyZQ==".into())));
    events
}

#[track_caller]
fn ends(goals: Goals, events: Vec<Event>, expected: &End) {
    let (state, actions) = live(goals, events);
    assert!(state.is_over(), "{state:?}");
    assert_eq!(actions.last(), Some(&Action::Finish(expected.clone())));
}

#[test]
fn an_attested_guest_gets_its_secret_and_runs_to_its_end() {
    let mut events = until_measured();
    events.extend([
        Event::Judged(Verdict::Accepted { secrets: vec![secret()] }),
        Event::Answered(Answer::Injected),
        Event::Answered(Answer::Chardevs(Vec::new())),
        Event::Answered(Answer::Continued),
        Event::Shutdown { guest: true, reason: "guest-shutdown".into() },
        Event::Answered(Answer::Quitting),
        Event::MonitorClosed,
        Event::Exited(ExitKind::Code(0)),
    ]);
    let (_, actions) = live(ATTEST, events);
    let asked: Vec<&Query> =
        actions.iter().filter_map(|a| if let Action::Ask(query) = a { Some(query) } else { None }).collect();
    let inject = Query::Inject(secret());
    let expected = [
        &Query::Negotiate,
        &Query::Sev,
        &Query::Measure,
        &inject,
        &Query::Chardevs,
        &Query::Continue,
        &Query::Quit,
    ];
    assert_eq!(asked, expected);
    assert_eq!(actions.last(), Some(&Action::Finish(End::GuestEnded)));
}

#[test]
fn a_rejected_guest_never_runs() {
    let mut events = until_measured();
    events.push(Event::Judged(Verdict::Rejected { reason: "digest differs".into() }));
    events.push(Event::Exited(ExitKind::Code(0)));
    ends(ATTEST, events, &End::AttestationFailed("digest differs".into()));
}

#[test]
fn a_guest_that_never_ran_has_not_ended_well() {
    let shutdown = || Event::Shutdown { guest: true, reason: "guest-shutdown".into() };
    for events in [until_inspected(sev()), until_measured()] {
        let events = events.into_iter().chain([shutdown(), Event::Exited(ExitKind::Code(0))]).collect();
        ends(ATTEST, events, &End::StoppedElsewhere("guest-shutdown".into()));
    }
}

#[test]
fn without_a_measurement_attestation_fails() {
    let mut events = until_inspected(SevState { guest: SevGuest::Snp { policy: 0x30000 }, ..sev() });
    events.push(Event::Exited(ExitKind::Code(0)));
    ends(ATTEST, events, &End::AttestationFailed("there is no launch measurement to verify".into()));
}

#[test]
fn a_confidential_guest_that_is_not_encrypted_does_not_run() {
    let mut events = until_inspected(plain());
    events.push(Event::Exited(ExitKind::Code(0)));
    ends(RUN, events, &End::CannotStart("QEMU started the guest without memory encryption".into()));
}

#[test]
fn a_plain_guest_runs() {
    let mut events = until_inspected(plain());
    events.push(Event::Answered(Answer::Chardevs(Vec::new())));
    let (_, actions) = live(Goals { confidential: false, ..RUN }, events);
    assert_eq!(actions.last(), Some(&Action::Ask(Query::Continue)));
}

#[test]
fn an_exit_is_blamed_by_when_it_came() {
    let start = vec![Event::Start, Event::Spawned];
    let with = |exit| [start.clone(), vec![Event::MonitorClosed, Event::Exited(exit)]].concat();
    ends(RUN, with(ExitKind::Code(1)), &End::RefusedToStart(ExitKind::Code(1)));
    ends(RUN, with(ExitKind::Signal(6)), &End::RefusedToStart(ExitKind::Signal(6)));
    let mut running = until_measured();
    running.extend([
        Event::Answered(Answer::Chardevs(Vec::new())),
        Event::Answered(Answer::Continued),
        Event::MonitorClosed,
        Event::Exited(ExitKind::Signal(6)),
    ]);
    ends(RUN, running, &End::Died(ExitKind::Signal(6)));
}

#[test]
fn a_deaf_qemu_is_terminated_then_killed_then_given_up() {
    let events =
        [Event::Start, Event::Spawned, Event::DeadlinePassed, Event::DeadlinePassed, Event::DeadlinePassed];
    let (_, actions) = live(RUN, events);
    let timed_out = End::TimedOut("QEMU did not greet on its QMP socket in time".into());
    assert_eq!(
        actions,
        [
            Action::Spawn,
            Action::Tell(Milestone::Spawned),
            Action::Terminate,
            Action::Kill,
            Action::Finish(timed_out)
        ]
    );
}

#[test]
fn a_second_stop_is_a_kill() {
    let mut events = until_measured();
    events.extend([
        Event::Answered(Answer::Chardevs(Vec::new())),
        Event::Answered(Answer::Continued),
        Event::StopRequested(Stopper::Signal(2)),
        Event::StopRequested(Stopper::Signal(2)),
        Event::Exited(ExitKind::Signal(9)),
    ]);
    let (_, actions) = live(RUN, events.clone());
    assert!(actions.contains(&Action::Ask(Query::Quit)) && actions.contains(&Action::Kill));
    ends(RUN, events, &End::Stopped(Stopper::Signal(2)));
}

#[test]
fn a_guest_that_cannot_run_here_is_measured_and_not_resumed() {
    let goals = Goals { resume: Resume::Impossible("the platform is simulated".into()), ..RUN };
    let mut events = until_measured();
    events.extend([Event::Answered(Answer::Chardevs(Vec::new())), Event::Exited(ExitKind::Code(0))]);
    let (_, actions) = live(goals.clone(), events.clone());
    assert!(!actions.contains(&Action::Ask(Query::Continue)));
    ends(goals, events, &End::CannotResume("the platform is simulated".into()));
}

#[test]
fn a_halted_guest_is_asked_why() {
    let mut events = until_measured();
    events.extend([
        Event::Answered(Answer::Chardevs(Vec::new())),
        Event::Answered(Answer::Continued),
        Event::Halted,
        Event::Answered(Answer::Status(RunState::InternalError)),
        Event::Exited(ExitKind::Code(0)),
    ]);
    let (_, actions) = live(RUN, events);
    let Some(Action::Finish(end)) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(end.exit_code(), 7);
}

/// A guest in the background that runs.
fn until_running() -> Vec<Event> {
    let mut events = until_inspected(plain());
    events.extend([
        Event::Answered(Answer::Chardevs(Vec::new())),
        Event::Answered(Answer::RebootBound),
        Event::Tuned,
        Event::Answered(Answer::Continued),
    ]);
    events
}

/// What an onlooker is told of a guest in the background once it runs, and how it stands then.
fn told(goals: Goals, events: Vec<Event>) -> (Vec<Milestone>, Option<Standing>) {
    let (mut state, _) = live(goals, until_running());
    let mut told = Vec::new();
    for event in events {
        let (next, actions) = state.on(event);
        state = next;
        told.extend(actions.into_iter().filter_map(|action| match action {
            Action::Tell(milestone) => Some(milestone),
            _ => None,
        }));
    }
    (told, state.standing())
}

#[test]
fn a_guest_in_the_background_lives_on_through_pauses() {
    let events = vec![
        Event::Halted,
        Event::Answered(Answer::Status(RunState::Paused)),
        Event::Continued,
        Event::About(Still::IoError),
        Event::Halted,
    ];
    let (told, standing) = told(BACKGROUND, events);
    let expected = [Milestone::Paused(Still::Asked), Milestone::Unpaused, Milestone::Paused(Still::IoError)];
    assert_eq!(told, expected);
    assert_eq!(standing, Some(Standing::Still(Still::IoError)));
}

#[test]
fn a_guest_that_is_held_waits_for_its_owner() {
    let mut events = until_measured();
    events.push(Event::Answered(Answer::Chardevs(Vec::new())));
    events.push(Event::Answered(Answer::RebootBound));
    events.push(Event::Tuned);
    let goals = Goals { confidential: true, resume: Resume::Hold, ..BACKGROUND };
    let (state, actions) = live(goals, events);
    assert_eq!(actions.last(), Some(&Action::Tell(Milestone::Held)));
    assert!(!actions.contains(&Action::Ask(Query::Continue)));
    assert_eq!(state.standing(), Some(Standing::Held));
    let (state, _) = state.on(Event::Continued);
    assert_eq!(state.standing(), Some(Standing::Running { unpaused: true }));
}

#[test]
fn a_reboot_is_a_reset_of_a_plain_guest_and_a_relaunch_of_a_confidential_one() {
    let reboot =
        || vec![Event::RebootWanted(true), Event::Shutdown { guest: true, reason: "guest-shutdown".into() }];
    let again =
        [reboot(), vec![Event::Answered(Answer::WasReset), Event::Answered(Answer::Continued)]].concat();
    let (_, standing) = told(BACKGROUND, again.clone());
    assert_eq!(standing, Some(Standing::Running { unpaused: false }));
    // The reboot was that one; the next shutdown is one.
    let twice = [again, vec![Event::Shutdown { guest: true, reason: "guest-shutdown".into() }]].concat();
    let (told_of, standing) = told(BACKGROUND, twice);
    assert_eq!(standing, None);
    let shut = told_of.iter().filter(|told| **told == Milestone::ShuttingDown { guest: true });
    assert_eq!(shut.count(), 1, "a reboot is told as a shutdown");

    let confidential = Goals { confidential: true, ..BACKGROUND };
    let mut events = until_measured();
    events.extend([
        Event::Answered(Answer::Chardevs(Vec::new())),
        Event::Answered(Answer::RebootBound),
        Event::Tuned,
        Event::Answered(Answer::Continued),
        Event::Shutdown { guest: true, reason: "guest-reset".into() },
        Event::Answered(Answer::Quitting),
        Event::Exited(ExitKind::Code(0)),
    ]);
    ends(confidential, events, &End::Relaunch);
}

#[test]
fn what_becomes_of_a_guest_is_as_it_says() {
    let all = |reaction| {
        let life = Reactions { poweroff: reaction, reboot: reaction, crash: reaction, core_dump: false };
        let life = Life::Background(life);
        Goals { life, ..BACKGROUND }
    };
    let shutdown = |reason: &str| Event::Shutdown { guest: true, reason: reason.into() };
    for event in [shutdown("guest-shutdown"), shutdown("guest-reset"), Event::Panicked] {
        assert_eq!(told(all(Reaction::Destroy), vec![event.clone()]).1, None);
        let (_, kept) = told(all(Reaction::Preserve), vec![event.clone()]);
        assert!(matches!(kept, Some(Standing::Still(Still::ShutDown | Still::Panicked))), "{kept:?}");
        let (_, restarted) = told(all(Reaction::Restart), vec![event]);
        assert_eq!(restarted, Some(Standing::Running { unpaused: false }));
    }
}

#[test]
fn a_crashed_guest_is_dumped_before_anything_else_becomes_of_it() {
    let dumped = |crash, confidential| {
        let life = Life::Background(Reactions { crash, core_dump: true, ..Reactions::USUAL });
        Goals { life, confidential, ..BACKGROUND }
    };
    let running = |goals| State::new(goals).on(Event::Adopt(Standing::Running { unpaused: false })).0;
    let (state, actions) = running(dumped(Reaction::Destroy, false)).on(Event::Panicked);
    assert_eq!(
        actions,
        [
            Action::Tell(Milestone::Panicked),
            Action::Deadline(Some(DUMP)),
            Action::Tell(Milestone::DumpWanted)
        ]
    );
    assert_eq!(state.run_state(), Still::Panicked.run_state());
    // A daemon that is killed meanwhile finds it as it was, and asks QEMU.
    assert_eq!(state.standing(), None);
    // It panics once, and what QEMU says of it meanwhile changes nothing.
    let (state, actions) = state.on(Event::Panicked);
    assert_eq!(actions, []);
    let (state, actions) = state.on(Event::Answered(Answer::Status(RunState::GuestPanicked)));
    assert_eq!(actions, []);
    let (state, actions) = state.on(Event::Dumped);
    assert_eq!(actions.last(), Some(&Action::Ask(Query::Quit)));
    assert_eq!(
        state.on(Event::Exited(ExitKind::Code(0))).1.last(),
        Some(&Action::Finish(End::GuestPanicked))
    );
    let (state, _) = running(dumped(Reaction::Restart, false)).on(Event::Panicked);
    assert_eq!(state.on(Event::Dumped).1.last(), Some(&Action::Ask(Query::Reset)));
    // Whoever destroys it meanwhile does not wait.
    let (state, _) = running(dumped(Reaction::Restart, false)).on(Event::Panicked);
    assert_eq!(state.on(Event::Destroy { graceful: false }).1.last(), Some(&Action::Terminate));
    // Nobody can read what an encrypted guest had in mind.
    let (state, _) = running(dumped(Reaction::Restart, true)).on(Event::Panicked);
    assert_eq!(state.end, Some(End::Relaunch));
}

#[test]
fn a_guest_that_was_taken_over_is_asked_how_it_is() {
    let state = State::new(BACKGROUND);
    let (state, actions) = state.on(Event::Adopt(Standing::Running { unpaused: false }));
    assert_eq!(actions, [Action::Deadline(None)], "a guest whose QEMU hangs is left alone");
    let (state, actions) = state.on(Event::Greeted);
    assert_eq!(actions.last(), Some(&Action::Ask(Query::Negotiate)));
    let (state, actions) = state.on(Event::Answered(Answer::Negotiated));
    assert_eq!(actions, [Action::Ask(Query::Status), Action::Ask(Query::TraceShutdown)]);
    // It shut down while nobody looked.
    let (state, actions) = state.on(Event::Answered(Answer::Status(RunState::Shutdown)));
    assert_eq!(actions, [Action::FindCause]);
    let (state, actions) = state.on(Event::Shutdown { guest: true, reason: "guest-shutdown".into() });
    assert_eq!(actions.last(), Some(&Action::Ask(Query::Quit)));
    let (_, actions) = state.on(Event::Exited(ExitKind::Unknown));
    assert_eq!(actions.last(), Some(&Action::Finish(End::GuestEnded)));
}

#[test]
fn a_destroyed_qemu_is_terminated_and_killed_only_if_it_stays() {
    let (state, _) = live(BACKGROUND, until_running());
    let (state, actions) = state.on(Event::Destroy { graceful: false });
    assert!(actions.contains(&Action::Terminate) && !actions.contains(&Action::Kill));
    let (state, actions) = state.on(Event::Shutdown { guest: false, reason: "host-signal".into() });
    assert_eq!(actions, [Action::Tell(Milestone::ShuttingDown { guest: false })]);
    let (state, actions) = state.on(Event::DeadlinePassed);
    assert!(actions.contains(&Action::Kill));
    let (_, actions) = state.on(Event::Exited(ExitKind::Signal(9)));
    assert_eq!(actions.last(), Some(&Action::Finish(End::Stopped(Stopper::Command))));
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Start),
        5 => Just(Event::Spawned),
        5 => Just(Event::Greeted),
        5 => Just(Event::Answered(Answer::Negotiated)),
        5 => Just(Event::Answered(Answer::Sev(sev()))),
        1 => Just(Event::Answered(Answer::Sev(plain()))),
        5 => Just(Event::Answered(Answer::Measured("bQ==".into()))),
        4 => Just(Event::Judged(Verdict::Accepted { secrets: vec![secret(), secret()] })),
        2 => Just(Event::Judged(Verdict::Accepted { secrets: Vec::new() })),
        1 => Just(Event::Judged(Verdict::Rejected { reason: "no".into() })),
        5 => Just(Event::Answered(Answer::Injected)),
        5 => Just(Event::Answered(Answer::Chardevs(Vec::new()))),
        5 => Just(Event::Answered(Answer::Continued)),
        2 => Just(Event::Answered(Answer::Quitting)),
        1 => Just(Event::Answered(Answer::Status(RunState::IoError))),
        1 => Just(Event::Answered(Answer::Status(RunState::Paused))),
        1 => Just(Event::SpawnFailed("no such file".into())),
        1 => Just(Event::Refused("no".into())),
        1 => Just(Event::ConsoleFailed("no".into())),
        1 => Just(Event::Shutdown { guest: true, reason: "guest-shutdown".into() }),
        1 => Just(Event::Shutdown { guest: false, reason: "host-signal".into() }),
        2 => Just(Event::Halted),
        2 => Just(Event::Continued),
        1 => Just(Event::Reset),
        1 => Just(Event::About(Still::IoError)),
        1 => Just(Event::Panicked),
        1 => Just(Event::Dumped),
        1 => Just(Event::RebootWanted(true)),
        1 => any::<bool>().prop_map(|graceful| Event::Destroy { graceful }),
        1 => Just(Event::Shutdown { guest: true, reason: "guest-reset".into() }),
        5 => Just(Event::Answered(Answer::RebootBound)),
        3 => Just(Event::Answered(Answer::WasReset)),
        5 => Just(Event::Tuned),
        1 => Just(Event::MonitorClosed),
        1 => Just(Event::MonitorBroken("nonsense".into())),
        1 => Just(Event::Exited(ExitKind::Code(1))),
        1 => Just(Event::StopRequested(Stopper::Signal(15))),
        1 => Just(Event::TimeUp),
        1 => Just(Event::DeadlinePassed),
    ]
}

fn any_goals() -> impl Strategy<Value = Goals> {
    let resume = prop_oneof![
        3 => Just(Resume::Yes),
        1 => Just(Resume::StayPaused),
        1 => Just(Resume::Hold),
        1 => Just(Resume::Impossible("here".into()))
    ];
    let reaction = || prop_oneof![Just(Reaction::Destroy), Just(Reaction::Restart), Just(Reaction::Preserve)];
    let life = prop_oneof![
        Just(Life::Foreground),
        (reaction(), reaction(), reaction(), any::<bool>()).prop_map(
            |(poweroff, reboot, crash, core_dump)| {
                Life::Background(Reactions { poweroff, reboot, crash, core_dump })
            }
        )
    ];
    (any::<bool>(), any::<bool>(), resume, life).prop_map(|(confidential, attest, resume, life)| Goals {
        confidential,
        attest,
        resume,
        life,
    })
}

#[test]
fn a_guest_that_rebooted_while_nobody_listened_is_launched_anew() {
    let goals = Goals {
        confidential: true,
        attest: false,
        resume: Resume::Hold,
        life: Life::Background(Reactions::USUAL),
    };
    let adopted = || State::new(goals.clone()).on(Event::Adopt(Standing::Running { unpaused: false })).0;
    let (state, actions) = adopted().on(Event::Answered(Answer::Status(RunState::Shutdown)));
    assert_eq!(actions, [Action::FindCause]);
    let told = |reason: &str| Event::Shutdown { guest: true, reason: reason.into() };
    let ends = |state: &State, reason| state.clone().on(told(reason)).0.end;
    assert_eq!(ends(&state, "guest-reset"), Some(End::Relaunch));
    assert_eq!(ends(&state, "guest-shutdown"), Some(End::GuestEnded));
    // The daemon before this one was about to.
    assert!(adopted().on(Event::RelaunchWanted).0.is_relaunching());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_order_of_events_reaches_an_illegal_state(
        goals in any_goals(),
        events in prop::collection::vec(any_event(), 0..40),
    ) {
        let mut state = State::new(goals.clone());
        let (mut judged, mut accepted, mut spawned, mut exited) = (false, false, false, false);
        let (mut conts, mut finishes, mut spawns) = (0, 0, 0);
        let mut deadline = None;
        for event in events {
            let was_over = state.is_over();
            let before = state.clone();
            // An answer is only given to a question; a machine that is asked nothing cannot be judged.
            accepted |= matches!(&event, Event::Judged(Verdict::Accepted { .. })) && before.phase == Phase::Verifying;
            exited |= matches!(event, Event::Exited(_));
            let failed = matches!(event, Event::SpawnFailed(_));
            let (next, actions) = state.on(event);
            state = next;
            if was_over {
                prop_assert!(actions.is_empty(), "acts after its end: {actions:?}");
                continue;
            }
            for action in actions {
                match action {
                    Action::Spawn => { spawns += 1; spawned = true; }
                    Action::Judge(_) => judged = true,
                    Action::Ask(Query::Continue) => {
                        conts += u32::from(before.phase != Phase::Resetting);
                        let restarts = before.phase == Phase::Resetting && !goals.confidential;
                        prop_assert!(restarts || goals.resume == Resume::Yes, "runs unwanted");
                        prop_assert!(!goals.attest || (judged && accepted), "runs unattested");
                    }
                    Action::Ask(Query::Inject(_)) => prop_assert!(judged && accepted, "injects unattested"),
                    Action::Terminate | Action::Kill => prop_assert!(spawned, "signals what was not started"),
                    Action::Deadline(limit) => deadline = limit,
                    Action::Finish(_) => {
                        finishes += 1;
                        let given_up = before.phase == Phase::Killing;
                        prop_assert!(!spawned || exited || failed || given_up, "leaves QEMU behind");
                    }
                    Action::Ask(_) | Action::OpenConsole(_) | Action::FindCause | Action::Tell(_) => {}
                }
            }
            prop_assert_eq!(state.is_over(), finishes == 1);
            let waits_forever = matches!(
                state.phase,
                Phase::New | Phase::Held | Phase::Running | Phase::Still(_) | Phase::Ended
            );
            prop_assert!(waits_forever || deadline.is_some(), "waits without a deadline in {:?}", state.phase);
        }
        prop_assert!(conts <= 1 && spawns <= 1 && finishes <= 1);
    }

    #[test]
    fn deadlines_alone_end_any_life(
        goals in any_goals(),
        events in prop::collection::vec(any_event(), 0..40),
    ) {
        let (mut state, _) = live(goals, events);
        if matches!(state.phase, Phase::New | Phase::Held | Phase::Running | Phase::Still(_)) {
            state = state.on(Event::TimeUp).0;
        }
        for _ in 0..4 {
            state = state.on(Event::DeadlinePassed).0;
        }
        prop_assert!(state.is_over(), "{state:?}");
    }
}
