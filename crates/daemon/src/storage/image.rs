//! What a file's first bytes say about the image in it. A guest writes the first bytes of its own raw disk, so nothing
//! that decides what a guest may read comes from here: this is for people, and for copies that an administrator asks
//! for, which follow no file that lies outside the pool.

/// How much of a file is looked at.
pub(super) const HEADER: usize = 64 << 10;

/// What a file holds, by its first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// As libvirt names it.
    pub(super) format: &'static str,
    /// What a guest sees, in bytes; `None`: as large as the file.
    pub(super) capacity: Option<u64>,
    pub(super) backing: Option<Backing>,
    pub(super) qcow2: Option<Qcow2>,
}

/// The image that one begins from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backing {
    /// A path, relative to the image's directory if it is not absolute, or anything else that QEMU understands.
    pub(super) name: String,
    pub(super) format: Option<String>,
}

/// What a qcow2 header says besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Qcow2 {
    pub(super) version: u32,
    pub(super) cluster: u64,
    pub(super) lazy_refcounts: bool,
    pub(super) extended_l2: bool,
    /// The guest's data is in another file.
    pub(super) data_file: bool,
    pub(super) encrypted: bool,
}

/// Judges a file by its first bytes: at most [`HEADER`] of them count.
pub(super) fn probe(bytes: &[u8]) -> Image {
    let plain = |format, capacity| Image { format, capacity, backing: None, qcow2: None };
    if bytes.starts_with(b"QFI\xfb") {
        return match be32(bytes, 4) {
            Some(1) => plain("qcow", be64(bytes, 24)),
            Some(2..) => qcow2(bytes).unwrap_or_else(|| plain("raw", None)),
            _ => plain("raw", None),
        };
    }
    if bytes.starts_with(b"QED\0") {
        return plain("qed", le64(bytes, 48));
    }
    if bytes.starts_with(b"KDMV") {
        return plain("vmdk", le64(bytes, 12).and_then(|sectors| sectors.checked_mul(512)));
    }
    if bytes.starts_with(b"conectix") {
        return plain("vpc", be64(bytes, 48));
    }
    if bytes.get(64..68) == Some(&[0x7f, 0x10, 0xda, 0xbe]) {
        return plain("vdi", le64(bytes, 368));
    }
    if bytes.get(0x8001..0x8006) == Some(b"CD001") {
        return plain("iso", None);
    }
    plain("raw", None)
}

/// QEMU's `docs/interop/qcow2.txt`.
fn qcow2(bytes: &[u8]) -> Option<Image> {
    let version = be32(bytes, 4)?;
    let capacity = be64(bytes, 24)?;
    let cluster = 1u64.checked_shl(be32(bytes, 20)?).filter(|cluster| (512..=2 << 20).contains(cluster))?;
    let (incompatible, compatible, header) = match version {
        2 => (0, 0, 72),
        3 => (be64(bytes, 72)?, be64(bytes, 80)?, usize::try_from(be32(bytes, 100)?).ok()?),
        _ => return None,
    };
    let name = match (be64(bytes, 8)?, be32(bytes, 16)?) {
        (0, _) => None,
        (at, length) if length <= 1023 => {
            let at = usize::try_from(at).ok()?;
            let name = bytes.get(at..at.checked_add(usize::try_from(length).ok()?)?)?;
            Some(String::from_utf8_lossy(name).into_owned())
        }
        _ => return None,
    };
    let format = backing_format(bytes, header);
    Some(Image {
        format: "qcow2",
        capacity: Some(capacity),
        backing: name.map(|name| Backing { name, format }),
        qcow2: Some(Qcow2 {
            version,
            cluster,
            lazy_refcounts: compatible & 1 != 0,
            extended_l2: incompatible & 16 != 0,
            data_file: incompatible & 4 != 0,
            encrypted: be32(bytes, 32)? != 0,
        }),
    })
}

/// The name in the header extension 0xE2792ACA.
fn backing_format(bytes: &[u8], header: usize) -> Option<String> {
    let mut at = header;
    loop {
        let kind = be32(bytes, at)?;
        let length = usize::try_from(be32(bytes, at.checked_add(4)?)?).ok()?;
        let data = at.checked_add(8)?;
        match kind {
            0 => return None,
            0xe279_2aca => {
                let name = bytes.get(data..data.checked_add(length)?)?;
                return std::str::from_utf8(name).ok().map(str::to_owned);
            }
            _ => at = data.checked_add(length)?.checked_next_multiple_of(8)?,
        }
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_be_bytes)
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_image_is_raw() {
        for bytes in [&b""[..], b"QFI", b"QFI\xfb\0\0\0\x02", b"QFI\xfb\0\0\0\x09", &[0; 512]] {
            assert_eq!(probe(bytes).format, "raw", "{bytes:?}");
        }
        let mut disc = vec![0; 0x9000];
        disc[0x8001..0x8006].copy_from_slice(b"CD001");
        assert_eq!(probe(&disc).format, "iso");
    }

    #[test]
    fn a_header_of_the_second_version_is_read() {
        let mut bytes = vec![0; 512];
        bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
        bytes[20..24].copy_from_slice(&16u32.to_be_bytes());
        bytes[24..32].copy_from_slice(&(5u64 << 20).to_be_bytes());
        bytes[8..16].copy_from_slice(&200u64.to_be_bytes());
        bytes[16..20].copy_from_slice(&5u32.to_be_bytes());
        bytes[200..205].copy_from_slice(b"a.img");
        bytes[72..76].copy_from_slice(&0xe279_2acau32.to_be_bytes());
        bytes[76..80].copy_from_slice(&3u32.to_be_bytes());
        bytes[80..83].copy_from_slice(b"raw");
        let image = probe(&bytes);
        assert_eq!((image.format, image.capacity), ("qcow2", Some(5 << 20)));
        let backing = Backing { name: "a.img".into(), format: Some("raw".into()) };
        assert_eq!(image.backing, Some(backing));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), version in 0u8..5) {
            probe(&bytes);
            for (at, byte) in b"QFI\xfb\0\0\0".iter().chain([&version]).enumerate() {
                if let Some(place) = bytes.get_mut(at) {
                    *place = *byte;
                }
            }
            probe(&bytes);
        }
    }
}
