//! Domains of another manager's, read from its directory and given to sevirt: through the daemon where it runs, else to
//! its store. The other manager's files are only read.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::Document;
use rpc::client::{Client, Received};
use rpc::program::Method;
use rpc::remote::connect::OpenArgs;
use rpc::remote::domain::SetAutostartArgs;
use rpc::remote::{object, procedure};
use rpc::xdr::Text;

use crate::service::domain::{define, info};
use crate::service::{Failure, Paths, Service};
use crate::store::Autostart;

/// How long the daemon may take to answer: it may have to start a QEMU to see what it can do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file in a directory of definitions, as libvirt keeps them: `NAME.xml`, and `autostart/NAME.xml` for those that
/// start with the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    pub autostart: bool,
}

/// The files that may define domains, sorted. Those in directories below are none: libvirt keeps networks there.
pub fn files(directory: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_definition = path.extension().is_some_and(|extension| extension == "xml") && path.is_file();
        if let Some(name) = path.file_name().filter(|_| is_definition) {
            let autostart = directory.join("autostart").join(name).symlink_metadata().is_ok();
            found.push(Found { path, autostart });
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Where definitions go.
#[derive(Debug)]
pub enum Destination {
    /// The daemon that runs.
    Daemon(Box<Connection>),
    /// The store of a daemon that does not.
    Store(Stopped),
}

/// Why a definition was not taken, in the words that a client of the daemon is told.
pub type Refused = Failure;

/// What came of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    New,
    /// A domain of that name is there already, and stays as it is.
    Known,
}

impl Destination {
    /// The daemon if it answers on its socket, else its store.
    pub fn open(paths: Paths) -> io::Result<Self> {
        match UnixStream::connect(paths.socket()) {
            Ok(stream) => Connection::open(stream, paths.uri()).map(Box::new).map(Self::Daemon),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                let runtime = tokio::runtime::Builder::new_current_thread().build()?;
                Ok(Self::Store(Stopped { service: Service::open(paths), runtime }))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a domain has that name.
    pub fn knows(&mut self, name: &str) -> Result<bool, Refused> {
        match self {
            Self::Daemon(daemon) => daemon.knows(name),
            Self::Store(store) => Ok(store.service.domains.by_name(name).is_ok()),
        }
    }

    /// Defines a domain, unless one of its name is there.
    pub fn take(&mut self, text: &str, autostart: bool) -> Result<Taken, Refused> {
        let name = name_of(text)?;
        if self.knows(&name)? {
            return Ok(Taken::Known);
        }
        match self {
            Self::Daemon(daemon) => daemon.define(text, autostart),
            Self::Store(store) => store.define(text, autostart),
        }?;
        Ok(Taken::New)
    }
}

/// The name that a definition gives; what cannot be defined at all is refused.
pub fn name_of(text: &str) -> Result<String, Refused> {
    crate::service::domain::xml::read(text).map(|(domain, _)| domain.name)
}

/// Whether a document is about a domain and not about something else that libvirt keeps.
pub fn is_domain(text: &str) -> bool {
    Document::parse(text).map_or(true, |document| document.root().name() == "domain")
}

/// Whether the store of a daemon that does not run has a definition for that name; nothing is made or changed.
pub fn is_stored(paths: &Paths, name: &str) -> bool {
    paths.state.join("domains").join(crate::store::file_name(name)).exists()
}

/// A daemon that does not run: what it would do is done in its place.
#[derive(Debug)]
pub struct Stopped {
    service: Arc<Service>,
    runtime: tokio::runtime::Runtime,
}

impl Stopped {
    fn define(&self, text: &str, autostart: bool) -> Result<(), Refused> {
        self.runtime.block_on(async {
            let defined = define::define(&self.service, text, 0).await?;
            if autostart {
                let vm = self.service.domains.of(&defined)?;
                info::set_autostart(&self.service, vm, Autostart::Always, 1).await?;
            }
            Ok(())
        })
    }
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    client: Client,
}

impl Connection {
    fn open(stream: UnixStream, uri: &str) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut connection = Self { stream, client: Client::new() };
        let open = OpenArgs { name: Some(uri.into()), flags: 0 };
        let opened = connection
            .call::<procedure::AuthList, _>(&(), |_| ())
            .and_then(|()| connection.call::<procedure::ConnectOpen, _>(&open, |()| ()));
        opened.map_err(|refused| io::Error::other(refused.to_string()))?;
        Ok(connection)
    }

    fn knows(&mut self, name: &str) -> Result<bool, Refused> {
        match self.call::<procedure::DomainLookupByName, _>(&Text::from(name), |_| ()) {
            Ok(()) => Ok(true),
            Err(refused) if refused.code == rpc::error::Code::NO_DOMAIN => Ok(false),
            Err(refused) => Err(refused),
        }
    }

    fn define(&mut self, text: &str, autostart: bool) -> Result<(), Refused> {
        let args = rpc::remote::common::XmlFlags { xml: text.into(), flags: 0 };
        let dom = self.call::<procedure::DomainDefineXmlFlags, _>(&args, |dom| object::Domain {
            name: dom.name.into_owned().into(),
            ..object::Domain::inactive("", dom.uuid)
        })?;
        if autostart {
            let args = SetAutostartArgs { dom, autostart: 1 };
            self.call::<procedure::DomainSetAutostart, _>(&args, |()| ())?;
        }
        Ok(())
    }

    fn call<M: Method, T>(
        &mut self,
        arguments: &M::Args<'_>,
        take: impl FnOnce(M::Reply<'_>) -> T,
    ) -> Result<T, Refused> {
        let failed = |what: &str, why: &dyn std::error::Error| {
            Box::new(rpc::error::RemoteError::rpc(format!("{what} the daemon: {}", crate::chain(why))))
        };
        let (wanted, bytes) = self.client.call::<M>(arguments).map_err(|error| failed("call", &error))?;
        self.stream.write_all(&bytes).map_err(|error| failed("write to", &error))?;
        let mut buffer = vec![0; 64 << 10];
        let mut bytes: &[u8] = &[];
        loop {
            match self.client.push(bytes).map_err(|error| failed("understand", &error))? {
                Some(Received::Reply { serial, message }) if serial == wanted => {
                    return match Client::reply::<M>(&message) {
                        Ok(reply) => Ok(take(reply)),
                        Err(rpc::client::CallError::Refused(refused)) => Err(refused),
                        Err(error) => Err(failed("understand", &error)),
                    };
                }
                Some(_) => bytes = &[],
                None => {
                    let count = self.stream.read(&mut buffer).map_err(|error| failed("read from", &error))?;
                    if count == 0 {
                        let ended = io::Error::from(io::ErrorKind::UnexpectedEof);
                        return Err(failed("read from", &ended));
                    }
                    bytes = buffer.get(..count).unwrap_or_default();
                }
            }
        }
    }
}
