//! What the demo guest saw, as it says itself: on its disk, or among other things on its console.
//!
//! ```text
//! sevirt guest report 1
//! kernel: 6.1.0-56-amd64
//! vcpus: 4
//! memory: 4017896 KiB
//! cpuid: 0000000a 0000006f 000001fd 00000064       leaf 0x8000001f: eax ebx ecx edx; or "not there"
//! cpuid in words: SEV, SEV-ES; C-bit 47; physical addresses shorter by 1
//! sev status: 0000000000000001                     MSR 0xc0010131; or "not there"
//! sev status in words: active: SEV
//! log: [    0.221398] Memory Encryption Features active: AMD SEV
//! end of report
//! ```

use std::fmt;

const FIRST_LINE: &str = "sevirt guest report 1";
const LAST_LINE: &str = "end of report";
/// What every kernel since 5.11 says when memory is encrypted.
const KERNEL_SAYS: &str = "Memory Encryption Features active: AMD";
const NOT_THERE: &str = "not there";

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The kernel's version.
    pub kernel: String,
    /// How many processors are in use.
    pub vcpus: u32,
    /// The memory that the kernel manages.
    pub memory_kib: u64,
    /// EAX, EBX, ECX and EDX of CPUID leaf 0x8000001f; nothing where the processor has no such leaf.
    pub cpuid: Option<[u32; 4]>,
    /// MSR 0xc0010131; nothing where the processor has no such register.
    pub sev_status: Option<u64>,
    /// The lines of the kernel's log that speak of SEV.
    pub log: Vec<String>,
    /// The whole report, as the guest wrote it.
    pub text: String,
}

