//! What a run of the script has printed, cut into answers, without what differs from run to run.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// Stands before each command, and before each exit code.
const MARK: char = '\u{1e}';

/// The answer to one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The number of the line in the script.
    pub(crate) line: u32,
    /// As it was typed.
    pub(crate) command: String,
    /// Output and errors, in the order in which they came; what changes from run to run replaced.
    pub(crate) output: String,
    pub(crate) exit: i32,
}

/// What a line of a script does where libvirtd is the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Succeeds,
    Fails,
    /// The machine decides.
    Depends,
    /// Not shown, unless it fails.
    Prepares,
}

/// The numbers of a script's lines, and what each is to do.
pub(crate) fn script(text: &str) -> Vec<(u32, Expected)> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(line, number)| {
            let expected = match line.split_once(' ') {
                Some(("!", _)) => Expected::Fails,
                Some(("?", _)) => Expected::Depends,
                Some(("~", _)) => Expected::Prepares,
                _ => Expected::Succeeds,
            };
            (number, expected)
        })
        .collect()
}

/// Cuts what `type.sh` has printed; the second value is the daemon's own exit code.
pub(crate) fn parse(printed: &str, directory: &str) -> (Vec<Answer>, i32) {
    let mut answers = Vec::new();
    let mut parts = printed.split(MARK).skip(1);
    while let Some(part) = parts.next() {
        if let Some(code) = part.strip_prefix("end ") {
            return (answers, code.trim().parse().unwrap());
        }
        let (head, output) = part.split_once('\n').unwrap();
        let (line, command) = head.split_once(' ').unwrap();
        let exit = parts
            .next()
            .and_then(|exit| exit.strip_prefix("exit "))
            .unwrap_or_else(|| panic!("{part}: no exit"));
        answers.push(Answer {
            line: line.parse().unwrap(),
            command: command.to_owned(),
            output: normal(command, output, directory),
            exit: exit.trim().parse().unwrap(),
        });
    }
    panic!(
        "the run did not end well; its last words:\n{}",
        answers.last().map_or(String::new(), Answer::to_string)
    );
}

