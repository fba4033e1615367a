//! The main program's code as the dynamic linker has mapped it.

use std::ffi::{c_int, c_void};
use std::{ptr, slice};

use super::functions::Functions;

/// The main program.
pub(super) struct Program {
    /// Its executable segment.
    pub(super) code: &'static [u8],
    /// Where that lies.
    pub(super) start: usize,
    functions: Option<Functions<'static>>,
}

impl Program {
    /// Nothing for a program without an executable segment, which is none.
    pub(super) fn find() -> Option<Self> {
        let mut program = None;
        let place: *mut Option<Self> = &raw mut program;
        // SAFETY: the callback has the type that the call wants, and `place` outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(first_object), place.cast()) };
        program
    }

    /// Where the last function begins that begins at or before an address, as far as the program tells.
    pub(super) fn functions(&self) -> impl Fn(usize) -> Option<usize> {
        let functions = self.functions;
        move |address| functions?.before(address)
    }
}

/// Called for each loaded object, the main program first; the value 1 ends the enumeration there.
unsafe extern "C" fn first_object(info: *mut libc::dl_phdr_info, _size: usize, place: *mut c_void) -> c_int {
    // SAFETY: the dynamic linker passes a valid object, and `place` is the address that `find` gave it.
    let (info, place) = unsafe { (&*info, &mut *place.cast::<Option<Program>>()) };
    // SAFETY: the object has `dlpi_phnum` program headers there.
    let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let segment = |wanted: &dyn Fn(&libc::Elf64_Phdr) -> bool| {
        let header = headers.iter().find(|header| wanted(header))?;
        let start = usize::try_from(info.dlpi_addr + header.p_vaddr).ok()?;
        let length = usize::try_from(header.p_memsz).ok()?;
        // SAFETY: the program header says that this is mapped; the main program is never unmapped.
        Some((start, unsafe { slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(start), length) }))
    };
    let executable = segment(&|header| {
        header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0 && header.p_filesz > 0
    });
    if let Some((start, code)) = executable {
        let table = segment(&|header| header.p_type == libc::PT_GNU_EH_FRAME);
        let functions = table.and_then(|(address, section)| Functions::parse(section, address));
        *place = Some(Program { code, start, functions });
    }
    1
}
