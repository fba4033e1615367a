//! Finds the CPUID instructions in machine code: those bytes that are one, and not part of another instruction.

use iced_x86::{Decoder, DecoderOptions, Mnemonic};

/// The CPUID instruction.
pub(super) const CPUID: [u8; 2] = [0x0f, 0xa2];

/// How far before a candidate decoding may begin when no function is known to begin nearer. x86 code that is decoded from
/// a wrong place falls into step within a few instructions.
const LONGEST_LEAD: usize = 64 * 1024;

/// The addresses of all CPUID instructions in `code`, which lies at `start`.
///
/// `function_before` says where the last function begins that begins at or before an address. Only the functions that hold
/// the two bytes at all are decoded, which keeps the whole search to about a scan of the code.
pub(super) fn find(
    code: &[u8],
    start: usize,
    function_before: impl Fn(usize) -> Option<usize>,
) -> Vec<usize> {
    candidates(code)
        .filter(|&offset| {
            let address = start + offset;
            let function = function_before(address).unwrap_or(start);
            let from = function.saturating_sub(start).max(offset.saturating_sub(LONGEST_LEAD));
            is_instruction(code, start, from, offset)
        })
        .map(|offset| start + offset)
        .collect()
}

/// The offsets at which the bytes of the instruction occur.
fn candidates(code: &[u8]) -> impl Iterator<Item = usize> {
    let [first, second] = CPUID;
    let mut from = 1;
    std::iter::from_fn(move || {
        loop {
            // The second byte is by far the rarer one in machine code.
            let at = from + position(code.get(from..)?, second)?;
            from = at + 1;
            if code.get(at - 1) == Some(&first) {
                return Some(at - 1);
            }
        }
    })
}

/// Where `byte` first occurs: by the C library, which compares many bytes at a time.
fn position(bytes: &[u8], byte: u8) -> Option<usize> {
    // SAFETY: all of the bytes that the call may read belong to the slice.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    (!found.is_null()).then(|| found.addr() - bytes.as_ptr().addr())
}

/// Whether decoding `code` from offset `from` meets a CPUID instruction exactly at `offset`.
fn is_instruction(code: &[u8], start: usize, from: usize, offset: usize) -> bool {
    let Some(part) = code.get(from..(offset + CPUID.len()).min(code.len())) else { return false };
    let mut decoder = Decoder::with_ip(64, part, (start + from) as u64, DecoderOptions::NONE);
    while decoder.can_decode() && decoder.position() < offset - from {
        let _ = decoder.decode();
    }
    decoder.position() == offset - from
        && decoder.can_decode()
        && decoder.decode().mnemonic() == Mnemonic::Cpuid
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: usize = 0x40_0000;

    #[track_caller]
    fn check(code: &[u8], functions: &[usize], expected: &[usize]) {
        let before = |address: usize| functions.iter().map(|f| START + f).rfind(|&f| f <= address);
        let found: Vec<usize> = find(code, START, before).iter().map(|site| site - START).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_instruction_is_found() {
        check(&[0x0f, 0xa2, 0xc3], &[0], &[0]); // cpuid; ret
        check(&[0x53, 0x31, 0xc9, 0x0f, 0xa2, 0x5b, 0xc3], &[0], &[3]); // push; xor; cpuid; pop; ret
    }

    #[test]
    fn its_bytes_within_another_instruction_are_not() {
        check(&[0xb8, 0x0f, 0xa2, 0x00, 0x00, 0xc3], &[0], &[]); // mov eax, 0xa20f
        check(&[0xe8, 0x0f, 0xa2, 0x00, 0x00, 0xc3], &[0], &[]); // call
        check(&[0x48, 0x8b, 0x80, 0x00, 0x0f, 0xa2, 0x00], &[0], &[]); // mov rax, [rax + …]
    }

    #[test]
    fn decoding_begins_at_the_nearest_function() {
        // Data that would swallow the instruction if decoded from the start: mov eax, imm32 of its last byte.
        check(&[0xb8, 0x0f, 0xa2, 0xc3], &[0, 1], &[1]);
        check(&[0xb8, 0x0f, 0xa2, 0xc3], &[0], &[]);
    }

    #[test]
    fn without_functions_all_of_the_code_is_decoded() {
        check(&[0xb8, 0x0f, 0xa2, 0x00, 0x00, 0x0f, 0xa2, 0xc3], &[], &[5]);
    }

    #[test]
    fn a_cut_instruction_is_not_found() {
        check(&[0x90, 0x0f], &[0], &[]);
        check(&[], &[], &[]);
    }

    #[test]
    fn a_prefix_makes_the_site_begin_earlier_and_is_left_alone() {
        // 66 0f a2: the prefix belongs to the instruction, so the two bytes alone are not one.
        check(&[0x66, 0x0f, 0xa2, 0xc3], &[0], &[]);
    }
}
