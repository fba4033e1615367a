//! Structures of the protocol: their fields one after another, in the order in which they are declared.

/// Declares structures whose XDR form is that of their fields in order. A structure that borrows from the message is
/// declared with the lifetime `'a`.
macro_rules! records {
    ($($(#[$about:meta])* $name:ident $(<$life:lifetime>)? { $($(#[$note:meta])* $field:ident: $kind:ty),* $(,)? })*) => {$(
        $crate::xdr::record! { $(#[$about])* $name $(<$life>)? { $($(#[$note])* $field: $kind),* } }
    )*};
}

/// One structure of [`records`].
macro_rules! record {
    ($(#[$about:meta])* $name:ident { $($(#[$note:meta])* $field:ident: $kind:ty),* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name { $($(#[$note])* pub $field: $kind),* }

        impl<'a> $crate::xdr::Xdr<'a> for $name {
            $crate::xdr::record! { @body 'a { $($field: $kind),* } }
        }

        #[cfg(test)]
        impl $crate::xdr::sample::Sample for $name {
            fn sample(from: &mut $crate::xdr::sample::Entropy<'_>) -> Self {
                Self { $($field: $crate::xdr::sample::Sample::sample(from)),* }
            }
        }
    };
    ($(#[$about:meta])* $name:ident <$life:lifetime> { $($(#[$note:meta])* $field:ident: $kind:ty),* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name<$life> { $($(#[$note])* pub $field: $kind),* }

        impl<$life> $crate::xdr::Xdr<$life> for $name<$life> {
            $crate::xdr::record! { @body $life { $($field: $kind),* } }
        }

        #[cfg(test)]
        impl $crate::xdr::sample::Sample for $name<'_> {
            fn sample(from: &mut $crate::xdr::sample::Entropy<'_>) -> Self {
                Self { $($field: $crate::xdr::sample::Sample::sample(from)),* }
            }
        }
    };
    (@body $life:lifetime { $($field:ident: $kind:ty),* }) => {
        const LEAST: usize = 0 $(+ <$kind as $crate::xdr::Xdr<$life>>::LEAST)*;

        fn read(from: &mut $crate::xdr::Reader<$life>) -> Result<Self, $crate::xdr::DecodeError> {
            Ok(Self { $($field: $crate::xdr::Xdr::read(from)?),* })
        }

        fn write(&self, to: &mut $crate::xdr::Writer) -> Result<(), $crate::xdr::EncodeError> {
            $(
                to.mark(stringify!($field));
                $crate::xdr::Xdr::write(&self.$field, to)?;
            )*
            Ok(())
        }
    };
}

pub(crate) use {record, records};
