//! `<iothreads>`: threads of QEMU's that serve disks beside its main loop.

/// `<iothreads>`, `<iothreadids>` and `<defaultiothread>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IoThreads {
    /// How many there are, those with a number of their own among them.
    pub count: u32,
    /// `<iothreadids>`: those with a number of their own, in the order of the document.
    pub numbered: Vec<IoThread>,
    /// `<defaultiothread>`: the workers of the main loop.
    pub main_loop: ThreadPool,
}

impl IoThreads {
    /// More than an answer to `virDomainGetIOThreadInfo` holds, a guest does not have.
    pub const MOST: u32 = 16_384;

    /// All of them. Who has no number of its own gets the lowest that is free.
    pub fn all(&self) -> Vec<IoThread> {
        let mut all = self.numbered.clone();
        let count = usize::try_from(self.count.min(Self::MOST)).unwrap_or(usize::MAX);
        let missing = count.saturating_sub(all.len());
        let free = (1..).filter(|id| !self.numbered.iter().any(|known| known.id == *id)).take(missing);
        all.extend(free.map(IoThread::new));
        all
    }

    /// Whether there is one of that number.
    pub fn has(&self, id: u32) -> bool {
        self.all().iter().any(|thread| thread.id == id)
    }
}

/// `<iothread>` of `<iothreadids>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IoThread {
    /// From 1.
    pub id: u32,
    pub pool: ThreadPool,
    pub poll: Poll,
}

impl IoThread {
    pub fn new(id: u32) -> Self {
        Self { id, ..Self::default() }
    }

    /// What QEMU calls it.
    pub fn alias(&self) -> String {
        alias(self.id)
    }
}

/// What QEMU calls the one of that number.
pub fn alias(id: u32) -> String {
    format!("iothread{id}")
}

/// `thread_pool_min=…` and `thread_pool_max=…`: how many workers there are for what blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadPool {
    pub min: Option<u32>,
    pub max: Option<u32>,
}

/// `<poll>`: how long it looks for work before it sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Poll {
    /// Nanoseconds.
    pub max: Option<u64>,
    pub grow: Option<u64>,
    pub shrink: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_number_gets_the_lowest_that_is_free() {
        let numbers = |count, numbered: &[u32]| {
            let numbered = numbered.iter().copied().map(IoThread::new).collect();
            let threads = IoThreads { count, numbered, ..IoThreads::default() };
            threads.all().iter().map(|thread| thread.id).collect::<Vec<_>>()
        };
        assert_eq!(numbers(3, &[]), [1, 2, 3]);
        assert_eq!(numbers(4, &[5, 2]), [5, 2, 1, 3]);
        assert_eq!(numbers(1, &[9, 7]), [9, 7]);
        assert_eq!(numbers(u32::MAX, &[]).len(), 16_384);
    }
}
