//! What a program of the protocol is: its number, and the table of its procedures from which their types follow.

use crate::xdr::Xdr;

/// A program of the protocol, as packets name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    pub number: u32,
    pub version: u32,
}

/// A procedure whose arguments and results are known: what ties the two together.
pub trait Method {
    type Args<'a>: Xdr<'a>;
    type Reply<'a>: Xdr<'a>;

    const PROGRAM: Program;
    const NUMBER: i32;
}

/// Who may call a procedure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody: it is part of authentication.
    Anyone,
    /// Everybody who is authenticated.
    Read,
    /// Not on a read-only connection.
    Write,
    /// Nobody: the server sends it.
    Event,
}

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Nothing but authenticate.
    None,
    /// What changes nothing.
    Read,
    Full,
}

/// Which worker a procedure may occupy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Never waits for a guest, so it is answered even while all ordinary workers wait.
    High,
    /// May wait for a guest's monitor.
    Low,
}

/// Which way the data of a stream flows that a procedure opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// From the server, as a screenshot.
    Download,
    /// To the server, as an upload.
    Upload,
    /// Both ways, as a console.
    Both,
}

/// Writes `DomainGetXmlDesc` as libvirt does, `DOMAIN_GET_XML_DESC`.
pub(crate) fn upper_snake(name: &str, out: &mut impl std::fmt::Write) -> std::fmt::Result {
    for (index, letter) in name.char_indices() {
        // libvirt sets a number apart in this one name only.
        let apart = letter.is_ascii_uppercase() || (letter == '2' && name.ends_with("Job2"));
        if apart && index > 0 {
            out.write_char('_')?;
        }
        out.write_char(letter.to_ascii_uppercase())?;
    }
    Ok(())
}

/// The table of a program. A row is
///
/// ```text
/// number  Name  access  priority                                     known by name only
/// number  Name  access  priority  call Args => Reply                 arguments, results
/// number  Name  access  priority  call Args => Reply, stream Flow    … and it opens a stream
/// number  Name  Event   priority  sent(Event)                        what the server sends
/// ```
///
/// From it follow `Procedure` (all rows), `Call`, `Reply` and `Event` (the rows that have types), and a [`Method`] of
/// the row's name.
macro_rules! program {
    (
        $(#[$about:meta])*
        $life:lifetime number $program:literal version $version:literal
        $(
            $number:literal $name:ident $access:ident $priority:ident
            $(sent($event:ty))? $(call $args:ty => $reply:ty)? $(, stream $flow:ident)?;
        )*
    ) => {
        $(#[$about])*
        pub const PROGRAM: $crate::program::Program =
            $crate::program::Program { number: $program, version: $version };

        /// Every procedure of the program.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Procedure { $($name),* }

        impl Procedure {
            /// In the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub fn from_number(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            pub fn number(self) -> i32 {
                match self {
                    $(Self::$name => $number),*
                }
            }

            /// Who may call it, whatever its arguments are; see [`Call::access`].
            pub fn access(self) -> $crate::program::Access {
                match self {
                    $(Self::$name => $crate::program::Access::$access),*
                }
            }

            pub fn priority(self) -> $crate::program::Priority {
                match self {
                    $(Self::$name => $crate::program::Priority::$priority),*
                }
            }

            /// The stream that it opens.
            pub fn stream(self) -> Option<$crate::program::Flow> {
                match self {
                    $($(Self::$name => Some($crate::program::Flow::$flow),)?)*
                    _ => None,
                }
            }
        }

        /// The name that libvirt's protocol gives it, without the program's prefix.
        impl std::fmt::Display for Procedure {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let name = match self {
                    $(Self::$name => stringify!($name)),*
                };
                $crate::program::upper_snake(name, f)
            }
        }

        $($(
            #[doc = concat!("`", stringify!($name), "` with its arguments and results.")]
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl $crate::program::Method for $name {
                type Args<$life> = $args;
                type Reply<$life> = $reply;

                const PROGRAM: $crate::program::Program = PROGRAM;
                const NUMBER: i32 = $number;
            }
        )?)*

        $crate::program::payloads! {
            /// The arguments of a call.
            Call $life { $($($name($args),)?)* }
        }
        $crate::program::payloads! {
            /// The results of a call.
            Reply $life { $($($name($reply),)?)* }
        }
        $crate::program::payloads! {
            /// What the server tells without being asked.
            Event $life { $($($name($event),)?)* }
        }
    };
}

/// One of the enums of [`program`]: a variant a row, with the type of its payload.
macro_rules! payloads {
    ($(#[$about:meta])* $enum:ident $life:lifetime { $($name:ident($payload:ty),)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $enum<$life> { $($name($payload)),* }

        impl<$life> $enum<$life> {
            /// Reads the payload of a packet; `None` for a procedure that has no such payload in this table.
            pub fn decode(
                procedure: Procedure,
                payload: &$life [u8],
            ) -> Result<Option<Self>, $crate::xdr::DecodeError> {
                Ok(Some(match procedure {
                    $(Procedure::$name => Self::$name($crate::xdr::decode(payload)?),)*
                    _ => return Ok(None),
                }))
            }

            pub fn procedure(&self) -> Procedure {
                match self {
                    $(Self::$name(_) => Procedure::$name),*
                }
            }

            /// Writes the payload alone.
            pub fn write(&self, to: &mut $crate::xdr::Writer) -> Result<(), $crate::xdr::EncodeError> {
                match self {
                    $(Self::$name(payload) => $crate::xdr::Xdr::write(payload, to)),*
                }
            }

            /// The whole packet. The header's procedure is this one's.
            pub fn encode(
                &self,
                header: $crate::packet::Header,
            ) -> Result<Vec<u8>, $crate::packet::PacketError> {
                let header =
                    $crate::packet::Header { procedure: self.procedure().number(), ..header };
                $crate::packet::encode_with(header, |to| self.write(to))
            }
        }

        #[cfg(test)]
        impl $enum<'static> {
            /// Any payload of a procedure.
            pub(crate) fn sample(
                procedure: Procedure,
                from: &mut $crate::xdr::sample::Entropy<'_>,
            ) -> Option<Self> {
                Some(match procedure {
                    $(Procedure::$name => Self::$name($crate::xdr::sample::Sample::sample(from)),)*
                    _ => return None,
                })
            }
        }
    };
}

pub(crate) use {payloads, program};
