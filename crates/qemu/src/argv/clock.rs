//! Time: `-rtc`, and what timers do with ticks that the guest missed.

use domain::{
    Domain,
    model::cpu::{Adjustment, ClockBasis, ClockOffset, TickPolicy, TimerName, TimerTrack},
};

use super::{Argument, KeyValues};
use crate::plan::{HostClock, PlanError};

/// `-rtc`, and what the timers do with ticks that the guest missed.
pub(crate) fn clock(domain: &Domain, now: Option<HostClock>) -> Result<Vec<Argument>, PlanError> {
    let base = base(&domain.clock.offset, now)?;
    let mut value = KeyValues::default().with("base", base);
    let mut globals = Vec::new();
    for timer in &domain.clock.timers {
        let policy = timer.tick_policy;
        match timer.name {
            TimerName::Rtc => {
                value = value
                    .with_some("clock", timer.track.and_then(rtc_clock))
                    .with_some("driftfix", (policy == Some(TickPolicy::Catchup)).then_some("slew"));
            }
            TimerName::Pit => {
                let policy = match policy {
                    Some(TickPolicy::Delay) => "delay",
                    Some(TickPolicy::Discard) => "discard",
                    None | Some(TickPolicy::Catchup) => continue,
                    Some(TickPolicy::Merge) => {
                        return Err(PlanError::Unsupported {
                            device: "pit".into(),
                            what: "the tick policy merge".into(),
                        });
                    }
                };
                globals.push(Argument::Text("-global", format!("kvm-pit.lost_tick_policy={policy}")));
            }
            _ => {}
        }
    }
    Ok([Argument::pairs("-rtc", value)].into_iter().chain(globals).collect())
}

fn rtc_clock(track: TimerTrack) -> Option<&'static str> {
    match track {
        TimerTrack::Guest => Some("vm"),
        TimerTrack::Wall => Some("host"),
        TimerTrack::Realtime => Some("rt"),
        TimerTrack::Boot => None,
    }
}

fn base(offset: &ClockOffset, now: Option<HostClock>) -> Result<String, PlanError> {
    let shifted = |seconds: i64, local: bool| {
        let now = now.ok_or(PlanError::NoTime)?;
        let local = if local { i64::from(now.utc_offset_seconds) } else { 0 };
        Ok(date_time(now.unix_seconds.saturating_add(seconds).saturating_add(local)))
    };
    match offset {
        ClockOffset::Utc { adjustment: Some(Adjustment::Seconds(seconds)) } => shifted(*seconds, false),
        ClockOffset::Localtime { adjustment: Some(Adjustment::Seconds(seconds)) } => shifted(*seconds, true),
        ClockOffset::Utc { .. } => Ok("utc".to_owned()),
        ClockOffset::Localtime { .. } | ClockOffset::Timezone { .. } => Ok("localtime".to_owned()),
        ClockOffset::Variable { adjustment, basis } => shifted(*adjustment, *basis == ClockBasis::Localtime),
        ClockOffset::Absolute { start } => Ok(date_time(i64::try_from(*start).unwrap_or(i64::MAX))),
    }
}

/// Seconds since 1970 as `2009-02-13T23:31:30`, by the proleptic Gregorian calendar.
fn date_time(unix_seconds: i64) -> String {
    const DAY: i64 = 86_400;
    let (days, second) = (unix_seconds.div_euclid(DAY), unix_seconds.rem_euclid(DAY));
    // Years that begin in March have their leap day at the end; 400 of them have 146 097 days.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date_time(0), "1970-01-01T00:00:00");
        assert_eq!(date_time(1_234_567_890), "2009-02-13T23:31:30");
        assert_eq!(date_time(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(date_time(-1), "1969-12-31T23:59:59");
        assert_eq!(date_time(4_107_542_400), "2100-03-01T00:00:00");
    }
}