/// Why text is not a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("there is no line `{FIRST_LINE}`")]
    NoStart,
    #[error("there is no line `{LAST_LINE}`: the guest did not finish its report")]
    NoEnd,
    #[error("there is no line `{0}: …`")]
    Missing(&'static str),
    #[error("the line `{name}: {value}` makes no sense")]
    Value { name: &'static str, value: String },
}

impl Report {
    /// Reads the first whole report in a text, which may hold other lines before and after it.
    ///
    /// # Errors
    /// When there is none, or one of its lines is missing or makes no sense.
    pub fn parse(text: &str) -> Result<Self, ReportError> {
        let mut lines = text.lines().map(str::trim_end);
        // On a console the firmware's last escape sequences may stand before it.
        lines.find(|line| line.ends_with(FIRST_LINE)).ok_or(ReportError::NoStart)?;
        let mut within: Vec<&str> = Vec::new();
        loop {
            match lines.next().ok_or(ReportError::NoEnd)? {
                LAST_LINE => break,
                line => within.push(line),
            }
        }
        let value = |name: &'static str| {
            let mut values = within.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            values.next().ok_or(ReportError::Missing(name))
        };
        let wrong = |name, value: &str| ReportError::Value { name, value: value.to_owned() };
        let (vcpus, memory, cpuid, status) =
            (value("vcpus")?, value("memory")?, value("cpuid")?, value("sev status")?);
        let memory_kib = memory.strip_suffix(" KiB").and_then(|number| number.parse().ok());
        Ok(Self {
            kernel: value("kernel")?.to_owned(),
            vcpus: vcpus.parse().map_err(|_| wrong("vcpus", vcpus))?,
            memory_kib: memory_kib.ok_or_else(|| wrong("memory", memory))?,
            cpuid: optional(cpuid, registers).ok_or_else(|| wrong("cpuid", cpuid))?,
            sev_status: optional(status, |hex| u64::from_str_radix(hex, 16).ok())
                .ok_or_else(|| wrong("sev status", status))?,
            log: within.iter().filter_map(|line| line.strip_prefix("log: ")).map(str::to_owned).collect(),
            text: [FIRST_LINE]
                .iter()
                .chain(&within)
                .chain(&[LAST_LINE])
                .fold(String::new(), |text, line| text + line + "\n"),
        })
    }

    /// Whether the register says that SEV is active and the kernel says that it uses it.
    #[must_use]
    pub fn is_sev_active(&self) -> bool {
        self.status_bit(0) && self.kernel_line().is_some_and(|line| line.contains("SEV"))
    }

    /// Whether SEV-ES is active, by the register.
    #[must_use]
    pub fn is_sev_es_active(&self) -> bool {
        self.status_bit(1)
    }

    /// Whether SEV-SNP is active, by the register.
    #[must_use]
    pub fn is_sev_snp_active(&self) -> bool {
        self.status_bit(2)
    }

    /// The kernel's own line on memory encryption, without its time.
    #[must_use]
    pub fn kernel_line(&self) -> Option<&str> {
        self.log.iter().find_map(|line| line.get(line.find(KERNEL_SAYS)?..))
    }

    /// The bit of guest-physical addresses that says "encrypted".
    #[must_use]
    pub fn c_bit(&self) -> Option<u32> {
        self.cpuid.map(|[_, ebx, _, _]| ebx & 63)
    }

    fn status_bit(&self, bit: u32) -> bool {
        self.sev_status.is_some_and(|status| status >> bit & 1 == 1)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A value, or its absence; nothing when it is neither.
fn optional<T>(text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if text == NOT_THERE { Some(None) } else { parse(text).map(Some) }
}

fn registers(text: &str) -> Option<[u32; 4]> {
    let values: Option<Vec<u32>> =
        text.split_whitespace().map(|hex| u32::from_str_radix(hex, 16).ok()).collect();
    values?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "\
[    0.9] Run /init as init process
sevirt guest report 1
kernel: 6.1.0-56-amd64
vcpus: 4
memory: 4017896 KiB
cpuid: 0000000a 0000006f 000001fd 00000064
cpuid in words: SEV, SEV-ES; C-bit 47; physical addresses shorter by 1
sev status: 0000000000000001
sev status in words: active: SEV
log: [    0.221398] Memory Encryption Features active: AMD SEV
end of report
reboot: Power down
";

    #[test]
    fn a_report_is_found_among_other_lines() {
        for text in [WHOLE.to_owned(), WHOLE.replace('\n', "\r\n")] {
            let report = Report::parse(&text).unwrap();
            assert_eq!(report.kernel, "6.1.0-56-amd64");
            assert_eq!((report.vcpus, report.memory_kib), (4, 4_017_896));
            assert_eq!(report.cpuid, Some([0xa, 0x6f, 0x1fd, 0x64]));
            assert_eq!(report.c_bit(), Some(47));
            assert_eq!(report.kernel_line(), Some("Memory Encryption Features active: AMD SEV"));
            assert!(report.is_sev_active() && !report.is_sev_es_active() && !report.is_sev_snp_active());
            assert_eq!(report.to_string().lines().count(), 10);
        }
    }

    #[test]
    fn a_plain_guest_is_told_from_a_confidential_one() {
        let plain = WHOLE
            .replace("cpuid: 0000000a 0000006f 000001fd 00000064", "cpuid: not there")
            .replace("sev status: 0000000000000001", "sev status: not there");
        let report = Report::parse(&plain).unwrap();
        assert_eq!((report.cpuid, report.sev_status, report.c_bit()), (None, None, None));
        assert!(!report.is_sev_active());
        let silent = WHOLE.replace("Memory Encryption Features active", "nothing");
        assert!(!Report::parse(&silent).unwrap().is_sev_active());
    }

    #[test]
    fn what_is_not_a_whole_report_is_refused() {
        assert_eq!(Report::parse(""), Err(ReportError::NoStart));
        let cut = WHOLE.split("end of report").next().unwrap();
        assert_eq!(Report::parse(cut), Err(ReportError::NoEnd));
        assert_eq!(Report::parse(&WHOLE.replace("vcpus: 4\n", "")), Err(ReportError::Missing("vcpus")));
        let odd = Report::parse(&WHOLE.replace("0000006f", "xyz"));
        assert!(matches!(odd, Err(ReportError::Value { name: "cpuid", .. })));
    }
}
