//! Sizes as libvirt's documents write them: a number and a unit.

use domain::Element;

use super::{Failure, xml_error};

/// A size in bytes. Without a unit it is bytes; `K` and `KiB` are 1024, `KB` is 1000, and so on.
pub(super) fn read(element: Element<'_>) -> Result<u64, Failure> {
    let (text, unit) = (element.text(), element.attribute("unit").map(|unit| unit.value()));
    let wrong = || {
        let name = element.name();
        xml_error(format!("invalid size in <{name}>: '{}'", text.trim()))
    };
    let number: u64 = text.trim().parse().map_err(|_| wrong())?;
    let scale = scale(unit.as_deref().unwrap_or("bytes")).ok_or_else(wrong)?;
    number.checked_mul(scale).filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or_else(wrong)
}

fn scale(unit: &str) -> Option<u64> {
    let lower = unit.to_ascii_lowercase();
    if matches!(lower.as_str(), "" | "b" | "byte" | "bytes") {
        return Some(1);
    }
    let (prefix, base) = match lower.split_at_checked(1)? {
        (prefix, "" | "ib") => (prefix, 1024u64),
        (prefix, "b") => (prefix, 1000),
        _ => return None,
    };
    let power = "kmgtpe".find(prefix).and_then(|at| u32::try_from(at).ok())? + 1;
    base.checked_pow(power)
}

#[cfg(test)]
mod tests {
    use domain::Document;

    use super::*;

    #[test]
    fn units_are_libvirts() {
        let check = |text: &str| {
            let document = Document::parse(text).unwrap();
            read(document.root()).ok()
        };
        assert_eq!(check("<c>5</c>"), Some(5));
        assert_eq!(check("<c unit='bytes'> 5\n</c>"), Some(5));
        assert_eq!(check("<c unit='G'>2</c>"), Some(2 << 30));
        assert_eq!(check("<c unit='KiB'>1</c>"), Some(1024));
        assert_eq!(check("<c unit='KB'>1</c>"), Some(1000));
        assert_eq!(check("<c unit='E'>7</c>"), Some(7 << 60));
        for wrong in ["<c/>", "<c>-1</c>", "<c unit='E'>8</c>", "<c unit='X'>1</c>", "<c unit='KQ'>1</c>"] {
            assert_eq!(check(wrong), None, "{wrong}");
        }
    }
}
