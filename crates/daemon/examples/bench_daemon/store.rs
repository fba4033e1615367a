//! A thousand definitions: what they cost in memory and at the daemon's start, and how fast they are given and taken.

use std::time::{Duration, Instant};

use rpc::remote::common::{DomFlags, ListAll};
use rpc::remote::object::Domain;
use rpc::remote::procedure;
use rpc::xdr::{Text, Uuid};

use crate::server::Kind;
use crate::wire::Connection;
use crate::{Result, guest, median};

pub(crate) const DOMAINS: usize = 1000;
const LISTS: usize = 50;
const DUMPS: usize = 2000;
const RESTARTS: usize = 5;

/// What was measured of one daemon.
#[derive(Debug)]
pub(crate) struct Figures {
    /// KiB, without a domain and before anything was asked.
    pub(crate) idle: u64,
    /// KiB, with all domains, once they were listed.
    pub(crate) full: u64,
    /// The same after a restart.
    pub(crate) restarted: u64,
    /// To the first answer of a daemon that has them all.
    pub(crate) first_answer: Duration,
    /// Calls a second.
    pub(crate) define: f64,
    pub(crate) list: f64,
    pub(crate) dump: f64,
}

/// Of a daemon whose state is empty.
pub(crate) fn measure(kind: &Kind) -> Result<Figures> {
    let server = kind.start()?;
    let mut connection = server.connect()?;
    list(&mut connection)?;
    let idle = server.resident()?;

    let xmls: Vec<String> =
        (0..DOMAINS).map(|number| guest::definition(&format!("bench-{number:04}"))).collect();
    let begin = Instant::now();
    let mut first = None;
    for xml in &xmls {
        let message = connection.call::<procedure::DomainDefineXml>(&Text::from(xml.as_str()))?;
        let dom = rpc::Client::reply::<procedure::DomainDefineXml>(&message)?;
        first.get_or_insert_with(|| (dom.name.clone().into_owned(), dom.uuid));
    }
    let define = rate(DOMAINS, begin.elapsed());
    let full = list(&mut connection).and_then(|_| server.resident())?;

    let begin = Instant::now();
    for _ in 0..LISTS {
        let count = list(&mut connection)?;
        if count != DOMAINS {
            return Err(format!("{} lists {count} domains of {DOMAINS}", kind.name()).into());
        }
    }
    let listing = rate(LISTS, begin.elapsed());

    let (name, uuid): (String, Uuid) = first.ok_or("no domain")?;
    let dom = || Domain { name: name.as_str().into(), uuid, id: -1 };
    let begin = Instant::now();
    for _ in 0..DUMPS {
        connection.call::<procedure::DomainGetXmlDesc>(&DomFlags { dom: dom(), flags: 0 })?;
    }
    let dump = rate(DUMPS, begin.elapsed());
    drop(connection);
    drop(server);

    let (mut answers, mut restarted) = (Vec::new(), 0);
    for _ in 0..RESTARTS {
        let server = kind.start()?;
        answers.push(server.first_answer);
        list(&mut server.connect()?)?;
        restarted = server.resident()?;
    }
    Ok(Figures { idle, full, restarted, first_answer: median(answers), define, list: listing, dump })
}

/// How many domains there are.
fn list(connection: &mut Connection) -> Result<usize> {
    let message =
        connection.call::<procedure::ConnectListAllDomains>(&ListAll { need_results: 1, flags: 0 })?;
    let reply = rpc::Client::reply::<procedure::ConnectListAllDomains>(&message)?;
    Ok(reply.domains.len())
}

fn rate(count: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64()
}
