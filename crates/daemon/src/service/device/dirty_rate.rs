//! `domdirtyrate-calc`: how fast a guest changes its memory.

use qemu::qmp::device::CalcDirtyRate;
use rpc::remote::domain::DirtyRateCalcArgs;

use super::affect::{check, config_unsupported, invalid};
use crate::service::{Failure, Service};

/// Seconds.
const LEAST: i32 = 1;
const MOST: i32 = 60;

/// `virDomainDirtyRateCalcFlags`.
const MODES: [(u32, &str); 3] = [(1, "page-sampling"), (2, "dirty-bitmap"), (4, "dirty-ring")];

/// `DOMAIN_START_DIRTY_RATE_CALC`. What it comes to is among the figures of `domstats`.
pub(crate) async fn start_dirty_rate_calc(
    service: &Service,
    args: &DirtyRateCalcArgs<'_>,
) -> Result<(), Failure> {
    check(args.flags, 7, "virDomainStartDirtyRateCalc")?;
    if !(LEAST..=MOST).contains(&args.seconds) {
        return Err(config_unsupported(format!(
            "seconds={} is invalid, please choose value within [{LEAST}, {MOST}].",
            args.seconds
        )));
    }
    let mut modes = MODES.into_iter().filter(|(flag, _)| args.flags & flag != 0).map(|(_, mode)| mode);
    let mode = modes.next().unwrap_or(MODES[0].1);
    if modes.next().is_some() {
        return Err(invalid("only one way of measuring can be chosen"));
    }
    let guest = service.domains.of(&args.dom)?.running()?;
    guest.ask(CalcDirtyRate { seconds: args.seconds, mode }).await?;
    Ok(())
}
