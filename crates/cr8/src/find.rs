//! Finds the calls of one function within the machine code of another.

use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind};

/// The displacement of a near call or jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Displacement {
    /// Where its four bytes lie.
    pub(crate) address: usize,
    /// What it counts from: the address of the next instruction.
    pub(crate) base: usize,
}

/// The calls and tail calls of `callee` in the function whose machine code is `code`, at the address `start`.
pub(crate) fn calls_of(code: &[u8], start: usize, callee: usize) -> Vec<Displacement> {
    let mut decoder = Decoder::with_ip(64, code, start as u64, DecoderOptions::NONE);
    let mut found = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let branch = matches!(instruction.mnemonic(), Mnemonic::Call | Mnemonic::Jmp)
            && instruction.op0_kind() == OpKind::NearBranch64
            && instruction.near_branch_target() == callee as u64;
        let displacement = decoder.get_constant_offsets(&instruction);
        if branch && displacement.immediate_size() == 4 {
            let base = start + decoder.position();
            found.push(Displacement { address: base - 4, base });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLEE: usize = 0x2000;

    #[test]
    fn a_call_and_a_tail_call_are_found() {
        // nop; call 0x2000; ret; jmp 0x2000
        let code = [0x90, 0xe8, 0xfa, 0x0f, 0, 0, 0xc3, 0xe9, 0xf4, 0x0f, 0, 0];
        assert_eq!(
            calls_of(&code, 0x1000, CALLEE),
            [Displacement { address: 0x1002, base: 0x1006 }, Displacement { address: 0x1008, base: 0x100c }]
        );
    }

    #[test]
    fn bytes_within_another_instruction_are_not_a_call() {
        // mov rax, imm64 whose last five bytes look like `call 0x2000`
        let code = [0x48, 0xb8, 0, 0, 0, 0xe8, 0xf6, 0x0f, 0, 0, 0xc3];
        assert_eq!(calls_of(&code, 0x1000, CALLEE), []);
    }

    #[test]
    fn calls_of_others_and_short_jumps_are_left_alone() {
        // call 0x3000; jmp short 0x2000
        assert_eq!(calls_of(&[0xe8, 0xfb, 0x1f, 0, 0], 0x1000, CALLEE), []);
        assert_eq!(calls_of(&[0xeb, 0x00], CALLEE - 2, CALLEE), []);
    }

    #[test]
    fn code_that_ends_within_an_instruction_is_no_call() {
        assert_eq!(calls_of(&[0xe8, 0xfb, 0x0f], 0x1000, CALLEE), []);
    }
}
