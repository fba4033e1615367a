//! The numbers of libvirt's errors (`virErrorNumber`) and of the parts that they come from (`virErrorDomain`), as of
//! libvirt 11.3, and the words that a client shows for each.

use std::fmt;

use crate::xdr::{DecodeError, EncodeError, Reader, Writer, Xdr};

/// `virErrorNumber`. Numbers that are not known here pass through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code(pub i32);

/// `virErrorDomain`: the part that failed. Numbers that are not known here pass through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(pub i32);

/// Gives numbers their names and the patterns of their messages, in which `%1$s` or `%s` stands for the detail.
macro_rules! codes {
    ($($number:literal $name:ident $pattern:literal)*) => {
        impl Code {
            $(pub const $name: Self = Self($number);)*

            /// The name without `VIR_ERR_`.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// The pattern of the message.
            pub fn pattern(self) -> &'static str {
                match self.0 {
                    $($number => $pattern,)*
                    _ => "error: %1$s",
                }
            }
        }
    };
}

codes! {
      1 INTERNAL_ERROR             "internal error: %1$s"
      2 NO_MEMORY                  "out of memory: %1$s"
      3 NO_SUPPORT                 "this function is not supported by the connection driver: %1$s"
      4 UNKNOWN_HOST               "unknown host %1$s"
      5 NO_CONNECT                 "no connection driver available for %1$s"
      6 INVALID_CONN               "invalid connection pointer in %1$s"
      7 INVALID_DOMAIN             "invalid domain pointer in %1$s"
      8 INVALID_ARG                "invalid argument: %1$s"
      9 OPERATION_FAILED           "operation failed: %1$s"
     10 GET_FAILED                 "GET operation failed: %1$s"
     11 POST_FAILED                "POST operation failed: %1$s"
     12 HTTP_ERROR                 "got unknown HTTP error code %1$s"
     13 SEXPR_SERIAL               "failed to serialize S-Expr: %1$s"
     14 NO_XEN                     "could not use Xen hypervisor entry %1$s"
     15 XEN_CALL                   "failed Xen syscall %1$s"
     16 OS_TYPE                    "unknown OS type %1$s"
     17 NO_KERNEL                  "missing kernel information: %1$s"
     18 NO_ROOT                    "missing root device information in %1$s"
     19 NO_SOURCE                  "missing source information for device %1$s"
     20 NO_TARGET                  "missing target information for device %1$s"
     21 NO_NAME                    "missing name information in %1$s"
     22 NO_OS                      "missing operating system information for %1$s"
     23 NO_DEVICE                  "missing devices information for %1$s"
     24 NO_XENSTORE                "could not connect to Xen Store %1$s"
     25 DRIVER_FULL                "too many drivers registered in %1$s"
     26 CALL_FAILED                "library call failed: %1$s"
     27 XML_ERROR                  "XML error: %1$s"
     28 DOM_EXIST                  "domain %1$s exists already"
     29 OPERATION_DENIED           "operation forbidden: %1$s"
     30 OPEN_FAILED                "failed to open configuration file %1$s"
     31 READ_FAILED                "failed to read configuration file %1$s"
     32 PARSE_FAILED               "failed to parse configuration file %1$s"
     33 CONF_SYNTAX                "configuration file syntax error: %1$s"
     34 WRITE_FAILED               "failed to write configuration file: %1$s"
     35 XML_DETAIL                 "%s"
     36 INVALID_NETWORK            "invalid network pointer in %1$s"
     37 NETWORK_EXIST              "network %1$s exists already"
     38 SYSTEM_ERROR               "%s"
     39 RPC                        "%s"
     40 GNUTLS_ERROR               "%s"
     42 NO_DOMAIN                  "Domain not found: %1$s"
     43 NO_NETWORK                 "Network not found: %1$s"
     44 INVALID_MAC                "invalid MAC address: %1$s"
     45 AUTH_FAILED                "authentication failed: %1$s"
     46 INVALID_STORAGE_POOL       "invalid storage pool pointer in %1$s"
     47 INVALID_STORAGE_VOL        "invalid storage volume pointer in %1$s"
     49 NO_STORAGE_POOL            "Storage pool not found: %1$s"
     50 NO_STORAGE_VOL             "Storage volume not found: %1$s"
     52 INVALID_NODE_DEVICE        "invalid node device pointer in %1$s"
     53 NO_NODE_DEVICE             "Node device not found: %1$s"
     54 NO_SECURITY_MODEL          "Security model not found: %1$s"
     55 OPERATION_INVALID          "Requested operation is not valid: %1$s"
     57 NO_INTERFACE               "Interface not found: %1$s"
     58 INVALID_INTERFACE          "invalid interface pointer in %1$s"
     59 MULTIPLE_INTERFACES        "multiple matching interfaces found: %1$s"
     61 INVALID_NWFILTER           "Invalid network filter: %1$s"
     62 NO_NWFILTER                "Network filter not found: %1$s"
     63 BUILD_FIREWALL             "Error while building firewall: %1$s"
     65 INVALID_SECRET             "Invalid secret: %1$s"
     66 NO_SECRET                  "Secret not found: %1$s"
     67 CONFIG_UNSUPPORTED         "unsupported configuration: %1$s"
     68 OPERATION_TIMEOUT          "Timed out during operation: %1$s"
     69 MIGRATE_PERSIST_FAILED     "Failed to make domain persistent after migration: %1$s"
     70 HOOK_SCRIPT_FAILED         "Hook script execution failed: %1$s"
     71 INVALID_DOMAIN_SNAPSHOT    "Invalid domain snapshot: %1$s"
     72 NO_DOMAIN_SNAPSHOT         "Domain snapshot not found: %1$s"
     73 INVALID_STREAM             "invalid stream pointer in %1$s"
     74 ARGUMENT_UNSUPPORTED       "argument unsupported: %1$s"
     75 STORAGE_PROBE_FAILED       "Storage pool probe failed: %1$s"
     76 STORAGE_POOL_BUILT         "Storage pool already built: %1$s"
     77 SNAPSHOT_REVERT_RISKY      "revert requires force: %1$s"
     78 OPERATION_ABORTED          "operation aborted: %1$s"
     79 AUTH_CANCELLED             "authentication cancelled: %1$s"
     80 NO_DOMAIN_METADATA         "metadata not found: %1$s"
     81 MIGRATE_UNSAFE             "Unsafe migration: %1$s"
     82 OVERFLOW                   "numerical overflow: %1$s"
     83 BLOCK_COPY_ACTIVE          "block copy still active: %1$s"
     84 OPERATION_UNSUPPORTED      "Operation not supported: %1$s"
     85 SSH                        "SSH transport error: %1$s"
     86 AGENT_UNRESPONSIVE         "Guest agent is not responding: %1$s"
     87 RESOURCE_BUSY              "resource busy: %1$s"
     88 ACCESS_DENIED              "access denied: %1$s"
     89 DBUS_SERVICE               "error from service: %1$s"
     90 STORAGE_VOL_EXIST          "storage volume %1$s exists already"
     91 CPU_INCOMPATIBLE           "the CPU is incompatible with host CPU: %1$s"
     92 XML_INVALID_SCHEMA         "XML document failed to validate against schema: %1$s"
     93 MIGRATE_FINISH_OK          "migration successfully aborted: %1$s"
     94 AUTH_UNAVAILABLE           "authentication unavailable: %1$s"
     95 NO_SERVER                  "Server not found: %1$s"
     96 NO_CLIENT                  "Client not found: %1$s"
     97 AGENT_UNSYNCED             "guest agent replied with wrong id to guest-sync command: %1$s"
     98 LIBSSH                     "libssh transport error: %1$s"
     99 DEVICE_MISSING             "device not found: %1$s"
    100 INVALID_NWFILTER_BINDING   "Invalid network filter binding: %1$s"
    101 NO_NWFILTER_BINDING        "Network filter binding not found: %1$s"
    102 INVALID_DOMAIN_CHECKPOINT  "Invalid domain checkpoint: %1$s"
    103 NO_DOMAIN_CHECKPOINT       "Domain checkpoint not found: %1$s"
    104 NO_DOMAIN_BACKUP           "Domain backup job id not found: %1$s"
    105 INVALID_NETWORK_PORT       "Invalid network port pointer: %1$s"
    106 NETWORK_PORT_EXIST         "network port %1$s exists already"
    107 NO_NETWORK_PORT            "network port not found: %1$s"
    108 NO_HOSTNAME                "no hostname found: %1$s"
    109 CHECKPOINT_INCONSISTENT    "checkpoint inconsistent: %1$s"
    110 MULTIPLE_DOMAINS           "multiple matching domains found: %1$s"
    111 NO_NETWORK_METADATA        "metadata not found: %1$s"
    112 AGENT_COMMAND_TIMEOUT      "guest agent command timed out: %1$s"
    113 AGENT_COMMAND_FAILED       "guest agent command failed: %1$s"
}

