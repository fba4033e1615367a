//! The local APIC as a guest reaches it through the C-bit.
//!
//! Before its DXE phase OVMF maps everything with the C-bit, the local APIC too. KVM knows the APIC at its own address only,
//! so these accesses come here, and are carried out on the kernel's APIC: what has an effect beyond its register (end of
//! interrupt, interrupt command, task priority) by the MSRs that Hyper-V's interface has for it, which the kernel takes from
//! user space for every vCPU; the other registers by changing the APIC's saved state.
//!
//! The saved state is read and written as a whole, so an interrupt that another thread sends in between would be lost. None
//! is awaited at that stage: firmware runs with interrupts off, and its INIT and startup messages are not part of the state.

use std::sync::atomic::Ordering;

use super::vcpu::{Mmio, Vcpu};
use crate::abi::{KVM_GET_LAPIC, KVM_SET_LAPIC, KVM_SET_MSRS, LAPIC_SIZE, OneMsr};
use crate::errno::{self, Errno};
use crate::message::{say, trace};

/// Registers, by their offset (AMD 24593, §16.3.2).
mod register {
    pub(super) const TASK_PRIORITY: u32 = 0x80;
    pub(super) const END_OF_INTERRUPT: u32 = 0xb0;
    pub(super) const LOGICAL_DESTINATION: u32 = 0xd0;
    pub(super) const DESTINATION_FORMAT: u32 = 0xe0;
    pub(super) const SPURIOUS: u32 = 0xf0;
    pub(super) const ERROR_STATUS: u32 = 0x280;
    pub(super) const FIRST_LOCAL_VECTOR: u32 = 0x2f0;
    pub(super) const COMMAND_LOW: u32 = 0x300;
    pub(super) const COMMAND_HIGH: u32 = 0x310;
    pub(super) const TIMER_VECTOR: u32 = 0x320;
    pub(super) const LAST_LOCAL_VECTOR: u32 = 0x370;
    pub(super) const TIMER_INITIAL: u32 = 0x380;
    pub(super) const TIMER_CURRENT: u32 = 0x390;
    pub(super) const TIMER_DIVIDE: u32 = 0x3e0;
}

/// `HV_X64_MSR_EOI`, `HV_X64_MSR_ICR` and `HV_X64_MSR_TPR` of Linux's `asm/hyperv-tlfs.h`.
const MSR_END_OF_INTERRUPT: u32 = 0x4000_0070;
const MSR_COMMAND: u32 = 0x4000_0071;
const MSR_TASK_PRIORITY: u32 = 0x4000_0072;

/// How far one register is from the next; only the first four bytes of each mean something.
const STRIDE: u32 = 16;

/// The offset into the APIC's page of `address`; nothing when it is elsewhere or the APIC is off or in x2APIC mode.
pub(super) fn offset(base: u64, address: u64) -> Option<u32> {
    const ENABLED: u64 = 1 << 11;
    const X2APIC: u64 = 1 << 10;
    let page = base & !0xfff;
    let offset = address.checked_sub(page).filter(|&offset| offset < 0x1000)?;
    let mapped = base & (ENABLED | X2APIC) == ENABLED;
    u32::try_from(offset).ok().filter(|_| mapped)
}

/// What a write to a register is to do.
#[derive(Debug, PartialEq, Eq)]
enum Write {
    /// The kernel's MSR of this number is written.
    Msr(u32, u64),
    /// These registers of the saved state are set.
    Registers([(u32, u32); 2]),
    /// The upper half of the next interrupt command is remembered.
    CommandHigh(u32),
    /// The register cannot be written.
    Nothing,
}

/// What writing `value` to the register at `offset` is to do.
const fn write(offset: u32, value: u32, command_high: u32) -> Write {
    match offset {
        _ if !offset.is_multiple_of(STRIDE) => Write::Nothing,
        register::END_OF_INTERRUPT => Write::Msr(MSR_END_OF_INTERRUPT, value as u64),
        register::TASK_PRIORITY => Write::Msr(MSR_TASK_PRIORITY, value as u64),
        register::COMMAND_LOW => Write::Msr(MSR_COMMAND, (command_high as u64) << 32 | value as u64),
        register::COMMAND_HIGH => Write::CommandHigh(value),
        // The kernel starts the timer of a state that it is given from the current count.
        register::TIMER_INITIAL => {
            Write::Registers([(register::TIMER_INITIAL, value), (register::TIMER_CURRENT, value)])
        }
        register::LOGICAL_DESTINATION
        | register::DESTINATION_FORMAT
        | register::SPURIOUS
        | register::ERROR_STATUS
        | register::FIRST_LOCAL_VECTOR
        | register::TIMER_VECTOR..=register::LAST_LOCAL_VECTOR
        | register::TIMER_DIVIDE => Write::Registers([(offset, value), (offset, value)]),
        _ => Write::Nothing,
    }
}

