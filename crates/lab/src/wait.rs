//! Waiting for descriptors with a deadline.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;

/// Waits until one of the descriptors has something; `false` when the deadline has passed first.
pub(crate) fn poll_until(descriptors: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match poll(descriptors, left.map(timespec).as_ref()) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::PollFlags;

    #[test]
    fn a_deadline_ends_the_wait_and_data_ends_it_sooner() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let soon = Some(Instant::now() + Duration::from_millis(20));
        assert!(!poll_until(&mut [PollFd::new(&reader, PollFlags::IN)], soon).unwrap());
        rustix::io::write(&writer, b"x").unwrap();
        assert!(poll_until(&mut [PollFd::new(&reader, PollFlags::IN)], None).unwrap());
    }
}
