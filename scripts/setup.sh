#!/bin/sh
# Installs the real parts that sevirt drives: QEMU, OVMF, a kernel for the lab and the guest, and small tools.
#
#   scripts/setup.sh            install what is missing (root), or say what to ask for (anyone else)
#   scripts/setup.sh --check    only say what is missing; exit 1 if anything is
#   scripts/setup.sh --peers    the same with libvirt, which tests and benchmarks compare with (--peers --check)
#
# Debian 12 ships QEMU 7.2; the lab needs 10.0 or newer, so there it is taken from the backports suite
# of the mirror that apt already uses, and libvirt 11.3 with it. Running this twice does nothing the second time.
# No service is started: libvirt's daemon is run by whoever measures it, with a configuration of its own.
set -eu

# What each package is for: QEMU and its spice display, firmware, the kernel of the lab machine and of
# the demo guest, its UEFI boot stub, the lab's shell, modules' decompressors, key generation.
PACKAGES="qemu-system-x86 qemu-system-modules-spice qemu-system-modules-opengl qemu-utils ovmf
linux-image-amd64 systemd-boot-efi busybox-static kmod xz-utils openssl"
# What the tests compare with, besides.
TEST_PACKAGES="gcc g++ libc6-dev make git"
# The peer: virsh, virt-xml-validate; libvirtd, virt-host-validate; its Python bindings; virt-install and virt-xml.
# The agent is for a guest of the tests; systemd judges the units.
PEER_PACKAGES="libvirt-clients libvirt-daemon-system python3-libvirt virtinst qemu-guest-agent systemd"
QEMU_AT_LEAST=10.0
LIBVIRT_AT_LEAST=11.3

say() { printf '%s\n' "sevirt set-up: $*"; }
die() { printf '%s\n' "sevirt set-up: error: $*" >&2; exit 1; }

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

version_of() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null; }

missing() {
    for package in $PACKAGES $TEST_PACKAGES $PEERS; do
        installed "$package" || printf '%s ' "$package"
    done
    for package in libvirt-clients libvirt-daemon-system; do
        case " $PEERS " in *" $package "*) ;; *) continue ;; esac
        if installed "$package" && ! dpkg --compare-versions "$(version_of "$package")" ge "$LIBVIRT_AT_LEAST"; then
            printf '%s(>=%s) ' "$package" "$LIBVIRT_AT_LEAST"
        fi
    done
    if installed qemu-system-x86 && ! dpkg --compare-versions "$(version_of qemu-system-x86)" ge "1:$QEMU_AT_LEAST"; then
        printf 'qemu-system-x86(>=%s) ' "$QEMU_AT_LEAST"
    fi
}

PEERS=
check=
for option in "$@"; do
    case $option in
    --check) check=yes ;;
    --peers) PEERS=$PEER_PACKAGES ;;
    *) die "unknown option: $option" ;;
    esac
done

command -v dpkg-query >/dev/null 2>&1 || die "this script knows Debian and its relatives only; install by hand: $PACKAGES (QEMU >= $QEMU_AT_LEAST)"
command -v cargo >/dev/null 2>&1 || die "cargo not found; install Rust 1.89 or newer with rustup, then run this again"

lacking=$(missing)
# Whom the daemon runs QEMU as where it is root's; packages make it by systemd/sysusers.conf.
if [ "$(id -u)" = 0 ] && [ -z "$check" ] && ! id sevirt-qemu >/dev/null 2>&1; then
    say "making the user sevirt-qemu"
    useradd --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin sevirt-qemu ||
        die "useradd could not make the user sevirt-qemu"
    if getent group kvm >/dev/null; then
        usermod -aG kvm sevirt-qemu || die "usermod could not put sevirt-qemu into the group kvm"
    fi
fi
if [ -z "$lacking" ]; then
    say "everything is installed, nothing to do"
    exit 0