/// Carries out an access at `offset`; a read's value is put into `exit`.
pub(super) fn access(vcpu: &Vcpu, offset: u32, exit: &mut Mmio) -> Result<(), Errno> {
    let register = offset & !(STRIDE - 1);
    if exit.is_write == 0 {
        let value = if register == register::COMMAND_HIGH {
            vcpu.command_high.load(Ordering::Relaxed)
        } else {
            State::of(vcpu)?.get(register)
        };
        exit.data = read_data(value, offset);
        trace!("local APIC: {register:#x} is {value:#x}");
        return Ok(());
    }
    let [a, b, c, d, ..] = exit.data;
    let value = u32::from_le_bytes([a, b, c, d]);
    trace!("local APIC: {register:#x} becomes {value:#x}");
    match write(offset, value, vcpu.command_high.load(Ordering::Relaxed)) {
        Write::Msr(index, data) => set_msr(vcpu, index, data),
        Write::CommandHigh(value) => {
            vcpu.command_high.store(value, Ordering::Relaxed);
            Ok(())
        }
        Write::Registers(registers) => {
            let mut state = State::of(vcpu)?;
            registers.iter().for_each(|&(register, value)| state.set(register, value));
            state.restore(vcpu)
        }
        Write::Nothing => Ok(()),
    }
}

/// What a read that begins at `offset` finds: the register's bytes from there, and zeros.
fn read_data(value: u32, offset: u32) -> [u8; 8] {
    let value = u64::from(value).checked_shr((offset % STRIDE) * 8).unwrap_or(0);
    value.to_le_bytes()
}

/// Writes an MSR as the host may.
fn set_msr(vcpu: &Vcpu, index: u32, data: u64) -> Result<(), Errno> {
    let mut msr = OneMsr { count: 1, index, data, ..OneMsr::default() };
    match errno::ioctl_with(vcpu.fd, KVM_SET_MSRS, &mut msr) {
        Ok(1) => Ok(()),
        Ok(_) => {
            say!("the kernel has no MSR {index:#x}: it was built without Hyper-V's interface for guests");
            Err(Errno::ENOTTY)
        }
        Err(error) => Err(error),
    }
}

/// The kernel's APIC of one vCPU, as saved and restored.
struct State([u8; LAPIC_SIZE]);

impl State {
    fn of(vcpu: &Vcpu) -> Result<Self, Errno> {
        let mut state = Self([0; LAPIC_SIZE]);
        errno::ioctl_with(vcpu.fd, KVM_GET_LAPIC, &mut state.0)?;
        Ok(state)
    }

    fn restore(mut self, vcpu: &Vcpu) -> Result<(), Errno> {
        errno::ioctl_with(vcpu.fd, KVM_SET_LAPIC, &mut self.0).map(drop)
    }

    /// A register; 0 beyond those that the kernel saves.
    fn get(&self, register: u32) -> u32 {
        let bytes = usize::try_from(register).ok().and_then(|at| self.0.get(at..)?.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    fn set(&mut self, register: u32, value: u32) {
        let bytes = usize::try_from(register).ok().and_then(|at| self.0.get_mut(at..)?.first_chunk_mut());
        if let Some(bytes) = bytes {
            *bytes = value.to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0xfee0_0000;
    const ENABLED: u64 = 0x800;

    #[test]
    fn the_apic_is_where_its_base_says() {
        assert_eq!(offset(BASE | ENABLED | 0x100, BASE + 0x300), Some(0x300));
        assert_eq!(offset(BASE | ENABLED, BASE + 0x1000), None);
        assert_eq!(offset(BASE | ENABLED, BASE - 1), None);
        assert_eq!(offset(BASE, BASE), None, "off");
        assert_eq!(offset(BASE | ENABLED | 0x400, BASE), None, "in x2APIC mode");
    }

    #[test]
    fn an_interrupt_command_carries_its_destination() {
        assert_eq!(write(0x310, 0x0300_0000, 0), Write::CommandHigh(0x0300_0000));
        assert_eq!(write(0x300, 0x4608, 0x0300_0000), Write::Msr(MSR_COMMAND, 0x0300_0000_0000_4608));
    }

    #[test]
    fn an_end_of_interrupt_and_a_priority_take_effect_in_the_kernel() {
        assert_eq!(write(0xb0, 0, 7), Write::Msr(MSR_END_OF_INTERRUPT, 0));
        assert_eq!(write(0x80, 0x20, 7), Write::Msr(MSR_TASK_PRIORITY, 0x20));
    }

    #[test]
    fn the_timer_starts_from_its_initial_count() {
        assert_eq!(write(0x380, 1000, 0), Write::Registers([(0x380, 1000), (0x390, 1000)]));
    }

    #[test]
    fn registers_that_only_read_stay() {
        for offset in [0x20, 0x30, 0xa0, 0x100, 0x170, 0x200, 0x390, 0x3f0, 0xff0, 0x321] {
            assert_eq!(write(offset, 1, 0), Write::Nothing, "{offset:#x}");
        }
    }

    #[test]
    fn parts_of_a_register_can_be_read() {
        assert_eq!(read_data(0x1234_5678, 0x20), [0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0]);
        assert_eq!(read_data(0x1234_5678, 0x22), [0x34, 0x12, 0, 0, 0, 0, 0, 0]);
        assert_eq!(read_data(0x1234_5678, 0x28), [0; 8]);
        assert_eq!(read_data(0x1234_5678, 0x2f), [0; 8]);
    }

    #[test]
    fn registers_beyond_the_saved_ones_are_zero() {
        let mut state = State([0xff; LAPIC_SIZE]);
        state.set(0x20, 5);
        state.set(0xff0, 5);
        assert_eq!((state.get(0x20), state.get(0x400), state.get(0xff0)), (5, 0, 0));
    }
}
