//! Reads `<iothreads>`, `<iothreadids>` and `<defaultiothread>`.

use super::{reader::Reader, values::parse_number};
use crate::model::{
    disk::DiskIoThread,
    iothreads::{IoThread, IoThreads, Poll, ThreadPool},
};

/// Reads what the domain says of its I/O threads.
pub(super) fn read_iothreads(domain: &Reader<'_, '_>) -> IoThreads {
    let count = domain.child("iothreads").and_then(|count| {
        count.parsed_text("a number of threads up to 16384", |text| {
            parse_number::<u32>(text, 10).filter(|count| *count <= IoThreads::MOST)
        })
    });
    let mut numbered: Vec<IoThread> = Vec::new();
    if let Some(list) = domain.child("iothreadids") {
        for thread in list.children("iothread") {
            let Some(id) = read_id(&thread) else { continue };
            if numbered.iter().any(|known| known.id == id) {
                thread.malformed_attribute("id", &format!("there is an I/O thread {id} already"));
                thread.settle();
                continue;
            }
            numbered.push(IoThread { id, pool: read_pool(&thread), poll: read_poll(&thread) });
        }
    }
    let count = count.unwrap_or(0).max(u32::try_from(numbered.len()).unwrap_or(u32::MAX));
    let main_loop = domain.child("defaultiothread").map(|own| read_pool(&own)).unwrap_or_default();
    IoThreads { count, numbered, main_loop }
}

/// A thread's number.
pub(super) fn read_id(reader: &Reader<'_, '_>) -> Option<u32> {
    if reader.element().attribute("id").is_none() {
        reader.missing("attribute `id`");
    }
    let id = read_number(reader, "id");
    if id.is_none() {
        // Nor is anything below it kept.
        reader.settle();
    }
    id
}

/// A thread's number in an attribute.
pub(super) fn read_number(reader: &Reader<'_, '_>, name: &'static str) -> Option<u32> {
    reader.parsed(name, "a number from 1", |text| parse_number(text, 10).filter(|id| *id > 0))
}

fn read_pool(reader: &Reader<'_, '_>) -> ThreadPool {
    ThreadPool { min: reader.number("thread_pool_min"), max: reader.number("thread_pool_max") }
}

fn read_poll(reader: &Reader<'_, '_>) -> Poll {
    let Some(poll) = reader.child("poll") else { return Poll::default() };
    Poll { max: poll.number("max"), grow: poll.number("grow"), shrink: poll.number("shrink") }
}

/// Reads `<iothreads>` of a disk's driver.
pub(super) fn read_of_disk(driver: &Reader<'_, '_>) -> Vec<DiskIoThread> {
    let Some(list) = driver.child("iothreads") else { return Vec::new() };
    let read = |thread: Reader<'_, '_>| {
        let id = read_id(&thread)?;
        Some(DiskIoThread {
            id,
            queues: thread.children("queue").filter_map(|queue| queue.number("id")).collect(),
        })
    };
    list.children("iothread").filter_map(read).collect()
}
