//! Prints `<iothreads>`, `<iothreadids>` and `<defaultiothread>`.

use super::node::Node;
use crate::model::{
    disk::DiskIoThread,
    iothreads::{IoThread, IoThreads, Poll, ThreadPool},
};

pub(super) fn print_iothreads(threads: &IoThreads) -> impl Iterator<Item = Node> + use<> {
    let count = (threads.count > 0).then(|| Node::of_text("iothreads", threads.count));
    let numbered = Node::new("iothreadids").all(threads.numbered.iter().map(print_thread)).unless_empty();
    let main_loop = with_pool(Node::new("defaultiothread"), threads.main_loop).unless_empty();
    [count, numbered, main_loop].into_iter().flatten()
}

fn print_thread(thread: &IoThread) -> Node {
    let Poll { max, grow, shrink } = thread.poll;
    let poll = Node::new("poll").opt("max", max).opt("grow", grow).opt("shrink", shrink);
    with_pool(Node::new("iothread").attr("id", thread.id), thread.pool).maybe(poll.unless_empty())
}

fn with_pool(node: Node, pool: ThreadPool) -> Node {
    node.opt("thread_pool_min", pool.min).opt("thread_pool_max", pool.max)
}

/// `<iothreads>` of a disk's driver.
pub(super) fn print_of_disk(threads: &[DiskIoThread]) -> Option<Node> {
    let print = |thread: &DiskIoThread| {
        let queues = thread.queues.iter().map(|queue| Node::new("queue").attr("id", queue));
        Node::new("iothread").attr("id", thread.id).all(queues)
    };
    Node::new("iothreads").all(threads.iter().map(print)).unless_empty()
}
