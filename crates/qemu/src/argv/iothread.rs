//! I/O threads: `-object iothread`, and who is served by which.

use domain::{
    Domain,
    model::{
        disk::DiskDriver,
        iothreads::{ThreadPool, alias},
    },
};
use serde_json::{Map, Value};

use super::{Argument, Properties};

/// The objects of the threads, and of the main loop where its workers are bounded.
pub(crate) fn objects(domain: &Domain) -> Vec<Argument> {
    let threads = domain.iothreads.all().into_iter().map(|thread| {
        let object = with_pool(Properties::object("iothread", thread.alias()), thread.pool)
            .with_some("poll-max-ns", thread.poll.max)
            .with_some("poll-grow", thread.poll.grow)
            .with_some("poll-shrink", thread.poll.shrink);
        Argument::object(object)
    });
    let pool = domain.iothreads.main_loop;
    let main_loop = (pool != ThreadPool::default())
        .then(|| Argument::object(with_pool(Properties::object("main-loop", "main-loop"), pool)));
    threads.chain(main_loop).collect()
}

fn with_pool(object: Properties, pool: ThreadPool) -> Properties {
    object.with_some("thread-pool-min", pool.min).with_some("thread-pool-max", pool.max)
}

/// `iothread-vq-mapping` of a disk whose queues are served by several.
pub(crate) fn queues(driver: &DiskDriver) -> Option<Value> {
    if driver.iothreads.is_empty() {
        return None;
    }
    let threads = driver.iothreads.iter().map(|thread| {
        let mut entry = Map::new();
        entry.insert("iothread".to_owned(), alias(thread.id).into());
        if !thread.queues.is_empty() {
            entry.insert("vqs".to_owned(), thread.queues.clone().into());
        }
        Value::Object(entry)
    });
    Some(Value::Array(threads.collect()))
}