/// What is never the same twice, in which commands, and what stands for it. Nothing else of an answer is touched but the
/// spaces of tables.
const VOLATILE: &[(&str, &str, &str)] = &[
    // Times: of events, of guests' and the host's processors, of files.
    ("", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+0000", "TIME"),
    ("", r"(?m)^(CPU time:? +)[\d.]+s$", "${1}SECONDS"),
    ("nodecpustats", r"(?m)^(user|system|idle|iowait|usage|intr)(: +)[\d.]+( ?%)?$", "${1}${2}TIME"),
    ("screenshot", r"small-[\d:-]+\.", "small-TIME."),
    ("vol-dumpxml", r"<([amc]time)>[\d.]+", "<${1}>TIME"),
    // The host's memory and disks, and which processor ran what.
    ("nodememstats", r"(?m)^(free|buffers|cached)( *: +)\d+ KiB$", "${1}${2}KIB KiB"),
    ("freecell", r"(?m)^((?:\s*\d+|Total): +)\d+ KiB$", "${1}KIB KiB"),
    ("pool-dumpxml", r"<(allocation|available) unit='bytes'>\d+", "<${1} unit='bytes'>BYTES"),
    ("vcpuinfo", r"(?m)^(CPU: +)\d+$", "${1}NUMBER"),
    // A host that is itself a guest is given memory and loses it while it runs.
    ("nodeinfo", r"(?m)^(Memory size: +)\d+ KiB$", "${1}KIB KiB"),
    ("nodememstats", r"(?m)^(total *: +)\d+ KiB$", "${1}KIB KiB"),
    ("capabilities", r"<(memory|pages) unit='KiB'( size='4')?>\d+", "<${1} unit='KiB'${2}>KIB"),
    // A processor's clock follows its load, and each lab's kernel measures it anew.
    ("nodeinfo", r"(?m)^(CPU frequency: +)\d+ MHz$", "${1}NUMBER MHz"),
    // How far a small file's blocks have reached the disk.
    ("domblkinfo", r"(Allocation: +|sda +1048576 +)(?:4096|8192|[48]\.000 KiB)", "${1}BLOCKS"),
    ("domstats", r"(?m)^(  block\.0\.(?:allocation|physical))=\d+$", "${1}=BLOCKS"),
    // Counters of running guests.
    ("dommemstat", r"(?m)^(rss|last_update) \d+$", "${1} NUMBER"),
    (
        "domstats",
        r"(?m)^(  (?:cpu|vcpu|block)\.(?:\d+\.|rd\.|wr\.|fl\.)*(?:time|user|system|wait|delay|reqs|bytes|times))=\d+$",
        "${1}=NUMBER",
    ),
    ("domstats", r"(?m)^(  balloon\.(?:rss|last-update))=\d+$", "${1}=NUMBER"),
    ("domstats", r"(?m)^(  cpu\.haltpoll\.[a-z]+\.time)=\d+$", "${1}=NUMBER"),
    // KVM's own.
    ("domstats", r"(?m)^(  (?:vcpu\.\d+|vm)\.\w+\.(?:sum|cur|max))=\w+$", "${1}=NUMBER"),
    ("domblkstat", r"(?m)^((?:sda)? (?:rd|wr|flush)_[a-z_]+) \d+$", "${1} NUMBER"),
    ("domblkstat", r"(?m)^( (?:number of [a-z ]+|total duration of [a-z ()]+):\s+)\d+$", "${1}NUMBER"),
    // Whether the guest had said it before somebody looked.
    ("^console", r"(?m)^ready\n", ""),
    // What is numbered by the machine, or made up.
    ("", r"/dev/pts/\d+", "/dev/pts/N"),
    ("display", r"(?m)(127\.0\.0\.1):\d+$", "${1}:N"),
    ("dumpxml", r"port='59\d\d'", "port='59NN'"),
    ("qemu-monitor-command", r"libvirt-\d+", "QMP-ID"),
    ("edit", r"/tmp/virsh[A-Za-z0-9]+\.xml", "/tmp/virsh.xml"),
    ("capabilities|pool-dumpxml|net-info|sev-dummy", r"(<uuid>|UUID: +)[0-9a-f-]{36}", "${1}UUID"),
    // Each lab has a secure processor of its own, and each launch its keys.
    (
        "nodesevinfo|domlaunchsecinfo",
        r"(?m)^((?:pdh|cert-chain|cpu0-id|sev-measurement) *: )[A-Za-z0-9+/=]+$",
        "${1}BASE64",
    ),
    ("domcapabilities", r"<cpu0Id>[A-Za-z0-9+/=]+<", "<cpu0Id>BASE64<"),
    ("^grep", r"(?m)^log: \[ *[\d.]+\]", "log: [TIME]"),
    ("vol-list|vol-info|pool-list|pool-info", r"[\d.]+ GiB", "SIZE"),
];

/// Columns of tables are as wide as their widest cell, which may be a path.
const SPACES: &[(&str, &str)] = &[(r" {2,}", "  "), (r"-{4,}", "----"), (r"(?m)\s+$", "")];

/// Lists whose order is chance with libvirtd; a device's going and the definition without it are told by two threads.
const UNORDERED: &str = r"^virsh cpu-models |<(?:machine|feature) |^  (?:vcpu\.\d+|vm)\.\w+\.(?:sum|cur|max)=|event '(?:device-removed|lifecycle)' .*: (?:[a-z-]+\d*|Defined Updated)$";

fn normal(command: &str, output: &str, directory: &str) -> String {
    type Rule = (Regex, Regex, &'static str);
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
        let regex = |pattern| Regex::new(pattern).unwrap();
        let spaces = SPACES.iter().map(|(pattern, with)| ("", *pattern, *with));
        let rules = VOLATILE.iter().copied().chain(spaces);
        rules.map(|(command, pattern, with)| (regex(command), regex(pattern), with)).collect()
    });
    let lead = output.chars().take_while(|character| *character == ' ').count();
    let text = output.replace(directory, "@DIR@").replace('\r', "");
    let rules = RULES.iter().filter(|(for_command, ..)| for_command.is_match(command));
    let text = rules.fold(text, |text, (_, pattern, with)| pattern.replace_all(&text, *with).into_owned());
    let text = sorted(command, &text);
    if text.trim().is_empty() { String::new() } else { format!("{:lead$}{}\n", "", text.trim()) }
}

/// Neighbouring lines of unordered lists, in order.
fn sorted(command: &str, text: &str) -> String {
    static UNORDERED_LINE: LazyLock<Regex> = LazyLock::new(|| Regex::new(UNORDERED).unwrap());
    let unordered = |line: &&str| UNORDERED_LINE.is_match(command) || UNORDERED_LINE.is_match(line);
    let mut lines: Vec<&str> = text.lines().collect();
    for run in lines.chunk_by_mut(|one, other| unordered(one) == unordered(other)) {
        if run.first().is_some_and(unordered) {
            run.sort_unstable();
        }
    }
    lines.join("\n")
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {} (exit {})\n{}", self.line, self.command, self.exit, self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_cut_and_what_changes_is_replaced() {
        let printed = "\u{1e}3 virsh a\n Path\n------------\n /tmp/x/disk   1\n\n\u{1e}exit 0\n\u{1e}9 virsh b\n2026-01-02 03:04:05.678+0000: event\n\n\u{1e}exit 1\n\u{1e}end 0\n";
        let (answers, end) = parse(printed, "/tmp/x");
        assert_eq!(end, 0);
        let shown: Vec<String> = answers.iter().map(Answer::to_string).collect();
        assert_eq!(
            shown,
            [
                "line 3: virsh a (exit 0)\n Path\n----\n @DIR@/disk  1\n",
                "line 9: virsh b (exit 1)\nTIME: event\n"
            ]
        );
    }

    #[test]
    fn a_line_says_what_it_does() {
        let lines = script("# head\n\nvirsh a\n! virsh b\n? virsh c\n~ virsh d\n");
        use Expected::{Depends, Fails, Prepares, Succeeds};
        assert_eq!(lines, [(3, Succeeds), (4, Fails), (5, Depends), (6, Prepares)]);
    }
}
