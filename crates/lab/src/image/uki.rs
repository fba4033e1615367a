//! Unified kernel images: sections appended to systemd's boot stub, which is a PE executable (Microsoft's PE/COFF
//! specification) and finds kernel, initrd and command line among its own sections by their names.
//!
//! The stub's bytes stay where they are; only four fields of its headers and the free rows of its section table change.

use object::LittleEndian as LE;
use object::pe::{ImageDosHeader, ImageNtHeaders64};
use object::read::pe::{ImageNtHeaders as _, ImageOptionalHeader as _};

/// `IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ`
const READ_ONLY_DATA: u32 = 0x4000_0040;
const ROW_LEN: usize = 40;
/// Sections start at whole pages, as OVMF's loader and the stub's own relocations like them.
const PAGE: u32 = 4096;

/// Offsets from the start of the PE signature.
mod offset {
    pub(super) const NUMBER_OF_SECTIONS: usize = 6;
    pub(super) const SIZE_OF_INITIALIZED_DATA: usize = 24 + 8;
    pub(super) const SIZE_OF_IMAGE: usize = 24 + 56;
    pub(super) const CHECK_SUM: usize = 24 + 64;
}

/// Why a stub cannot be appended to.
#[derive(Debug, thiserror::Error)]
pub enum UkiError {
    #[error("it is not a 64-bit PE executable")]
    Parse(#[from] object::read::Error),
    #[error("its headers end at {headers:#x} and leave no room for {sections} more sections")]
    NoRoom { headers: u32, sections: usize },
    #[error("it has a section `{0}` already")]
    Present(&'static str),
    #[error("the section name `{0}` is longer than eight bytes")]
    Name(&'static str),
    #[error("the image would be 2 GiB or larger")]
    TooLarge,
}

/// The stub with these sections after its own, in this order. A kernel goes last: the stubs of old decompress it in place.
pub(super) fn append(stub: &[u8], sections: &[(&'static str, Vec<u8>)]) -> Result<Vec<u8>, UkiError> {
    let pe_start =
        usize::try_from(ImageDosHeader::parse(stub)?.nt_headers_offset()).map_err(|_| UkiError::TooLarge)?;
    let mut offset = pe_start as u64;
    let (headers, _) = ImageNtHeaders64::parse(stub, &mut offset)?;
    // After the headers, `offset` is where the section table starts.
    let table_start = usize::try_from(offset).map_err(|_| UkiError::TooLarge)?;
    let table = headers.sections(stub, offset)?;
    let optional = headers.optional_header();
    let headers_end = optional.size_of_headers();
    let file_alignment = optional.file_alignment().max(1);

    let first_row = table_start + table.len() * ROW_LEN;
    let last_row_end = first_row + sections.len() * ROW_LEN;
    let is_free = stub.get(first_row..last_row_end).is_some_and(|rows| rows.iter().all(|byte| *byte == 0));
    if !is_free || u32::try_from(last_row_end).is_ok_and(|end| end > headers_end) {
        return Err(UkiError::NoRoom { headers: headers_end, sections: sections.len() });
    }
    let in_use = table
        .iter()
        .map(|section| section.virtual_address.get(LE).saturating_add(section.virtual_size.get(LE)));
    let mut address = in_use.max().unwrap_or(headers_end).max(optional.size_of_image());
    let mut data_size = optional.size_of_initialized_data();

    let mut image = stub.to_vec();
    for ((name, contents), row) in sections.iter().zip((first_row..).step_by(ROW_LEN)) {
        if table.iter().any(|section| section.raw_name() == name.as_bytes()) {
            return Err(UkiError::Present(name));
        }
        let mut padded_name = [0; 8];
        padded_name.get_mut(..name.len()).ok_or(UkiError::Name(name))?.copy_from_slice(name.as_bytes());
        address = align(address, PAGE)?;
        pad(&mut image, file_alignment)?;
        let file_start = small(image.len())?;
        image.extend_from_slice(contents);
        pad(&mut image, file_alignment)?;
        let (virtual_size, file_size) = (small(contents.len())?, small(image.len())? - file_start);

        put(&mut image, row, &padded_name);
        for (at, value) in
            [(8, virtual_size), (12, address), (16, file_size), (20, file_start), (36, READ_ONLY_DATA)]
        {
            put(&mut image, row + at, &value.to_le_bytes());
        }
        address = address.checked_add(virtual_size).ok_or(UkiError::TooLarge)?;
        data_size = data_size.checked_add(file_size).ok_or(UkiError::TooLarge)?;
    }
    let count = u16::try_from(table.len() + sections.len()).map_err(|_| UkiError::TooLarge)?;
    put(&mut image, pe_start + offset::NUMBER_OF_SECTIONS, &count.to_le_bytes());
    put(&mut image, pe_start + offset::SIZE_OF_INITIALIZED_DATA, &data_size.to_le_bytes());
    put(&mut image, pe_start + offset::SIZE_OF_IMAGE, &align(address, PAGE)?.to_le_bytes());
    // Firmware does not look at it, and a wrong one is worse than none.
    put(&mut image, pe_start + offset::CHECK_SUM, &0_u32.to_le_bytes());
    Ok(image)
}

/// The caller has checked, by parsing the headers, that the bytes are there.
fn put(image: &mut [u8], at: usize, field: &[u8]) {
    image[at..at + field.len()].copy_from_slice(field);
}

fn pad(image: &mut Vec<u8>, alignment: u32) -> Result<(), UkiError> {
    let length = align(small(image.len())?, alignment)?;
    image.resize(usize::try_from(length).map_err(|_| UkiError::TooLarge)?, 0);
    Ok(())
}

fn align(value: u32, alignment: u32) -> Result<u32, UkiError> {
    value.checked_next_multiple_of(alignment).ok_or(UkiError::TooLarge)
}

/// A length that a PE image can have.
fn small(length: usize) -> Result<u32, UkiError> {
    i32::try_from(length).map(i32::cast_unsigned).map_err(|_| UkiError::TooLarge)
}

#[cfg(test)]
mod tests {
    use object::read::pe::PeFile64;
    use object::{Object as _, ObjectSection as _};

    use super::*;

    /// A PE image with one section and room in its headers for `room` more.
    fn stub(room: usize) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        put(&mut image, 0, b"MZ");
        put(&mut image, 0x3c, &0x80_u32.to_le_bytes());
        put(&mut image, 0x80, b"PE\0\0");
        put(&mut image, 0x84, &0x8664_u16.to_le_bytes());
        put(&mut image, 0x86, &1_u16.to_le_bytes());
        put(&mut image, 0x94, &0xf0_u16.to_le_bytes());
        put(&mut image, 0x98, &0x20b_u16.to_le_bytes());
        let headers_end = 0x188 + ROW_LEN * (1 + room);
        for (at, value) in
            [(32, 0x200), (36, 0x200), (56, 0x3100), (60, u32::try_from(headers_end).unwrap()), (108, 16)]
        {
            put(&mut image, 0x98 + at, &u32::to_le_bytes(value));
        }
        put(&mut image, 0x188, b".text\0\0\0");
        for (at, value) in [(8, 0x100_u32), (12, 0x3000), (16, 0x200), (20, 0x200), (36, 0x6000_0020)] {
            put(&mut image, 0x188 + at, &value.to_le_bytes());
        }
        // Something after the last section, as a symbol table is.
        image.extend_from_slice(b"symbols");
        image
    }

    fn two() -> [(&'static str, Vec<u8>); 2] {
        [(".cmdline", b"quiet".to_vec()), (".linux", vec![0x90; 5000])]
    }

    #[test]
    fn sections_are_found_again() {
        let image = append(&stub(2), &two()).unwrap();
        let file = PeFile64::parse(image.as_slice()).unwrap();
        let found: Vec<_> =
            file.sections().map(|section| (section.name().unwrap().to_owned(), section.address())).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(found[1], (".cmdline".to_owned(), 0x4000));
        assert_eq!(found[2], (".linux".to_owned(), 0x5000));
        for (section, (_, contents)) in file.sections().skip(1).zip(two()) {
            assert_eq!(section.data().unwrap(), contents);
            let (start, length) = section.file_range().unwrap();
            assert_eq!((start % 0x200, length), (0, contents.len() as u64));
        }
        assert_eq!(file.nt_headers().optional_header.size_of_image.get(LE), 0x7000);
        assert_eq!(image.len() % 0x200, 0);
    }

    #[test]
    fn the_stub_keeps_its_bytes() {
        let stub = stub(2);
        let image = append(&stub, &two()).unwrap();
        assert_eq!(image[0x200..stub.len()], stub[0x200..]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(matches!(append(&stub(1), &two()), Err(UkiError::NoRoom { sections: 2, .. })));
        assert!(matches!(append(&stub(2), &[(".text", Vec::new())]), Err(UkiError::Present(".text"))));
        assert!(matches!(append(&stub(2), &[(".toolongname", Vec::new())]), Err(UkiError::Name(_))));
        for cut in 0..0x1b0 {
            assert!(append(&stub(2)[..cut], &two()).is_err(), "{cut}");
        }
    }
}