/// Gives numbers their names.
macro_rules! origins {
    ($($number:literal $name:ident)*) => {
        impl Origin {
            $(pub const $name: Self = Self($number);)*

            /// The name without `VIR_FROM_`.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

origins! {
      0 NONE
      5 XML
      6 DOM
      7 RPC
      9 CONF
     10 QEMU
     11 NET
     13 REMOTE
     18 STORAGE
     19 NETWORK
     20 DOMAIN
     22 NODEDEV
     24 SECURITY
     26 INTERFACE
     30 SECRET
     31 CPU
     33 NWFILTER
     35 DOMAIN_SNAPSHOT
     37 SYSINFO
     38 STREAMS
     40 EVENT
     44 CAPABILITIES
     45 URI
     46 AUTH
     47 DBUS
     49 DEVICE
     53 IDENTITY
     54 CGROUP
     55 ACCESS
     56 SYSTEMD
     58 CRYPTO
     60 POLKIT
     61 THREAD
     69 DOMAIN_CHECKPOINT
     70 TPM
}

/// Both are plain numbers on the wire.
macro_rules! number {
    ($($kind:ident)*) => {$(
        impl Xdr<'_> for $kind {
            const LEAST: usize = 4;

            fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Xdr::read(from).map(Self)
            }

            fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
                self.0.write(to)
            }
        }

        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}", self.0),
                }
            }
        }

        #[cfg(test)]
        impl crate::xdr::sample::Sample for $kind {
            fn sample(from: &mut crate::xdr::sample::Entropy<'_>) -> Self {
                Self(crate::xdr::sample::Sample::sample(from))
            }
        }
    )*};
}

number! { Code Origin }
