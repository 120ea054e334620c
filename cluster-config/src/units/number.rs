//! A decimal number followed by a unit, multiplied without rounding.

/// Splits `text` into its leading decimal number and the unit behind it, both trimmed.
pub(super) fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

/// The product of a decimal number and a factor, or `None` where it is not a whole number that fits.
pub(super) fn scale(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    if number.ends_with('.') {
        return None;
    }
    let places = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let product = digits.checked_mul(u128::from(factor))?;
    if !product.is_multiple_of(places) {
        return None;
    }
    u64::try_from(product / places).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_number_and_unit() {
        assert_eq!(split(" 1.5 GiB "), ("1.5", "GiB"));
        assert_eq!(split("10s"), ("10", "s"));
        assert_eq!(split("0"), ("0", ""));
        assert_eq!(split("fast"), ("", "fast"));
    }

    #[test]
    fn scales_only_what_stays_whole_and_fits() {
        assert_eq!(scale("1.5", 1024), Some(1536));
        assert_eq!(scale("0.001", 1000), Some(1));
        assert_eq!(scale("0.0001", 1000), None);
        assert_eq!(scale("18446744073709551615", 1), Some(u64::MAX));
        assert_eq!(scale("18446744073709551616", 1), None);
        assert_eq!(scale("1.", 10), None);
        assert_eq!(scale(".5", 10), None);
        assert_eq!(scale("1.2.3", 10), None);
        assert_eq!(scale("", 10), None);
    }
}
