//! A volume's bytes, to and from a client.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rpc::error::Code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Failure, Pool, fault};

/// A part of a file that is read or written.
#[derive(Debug)]
pub(crate) struct Transfer {
    file: tokio::fs::File,
    /// How many bytes may yet pass; `None`: as many as come.
    left: Option<u64>,
}

impl Pool {
    /// The bytes of a volume from `offset` on; 0 for `length` means all.
    pub(crate) fn download(&self, name: &str, offset: u64, length: u64) -> Result<Transfer, Failure> {
        let directory = self.directory()?;
        let found = directory.find(name)?.filter(|found| found.metadata.is_file());
        let file = found.ok_or_else(|| no_file(name))?.file;
        Transfer::start(file, offset, length).map_err(|error| directory.failed("seek in", name, error))
    }

    /// Takes bytes for a volume from `offset` on; 0 for `length` means as many as come.
    pub(crate) fn upload(&self, name: &str, offset: u64, length: u64) -> Result<Transfer, Failure> {
        let directory = self.directory()?;
        let found = directory.find_to_write(name)?.ok_or_else(|| no_file(name))?;
        let size = found.metadata.len();
        if offset > size {
            let words = format!("offset {offset} is beyond the end of the volume, which has {size} bytes");
            return Err(fault(Code::INVALID_ARG, words));
        }
        Transfer::start(found.file, offset, length).map_err(|error| directory.failed("seek in", name, error))
    }
}

fn no_file(name: &str) -> Failure {
    fault(Code::NO_STORAGE_VOL, format!("no storage vol with matching name '{name}'"))
}

impl Transfer {
    fn start(mut file: File, offset: u64, length: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file: tokio::fs::File::from_std(file), left: (length != 0).then_some(length) })
    }

    /// How many of `count` bytes may pass.
    fn most(&self, count: usize) -> usize {
        let left = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        count.min(left)
    }

    fn passed(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(count));
    }
}

impl AsyncRead for Transfer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = self.most(buffer.remaining());
        if most == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.file).poll_read(context, &mut part))?;
        let count = part.filled().len();
        buffer.advance(count);
        self.passed(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transfer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = self.most(bytes.len());
        if most == 0 && !bytes.is_empty() {
            let words = "more bytes come than were announced for this volume";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, words)));
        }
        let part = bytes.get(..most).unwrap_or_default();
        let count = ready!(Pin::new(&mut self.file).poll_write(context, part))?;
        self.passed(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_flush(context)
    }
}
