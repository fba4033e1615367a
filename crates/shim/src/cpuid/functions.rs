//! The sorted table of functions that linkers put into `.eh_frame_hdr` for unwinding (Linux Standard Base, §10.6.2).

/// The start of each function, as the table has them: relative to the table's section.
#[derive(Clone, Copy)]
pub(super) struct Functions<'a> {
    /// Address of the section.
    section: usize,
    /// Pairs of little-endian `i32`: the function and its unwind entry.
    entries: &'a [[u8; 8]],
}

/// `DW_EH_PE_datarel | DW_EH_PE_sdata4`, the encoding that linkers use for the table.
const TABLE_ENCODING: u8 = 0x3b;

/// `DW_EH_PE_udata4`
const COUNT_ENCODING: u8 = 0x03;

impl<'a> Functions<'a> {
    /// Reads the header at the start of `section`, which lies at `address`. Nothing when it has no table of the usual form.
    pub(super) fn parse(section: &'a [u8], address: usize) -> Option<Self> {
        let (header, table) = section.split_first_chunk::<12>()?;
        let [version, frame_encoding, count_encoding, table_encoding, _, _, _, _, count @ ..] = header;
        let four_byte_frame = matches!(frame_encoding & 0x0f, 0x03 | 0x0b);
        if *version != 1
            || !four_byte_frame
            || *count_encoding != COUNT_ENCODING
            || *table_encoding != TABLE_ENCODING
        {
            return None;
        }
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (entries, _) = table.as_chunks::<8>();
        Some(Self { section: address, entries: entries.get(..count)? })
    }

    /// Where the last function begins that begins at or before `address`.
    pub(super) fn before(&self, address: usize) -> Option<usize> {
        let after =
            self.entries.partition_point(|entry| self.start(entry).is_some_and(|start| start <= address));
        self.start(self.entries.get(after.checked_sub(1)?)?)
    }

    fn start(&self, entry: &[u8; 8]) -> Option<usize> {
        let [a, b, c, d, ..] = *entry;
        let distance = isize::try_from(i32::from_le_bytes([a, b, c, d])).ok()?;
        self.section.checked_add_signed(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(starts: &[i32]) -> Vec<u8> {
        let mut bytes = vec![1, 0x1b, COUNT_ENCODING, TABLE_ENCODING, 0, 0, 0, 0];
        bytes.extend(u32::try_from(starts.len()).unwrap().to_le_bytes());
        for start in starts {
            bytes.extend(start.to_le_bytes());
            bytes.extend([0; 4]);
        }
        bytes
    }

    #[test]
    fn the_last_function_before_an_address_is_found() {
        let section = section(&[-0x500, -0x400, 0x20]);
        let functions = Functions::parse(&section, 0x1000).unwrap();
        assert_eq!(functions.before(0xb00), Some(0xb00));
        assert_eq!(functions.before(0xbff), Some(0xb00));
        assert_eq!(functions.before(0xc00), Some(0xc00));
        assert_eq!(functions.before(0x2000), Some(0x1020));
        assert_eq!(functions.before(0xaff), None);
    }

    #[test]
    fn a_table_of_another_form_or_cut_short_is_not_read() {
        let good = section(&[0x10, 0x20]);
        for (at, byte) in [(0, 2), (1, 0xff), (2, 0xff), (3, 0xff), (8, 3)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(Functions::parse(&bad, 0).is_none(), "byte {at}");
        }
        assert!(Functions::parse(&good[..11], 0).is_none());
        assert!(Functions::parse(&good[..good.len() - 1], 0).is_none());
    }

    #[test]
    fn an_empty_table_has_no_functions() {
        assert_eq!(Functions::parse(&section(&[]), 0).unwrap().before(5), None);
    }
}
