//! `sevirt daemon`: the libvirt-compatible service.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use daemon::config::Config;
use daemon::isolate::Isolation;
use daemon::server::{self, Server};
use daemon::service::Paths;

use super::COULD_NOT;
use crate::style::{self, Chain};

mod log;

/// Serve virsh, virt-install and all other clients of libvirt
///
/// Guests outlive the daemon: it takes over those that run when it starts, and leaves them running when it is stopped
/// (SIGTERM) or killed. SIGHUP makes it read its configuration again. It listens on sevirt-sock and sevirt-sock-ro in
/// /run/sevirt, or on the sockets that systemd passes. docs/daemon.md has the keys of sevirtd.toml and who may connect.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                        sevirt daemon\n  \
                        virsh -c 'qemu+unix:///system?socket=/run/sevirt/sevirt-sock' list --all\n\n  \
                        sevirt daemon --state-dir /tmp/try\n  \
                        virsh -c 'qemu+unix:///system?socket=/tmp/try/run/sevirt-sock' list --all\n\n  \
                        sevirt daemon --session\n  \
                        sevirt daemon --check-config --config new.toml && sudo systemctl reload sevirtd")]
pub(crate) struct Args {
    /// Keep everything below this directory instead of /var/lib, /run, /var/cache, /var/log and /etc
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Serve qemu:///session, for this user alone
    #[arg(long)]
    session: bool,
    /// Read this configuration instead of sevirtd.toml where it belongs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print what would be in force, and exit; status 2 if the configuration has faults, which are named by line
    #[arg(long)]
    check_config: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let paths = paths(args)?;
    if args.config.is_some() && !paths.config.exists() {
        anyhow::bail!("there is no configuration `{}`", paths.config.display());
    }
    let config = Config::load(&paths.config, paths.system)?;
    if args.check_config {
        return check(&paths, &config);
    }
    let level = log::start(&config.log)?;
    // What follows is for the log: whoever started the daemon may not see its terminal.
    let outcome = Server::open(paths, config).and_then(|server| server.run(|config| level.set(config)));
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!("{}", Chain(&error.into()));
            Ok(ExitCode::from(COULD_NOT))
        }
    }
}

/// The directories of a daemon.
pub(super) fn places(state_dir: Option<&Path>, session: bool) -> anyhow::Result<Paths> {
    match state_dir {
        Some(directory) => Ok(Paths::below(&std::path::absolute(directory)?, !session)),
        None if session => Paths::session(|name| std::env::var_os(name).map(PathBuf::from))
            .context("find the user's directories: neither HOME nor XDG_STATE_HOME is set"),
        None => Ok(Paths::system()),
    }
}

fn paths(args: &Args) -> anyhow::Result<Paths> {
    let mut paths = places(args.state_dir.as_deref(), args.session)?;
    if let Some(config) = &args.config {
        paths.config = std::path::absolute(config)?;
    }
    Ok(paths)
}

/// Prints a file that says what is in force.
fn check(paths: &Paths, config: &Config) -> anyhow::Result<ExitCode> {
    let read = if paths.config.exists() { "" } else { " (not there: these are the defaults)" };
    let mut out = anstream::stdout().lock();
    writeln!(out, "# {}{read}", paths.config.display())?;
    for socket in server::sockets(paths, config) {
        writeln!(out, "# listens on {}", socket.display())?;
    }
    write!(out, "{}", config.show(false))?;
    let isolation = Isolation::new(&config.isolation, paths);
    for line in isolation.measures() {
        writeln!(out, "# guests: {line}")?;
    }
    if let Some(missing) = isolation.fault() {
        style::note(&format!("no guest can be started: {missing}"));
    }
    if paths.system {
        for name in server::unknown_names(config) {
            style::note(&format!("the allow list names `{name}`, which does not exist here"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
