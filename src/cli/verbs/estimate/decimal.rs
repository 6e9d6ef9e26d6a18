//! Decimal numbers without floating point: read to a billionth, written to as many places as asked for.

/// Digits after the point that are read.
const PLACES: usize = 9;

/// One, in billionths.
pub(super) const ONE: u128 = 1_000_000_000;

/// `12`, `0.5` or `.08` in billionths. Nothing for what is finer, larger than 64 bits, or not such a number.
pub(super) fn billionths(text: &str) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_number || whole.len() + fraction.len() == 0 || fraction.len() > PLACES {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u64 = format!("{fraction:0<PLACES$}").parse().ok()?;
    Some(u128::from(whole) * ONE + u128::from(fraction))
}

/// A quotient, rounded half up at `most` places, without zeros at its end beyond `least` places.
///
/// The divisor is not 0, and times 10 to the power of `most` it fits into 127 bits.
pub(super) fn quotient(dividend: u128, divisor: u128, least: usize, most: usize) -> String {
    let scale = (0..most).fold(1, |scale: u128, _| scale * 10);
    let (mut whole, rest) = (dividend / divisor, dividend % divisor);
    let mut fraction = (rest * scale + divisor / 2) / divisor;
    if fraction == scale {
        (whole, fraction) = (whole + 1, 0);
    }
    if most == 0 {
        return whole.to_string();
    }
    let digits = format!("{fraction:0>most$}");
    let kept = digits.trim_end_matches('0').len().max(least);
    if kept == 0 { whole.to_string() } else { format!("{whole}.{}", &digits[..kept]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_to_the_billionth_or_not_at_all() {
        for (text, expected) in
            [("0", 0), ("2", 2 * ONE), (".08", 80_000_000), ("1.", ONE), ("0.000018", 18_000), ("0.000000001", 1)]
        {
            assert_eq!(billionths(text), Some(expected), "{text}");
        }
        for text in
            ["", ".", "-1", "+1", "1.2.3", "1e3", "0x1", " 1", "\u{661}", "0.0000000001", "99999999999999999999"]
        {
            assert_eq!(billionths(text), None, "{text}");
        }
    }

    #[test]
    fn a_quotient_is_rounded_half_up_and_carries() {
        let cases = [
            ((396, 100, 2, 2), "3.96"),
            ((0, 7, 2, 2), "0.00"),
            ((1995, 1000, 2, 2), "2.00"),
            ((1994, 1000, 2, 2), "1.99"),
            ((9995, 10_000, 0, 3), "1"),
            ((5, 2, 0, 3), "2.5"),
            ((4, 2, 0, 3), "2"),
            ((1320, 1_000_000, 2, 9), "0.00132"),
            ((3, 2, 0, 0), "2"),
        ];
        for ((dividend, divisor, least, most), expected) in cases {
            assert_eq!(quotient(dividend, divisor, least, most), expected, "{dividend} / {divisor}");
        }
    }
}
