//! Typed parameters: lists of them to answer with, and those that a client hands over.

use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::typed_param::{TypedParam, Value};
use rpc::xdr::List;

use super::Failure;

/// A list in the making.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<TypedParam<'static>>);

impl Params {
    pub(super) fn add(&mut self, name: impl Into<String>, value: impl Into<Value<'static>>) {
        let name: String = name.into();
        self.0.push(TypedParam::new(name, value));
    }

    pub(super) fn add_some(&mut self, name: impl Into<String>, value: Option<impl Into<Value<'static>>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    pub(super) fn append(&mut self, mut more: Self) {
        self.0.append(&mut more.0);
    }

    pub(super) fn all<const MAX: usize>(self) -> List<TypedParam<'static>, MAX> {
        self.0.into_iter().take(MAX).collect()
    }

    /// For calls that ask how many there are first (`wanted` is 0), and for that many then.
    pub(super) fn counted<const MAX: usize>(self, wanted: i32) -> (List<TypedParam<'static>, MAX>, i32) {
        let count = i32::try_from(self.0.len().min(MAX)).unwrap_or(i32::MAX);
        match usize::try_from(wanted) {
            Ok(0) | Err(_) => (List::default(), count),
            Ok(wanted) => {
                let list: List<_, MAX> = self.0.into_iter().take(wanted.min(MAX)).collect();
                let count = i32::try_from(list.len()).unwrap_or(count);
                (list, count)
            }
        }
    }
}

/// What a client has handed over; each parameter is taken once, and what is left at the end is refused by name.
#[derive(Debug)]
pub(super) struct Given<'a>(Vec<&'a TypedParam<'a>>);

impl<'a> Given<'a> {
    /// # Errors
    /// A parameter stands twice.
    pub(super) fn new(params: &'a [TypedParam<'a>]) -> Result<Self, Failure> {
        let mut seen = std::collections::BTreeSet::new();
        for param in params {
            if !seen.insert(param.field.as_ref()) {
                return Err(Box::new(RemoteError::invalid_arg(format!(
                    "parameter '{}' occurs multiple times",
                    param.field
                ))));
            }
        }
        Ok(Self(params.iter().collect()))
    }

    fn take(&mut self, name: &str) -> Option<&'a Value<'a>> {
        let at = self.0.iter().position(|param| param.field == name)?;
        Some(&self.0.remove(at).value)
    }

    pub(super) fn ullong(&mut self, name: &str) -> Result<Option<u64>, Failure> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Ullong(value)) => Ok(Some(*value)),
            Some(_) => Err(wrong_type(name, "ullong")),
        }
    }

    pub(super) fn string(&mut self, name: &str) -> Result<Option<&'a str>, Failure> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(_) => Err(wrong_type(name, "string")),
        }
    }

    /// Refuses what nobody has taken.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self.0.first() {
            None => Ok(()),
            Some(param) => Err(Box::new(RemoteError::new(
                Code::ARGUMENT_UNSUPPORTED,
                Origin::QEMU,
                format!("parameter '{}' not supported", param.field),
            ))),
        }
    }
}

fn wrong_type(name: &str, wanted: &str) -> Failure {
    Box::new(RemoteError::invalid_arg(format!("invalid type for parameter '{name}', expected '{wanted}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_asked_first() {
        let params = || {
            let mut params = Params::default();
            params.add("hard_limit", 7u64);
            params.add("soft_limit", 8u64);
            params
        };
        let (list, count): (List<_, 16>, _) = params().counted(0);
        assert_eq!((list.len(), count), (0, 2));
        let (list, count): (List<_, 16>, _) = params().counted(2);
        assert_eq!((list.len(), count), (2, 2));
        let (list, count): (List<_, 16>, _) = params().counted(1);
        assert_eq!((list[0].field.as_ref(), count), ("hard_limit", 1));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let params = [TypedParam::new("hard_limit", 7u64), TypedParam::new("swap", 8u64)];
        let mut given = Given::new(&params).unwrap();
        assert_eq!(given.ullong("hard_limit").unwrap(), Some(7));
        assert_eq!(
            given.finish().unwrap_err().to_string(),
            "argument unsupported: parameter 'swap' not supported"
        );
        let twice = [TypedParam::new("a", 7u64), TypedParam::new("a", 7u64)];
        assert!(Given::new(&twice).unwrap_err().to_string().contains("multiple times"));
        let wrong = [TypedParam::new("a", 7i32)];
        assert!(Given::new(&wrong).unwrap().ullong("a").is_err());
    }
}
