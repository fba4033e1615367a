//! `sevirt daemon`: the libvirt-compatible service.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use daemon::server;
use daemon::service::{Paths, Service};
use rpc::Rights;

/// Serve virsh and other clients of libvirt
///
/// Examples:
///   sevirt daemon
///   sevirt daemon --state-dir /tmp/try
///   virsh -c 'qemu+unix:///system?socket=/tmp/try/run/sevirt-sock' list --all
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Keep everything below this directory instead of /var/lib, /run, /var/cache and /var/log
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Serve qemu:///session, for this user alone
    #[arg(long)]
    session: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let paths = match &args.state_dir {
        Some(directory) => Paths::below(&std::path::absolute(directory)?, !args.session),
        None if args.session => Paths::session(|name| std::env::var_os(name).map(PathBuf::from))
            .context("find the user's directories: neither HOME nor XDG_STATE_HOME is set")?,
        None => Paths::system(),
    };
    let socket = paths.socket();
    let shown = socket.display();
    let listener = server::bind(&socket, 0o660).with_context(|| format!("listen on `{shown}`"))?;
    daemon::serve(Service::open(paths), listener, Rights::Full)?;
    Ok(ExitCode::SUCCESS)
}
