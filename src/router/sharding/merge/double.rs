//! Doubles as the server writes them in text rows.

use crate::protocol::column_definition::DECIMALS_NOT_FIXED;

/// The text of a number in a column with so many `decimals`.
///
/// With a number of digits behind the point, it has exactly these. Without ([`DECIMALS_NOT_FIXED`]) it is the shortest text
/// that reads as the same number, as the server's `my_gcvt` writes it: in plain digits, but with an exponent
/// (`1e15`, `1.5e-20`: no plus, no zeros) where the number is below 1e-15, or is an integer of 16 digits or more.
pub(super) fn text(number: f64, decimals: u8) -> String {
    if decimals < DECIMALS_NOT_FIXED {
        return format!("{number:.0$}", usize::from(decimals));
    }
    /// `MAX_DECPT_FOR_F_FORMAT` of the server.
    const PLAIN_DIGITS: i32 = 15;
    let scientific = format!("{number:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    // Digits before the point; less than 1 for zeros behind it.
    let point = exponent.parse::<i32>().map_or(0, |exponent| exponent + 1);
    let has_fraction = i32::try_from(digits).is_ok_and(|digits| digits > point);
    if point > -PLAIN_DIGITS && (point <= PLAIN_DIGITS || has_fraction) {
        format!("{number}")
    } else {
        scientific
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_the_server_does() {
        let cases = [
            (0.0, "0"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (100_000.0, "100000"),
            (1e14, "100000000000000"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e15"),
            (-1e15, "-1e15"),
            (1_234_567_890_123_456.0, "1.234567890123456e15"),
            (1_234_567_890_123_456.5, "1234567890123456.5"),
            (1e20, "1e20"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (1.5e-20, "1.5e-20"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e308"),
            (0.1 + 0.2, "0.30000000000000004"),
        ];
        for (number, expected) in cases {
            assert_eq!(text(number, DECIMALS_NOT_FIXED), expected);
        }
        assert_eq!(text(2.5, 2), "2.50");
        assert_eq!(text(1e20, 0), "100000000000000000000");
    }
}
