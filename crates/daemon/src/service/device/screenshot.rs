//! Screenshots.

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use domain::Domain;
use qemu::qmp::device::{PictureFormat, Screendump};
use rpc::error::RemoteError;
use rpc::remote::Reply;
use rpc::remote::common::DomNumberFlags;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

use super::affect::{check, internal, op_invalid};
use super::qemu_dir;
use crate::service::{Answer, Failure, Service, Stream};
use crate::vm::AskError;

/// No picture is larger than this, in bytes.
const LARGEST: u64 = 256 << 20;

/// `DOMAIN_SCREENSHOT`: what a display shows, as PNG, or as PPM where QEMU has no PNG.
pub(crate) async fn screenshot(service: &Service, args: &DomNumberFlags<'_>) -> Result<Answer, Failure> {
    check(args.flags, 0, "virDomainScreenshot")?;
    let vm = service.domains.of(&args.dom)?;
    let guest = vm.running()?;
    let (device, head) = screen(&guest.live(), args.number)?;
    let mut random = [0u8; 8];
    getrandom::fill(&mut random).map_err(|error| internal(format!("get random bytes: {error}")))?;
    // Its directory is QEMU's own: what is found there is not taken for anything but a picture.
    let path = qemu_dir(&guest).join(format!("screenshot-{:016x}", u64::from_ne_bytes(random)));
    let dump = |format| {
        let (filename, device) = (path.display().to_string(), Some(device.clone()));
        guest.ask(Screendump { filename, device, head: Some(head), format })
    };
    let (asked, mime) = match dump(PictureFormat::Png).await {
        Err(AskError::Refused { refusal, .. }) if refusal.desc.contains("png") => {
            (dump(PictureFormat::Ppm).await, "image/x-portable-pixmap")
        }
        asked => (asked, "image/png"),
    };
    let opened = open(&path);
    // It stays open.
    let _ = std::fs::remove_file(&path);
    asked?;
    let file = opened.map_err(|error| {
        Box::new(RemoteError::system_error(format!("unable to open the screenshot that QEMU took: {error}")))
    })?;
    let picture = Picture(File::from_std(file).take(LARGEST));
    let reply = Reply::DomainScreenshot(Some(mime.into()));
    Ok(Answer::Stream(reply, Stream(Box::new(picture))))
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

/// The graphics card and the output that a number means: outputs are counted over all cards.
fn screen(live: &Domain, number: u32) -> Result<(String, u32), Failure> {
    let videos = &live.devices.videos;
    if videos.is_empty() {
        return Err(op_invalid("no screens to take screenshot from"));
    }
    let mut rest = number;
    for video in videos {
        let heads = video.heads.unwrap_or(1).max(1);
        if rest < heads {
            let alias = video.info.alias.clone().ok_or_else(|| internal("the graphics card has no alias"))?;
            return Ok((alias, rest));
        }
        rest -= heads;
    }
    Err(op_invalid("no such screen ID"))
}

/// A file to be read; nothing is written to it.
#[derive(Debug)]
struct Picture(Take<File>);

impl AsyncRead for Picture {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Picture {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
