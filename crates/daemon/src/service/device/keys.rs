//! Keys and interrupts from outside.

use qemu::qmp::device::{InjectNmi, SendKey};
use rpc::remote::common::DomFlags;
use rpc::remote::domain::SendKeyArgs;

use super::affect::{check, invalid};
use crate::service::{Failure, Service};

/// `virKeycodeSet`.
const LINUX: u32 = 0;
const XT: u32 = 1;
const XT_KBD: u32 = 7;
const QNUM: u32 = 9;

/// The longest that keys are held, in milliseconds: a guest's keyboard is not blocked for good.
const LONGEST: u32 = 60_000;

/// XT scan codes of Linux' key codes from 96 on, 0x80 added to those that have the prefix 0xe0; 0 where there is none
/// (`linux/input-event-codes.h`, IBM PC keyboards).
const LINUX_FROM_96: [u32; 32] = [
    0x9c, 0x9d, 0xb5, 0x54, 0xb8, 0, 0xc7, 0xc8, 0xc9, 0xcb, 0xcd, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0, 0xa0,
    0xae, 0xb0, 0xde, 0x59, 0, 0xc6, 0, 0x7e, 0, 0, 0, 0xdb, 0xdc, 0xdd,
];

/// `DOMAIN_SEND_KEY`.
pub(crate) async fn send_key(service: &Service, args: &SendKeyArgs<'_>) -> Result<(), Failure> {
    check(args.flags, 0, "virDomainSendKey")?;
    let vm = service.domains.of(&args.dom)?;
    let guest = vm.running()?;
    let mut keys = Vec::new();
    for code in args.keycodes.iter() {
        let number = number(args.codeset, *code).ok_or_else(|| {
            invalid(format!("cannot translate keycode {code} of codeset {} to qnum keycode", args.codeset))
        })?;
        keys.push(number);
    }
    if keys.is_empty() {
        return Err(invalid("no keys are named"));
    }
    let hold_ms = Some(args.holdtime.min(LONGEST)).filter(|time| *time > 0);
    guest.ask(SendKey { keys, hold_ms }).await?;
    Ok(())
}

/// QEMU's number of a key.
fn number(codeset: u32, code: u32) -> Option<u32> {
    match codeset {
        LINUX => match code {
            // Up to F10, Num Lock and the key pad Linux has the keyboard's own numbers.
            1..=83 | 86..=88 => Some(code),
            _ => {
                let at = usize::try_from(code.checked_sub(96)?).ok()?;
                LINUX_FROM_96.get(at).copied().filter(|number| *number != 0)
            }
        },
        XT | XT_KBD | QNUM => Some(code).filter(|code| (1..=0xff).contains(code)),
        _ => None,
    }
}

/// `DOMAIN_INJECT_NMI`.
pub(crate) async fn inject_nmi(service: &Service, args: &DomFlags<'_>) -> Result<(), Failure> {
    check(args.flags, 0, "virDomainInjectNMI")?;
    let vm = service.domains.of(&args.dom)?;
    vm.running()?.ask(InjectNmi).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_keyboards_numbers() {
        // Left Ctrl, left Alt, Delete; F11; Enter of the key pad; up; the left logo.
        for (linux, expected) in [(29, 29), (56, 56), (111, 211), (87, 87), (96, 156), (103, 200), (125, 219)]
        {
            assert_eq!(number(LINUX, linux), Some(expected), "{linux}");
        }
        for unknown in [0, 84, 85, 112, 128, 4096] {
            assert_eq!(number(LINUX, unknown), None, "{unknown}");
        }
        assert_eq!(number(QNUM, 0x1ff), None);
        assert_eq!(number(8, 4), None);
    }
}
