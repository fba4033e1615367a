//! One guest in the foreground: the runtime that its supervisor runs on, stopped by the signals that end a program.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::end::Stopper;
use super::task::{Notice, Outcome, Request, run};

/// A runtime that has taken over SIGINT, SIGTERM, SIGHUP and SIGQUIT. Make it before anything that must be tidied up:
/// a signal that comes in between is kept and stops the guest as soon as it is run.
#[derive(Debug)]
pub struct Foreground {
    runtime: Runtime,
    stop: mpsc::Receiver<Stopper>,
}

impl Foreground {
    pub fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (sender, stop) = mpsc::channel(4);
        let _inside = runtime.enter();
        let kinds =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        for kind in kinds {
            let mut signals = signal(kind)?;
            let sender = sender.clone();
            runtime.spawn(async move {
                while signals.recv().await.is_some() {
                    // When nobody listens any more the program is ending anyway.
                    if sender.send(Stopper::Signal(kind.as_raw_value())).await.is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { runtime, stop })
    }

    /// Runs a guest to its end.
    pub fn run(&mut self, request: Request, observer: &mut dyn FnMut(Notice)) -> Outcome {
        self.runtime.block_on(run(request, &mut self.stop, observer))
    }
}
