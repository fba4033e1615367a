//! A part of a file as if it were a file: a partition for whoever makes its file system.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// A window onto `file`.
#[derive(Debug)]
pub(super) struct Window<'f> {
    file: &'f File,
    start: u64,
    length: u64,
    position: u64,
}

impl<'f> Window<'f> {
    /// The bytes of `file` from `start`.
    pub(super) const fn new(file: &'f File, start: u64, length: u64) -> Self {
        Self { file, start, length, position: 0 }
    }

    /// How many of `wanted` bytes are left at the position, with the file placed there.
    fn available(&mut self, wanted: usize) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let place = self.start.checked_add(self.position).ok_or(io::ErrorKind::InvalidInput)?;
        self.file.seek(SeekFrom::Start(place))?;
        Ok(wanted.min(left))
    }
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.available(buffer.len())?;
        let count = self.file.read(&mut buffer[..count])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Window<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.available(buffer.len())?;
        let count = self.file.write(&buffer[..count])?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.length.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_its_part_of_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut window = Window::new(&file, 2, 5);
        let mut text = String::new();
        window.read_to_string(&mut text).unwrap();
        assert_eq!(text, "23456");
        window.seek(SeekFrom::End(-2)).unwrap();
        assert!(window.write_all(b"abc").is_err());
        assert!(window.seek(SeekFrom::Current(-100)).is_err());
        text.clear();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "01234ab789");
    }
}