fi
say "missing: $lacking"
[ -z "$check" ] || exit 1
if [ "$(id -u)" != 0 ]; then
    die "not root; ask an administrator to run: apt-get install$(printf ' %s' $PACKAGES $TEST_PACKAGES $PEERS) (qemu-system-x86 >= $QEMU_AT_LEAST${PEERS:+, libvirt >= $LIBVIRT_AT_LEAST}; on Debian 12 from bookworm-backports), or: sudo scripts/setup.sh${PEERS:+ --peers}"
fi

. /etc/os-release
export DEBIAN_FRONTEND=noninteractive
apt_get() { apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@"; }

say "reading the package lists"
apt_get update >/dev/null || say "warning: some package lists could not be refreshed; going on with what there is"

# The version that a plain install would give.
candidate() { apt-cache policy "$1" | sed -n 's/^  Candidate: //p'; }

# Whether a plain install gives all that is new enough.
suffices() {
    dpkg --compare-versions "$(candidate qemu-system-x86)" ge "1:$QEMU_AT_LEAST" || return 1
    [ -z "$PEERS" ] || dpkg --compare-versions "$(candidate libvirt-daemon-system)" ge "$LIBVIRT_AT_LEAST"
}

# Prints "URI<TAB>keyring" of the first source that serves the release's own suite.
release_source() {
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        awk -v suite="$VERSION_CODENAME" '
            function done_() { if (uri != "" && (" " suites " ") ~ (" " suite " ")) { print uri "\t" key; found = 1; exit } uri = suites = key = "" }
            /^$/ { done_() }
            /^URIs:/ { uri = $2 }
            /^Suites:/ { sub(/^Suites:[ \t]*/, ""); suites = $0 }
            /^Signed-By:/ { key = $2 }
            END { if (!found) done_() }' "$file"
    done
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        awk -v suite="$VERSION_CODENAME" '$1 == "deb" { i = 2; key = ""
            if ($2 ~ /^\[/) { opts = ""; while (1) { opts = opts " " $i; if ($i ~ /\]$/) break; i++ } i++
                if (match(opts, /signed-by=[^] ]+/)) key = substr(opts, RSTART + 10, RLENGTH - 10) }
            if ($(i + 1) == suite) { print $i "\t" key; exit } }'
}

suite_option=
if ! suffices; then
    backports="$VERSION_CODENAME-backports"
    if ! apt-cache policy | grep -q "n=$backports\|a=$backports"; then
        source=$(release_source | head -n 1)
        [ -n "$source" ] || die "QEMU $QEMU_AT_LEAST${PEERS:+ or libvirt $LIBVIRT_AT_LEAST} is not in this release and no configured source serves $VERSION_CODENAME; add $backports to apt's sources and run this again"
        uri=${source%%	*}
        key=${source#*	}
        list=/etc/apt/sources.list.d/sevirt-backports.sources
        say "adding the suite $backports of $uri to $list"
        {
            printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$backports"
            [ -z "$key" ] || printf 'Signed-By: %s\n' "$key"
        } >"$list"
        apt_get update >/dev/null || say "warning: some package lists could not be refreshed"
    fi
    suite_option="-t $backports"
fi

# QEMU's packages depend on one another by exact version, qemu-utils too: they are chosen from one suite.
qemu=$(printf '%s\n' $PACKAGES | grep '^qemu-')
others=$(printf '%s\n' $PACKAGES $TEST_PACKAGES | grep -v '^qemu-')
say "installing QEMU${suite_option:+ from $backports}"
# shellcheck disable=SC2086
apt_get install -y --no-install-recommends $suite_option $qemu || die "apt-get could not install QEMU $QEMU_AT_LEAST or newer"
say "installing the rest"
# shellcheck disable=SC2086
apt_get install -y --no-install-recommends $others || die "apt-get could not install: $others"
if [ -n "$PEERS" ]; then
    say "installing libvirt${suite_option:+ from $backports}, without starting it"
    # What the packages would start asks this program first; one that an administrator has put there stays.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # shellcheck disable=SC2086
    apt_get install -y --no-install-recommends $suite_option $PEERS || die "apt-get could not install: $PEERS"
fi

lacking=$(missing)
[ -z "$lacking" ] || die "still missing: $lacking"
say "done"
