//! Sums of decimals, exact.

use bigdecimal::num_bigint::{BigInt, BigUint, Sign};

use super::key::split_decimal;
use crate::protocol::buf::Malformed;

/// A decimal number: `digits / 10^scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exact {
    digits: Digits,
    scale: u32,
}

/// Most sums fit in the small ones.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Digits {
    Small(i128),
    Big(BigInt),
}

impl Digits {
    fn into_big(self) -> BigInt {
        match self {
            Digits::Small(number) => BigInt::from(number),
            Digits::Big(number) => number,
        }
    }

    fn add(self, other: Digits) -> Digits {
        match (self, other) {
            (Digits::Small(a), Digits::Small(b)) => match a.checked_add(b) {
                Some(sum) => Digits::Small(sum),
                None => Digits::Big(BigInt::from(a) + b),
            },
            (a, b) => Digits::Big(a.into_big() + b.into_big()),
        }
    }

    fn times_ten_to(self, exponent: u32) -> Digits {
        let small = match self {
            Digits::Small(number) => 10i128.checked_pow(exponent).and_then(|power| number.checked_mul(power)),
            Digits::Big(_) => None,
        };
        match small {
            Some(number) => Digits::Small(number),
            None => Digits::Big(self.into_big() * BigInt::from(10).pow(exponent)),
        }
    }
}

impl Exact {
    /// Reads a DECIMAL as a server writes it.
    pub fn parse(text: &[u8]) -> Result<Exact, Malformed> {
        let (negative, whole, fraction) = split_decimal(text)?;
        // Its length is bounded.
        let scale = fraction.len() as u32;
        let mut digits = whole.iter().chain(fraction).map(|digit| i128::from(*digit - b'0'));
        let small = digits.try_fold(0i128, |number, digit| number.checked_mul(10)?.checked_add(digit));
        let digits = match small {
            Some(number) => Digits::Small(if negative { -number } else { number }),
            None => {
                let digits = BigInt::parse_bytes(&[whole, fraction].concat(), 10);
                let number = digits.ok_or(Malformed::Field("decimal"))?;
                Digits::Big(if negative { -number } else { number })
            }
        };
        Ok(Exact { digits, scale })
    }

    pub fn of_integer(number: i128) -> Exact {
        Exact { digits: Digits::Small(number), scale: 0 }
    }

    /// With the larger scale of the two.
    pub fn add(self, other: Exact) -> Exact {
        let scale = self.scale.max(other.scale);
        let [a, b] = [self, other].map(|number| number.digits.times_ten_to(scale - number.scale));
        Exact { digits: a.add(b), scale }
    }

    /// Divided by a number that is not 0, and rounded to `scale` digits behind the point: halves away from zero.
    pub fn divide(self, by: i128, scale: u32) -> Exact {
        let more = scale.saturating_sub(self.scale);
        // Where the scale gets smaller, the divisor gets larger instead.
        let less = self.scale.saturating_sub(scale);
        let numerator = self.digits.times_ten_to(more).into_big();
        let divisor = BigInt::from(by) * BigInt::from(10).pow(less);
        if divisor.sign() == Sign::NoSign {
            return Exact { digits: Digits::Small(0), scale };
        }
        let away = if (numerator.sign() == Sign::Minus) == (divisor.sign() == Sign::Minus) { 1 } else { -1 };
        let quotient = &numerator / &divisor;
        let remainder = numerator - &quotient * &divisor;
        let twice: BigUint = remainder.magnitude() * 2u32;
        let rounded = if twice >= *divisor.magnitude() { quotient + away } else { quotient };
        Exact { digits: Digits::Big(rounded), scale }
    }

    /// Divided by a number that is not 0, and cut off behind `scale` digits.
    pub fn quotient(self, by: i128, scale: u32) -> Exact {
        let more = scale.saturating_sub(self.scale);
        let less = self.scale.saturating_sub(scale);
        let divisor = BigInt::from(by) * BigInt::from(10).pow(less);
        let digits = match divisor.sign() {
            Sign::NoSign => BigInt::from(0),
            _ => self.digits.times_ten_to(more).into_big() / divisor,
        };
        Exact { digits: Digits::Big(digits), scale }
    }

    /// With as many digits behind the point as the scale says, and at least one before it.
    pub fn text(&self) -> String {
        let digits = match &self.digits {
            Digits::Small(number) => number.to_string(),
            Digits::Big(number) => number.to_string(),
        };
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", &digits[..]),
        };
        // Bounded by the length of a value that a server sent, or by a column's `decimals`.
        let scale = self.scale as usize;
        let padded = format!("{digits:0>0$}", scale + 1);
        match padded.split_at_checked(padded.len() - scale) {
            Some((whole, fraction)) if scale > 0 => format!("{sign}{whole}.{fraction}"),
            _ => format!("{sign}{padded}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Exact {
        Exact::parse(text.as_bytes()).expect("a decimal")
    }

    #[test]
    fn decimals_round_trip() {
        let long = "-12345678901234567890123456789012345678901234567890.123456789012345";
        for text in ["0", "7", "-7", "0.00", "0.05", "-0.05", "12.340", long] {
            assert_eq!(exact(text).text(), text);
        }
        assert_eq!(exact("007.5").text(), "7.5");
        assert_eq!(exact("-.5").text(), "-0.5");
        for bad in ["", "-", ".", "1e5", "1.2.3", "x"] {
            assert!(Exact::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn sums_are_exact_at_any_length() {
        let sum =
            |texts: &[&str]| texts.iter().map(|text| exact(text)).reduce(Exact::add).map(|sum| sum.text());
        assert_eq!(sum(&["0.1", "0.2"]).as_deref(), Some("0.3"));
        assert_eq!(sum(&["1.5", "-1.50"]).as_deref(), Some("0.00"));
        assert_eq!(sum(&["-3", "1.25"]).as_deref(), Some("-1.75"));
        let nines = "9".repeat(38);
        let expected = "399999999999999999999999999999999999996";
        assert_eq!(sum(&[&nines[..]; 4]).as_deref(), Some(expected));
        let long = "9".repeat(60);
        assert_eq!(sum(&[&long, "1.5"]), Some(format!("1{}.5", "0".repeat(60))));
    }

    #[test]
    fn quotients_are_cut_off() {
        assert_eq!(exact("2").quotient(3, 9).text(), "0.666666666");
        assert_eq!(exact("-2.00").quotient(3, 9).text(), "-0.666666666");
        assert_eq!(exact("1.99").quotient(1, 1).text(), "1.9");
        assert_eq!(exact("1").quotient(0, 4).text(), "0.0000");
    }

    #[test]
    fn quotients_round_halves_away_from_zero() {
        let cases = [
            ("10", 4, 4, "2.5000"),
            ("1", 3, 4, "0.3333"),
            ("2", 3, 4, "0.6667"),
            ("-2", 3, 4, "-0.6667"),
            ("1", 8, 2, "0.13"),
            ("-1", 8, 2, "-0.13"),
            ("0.00", 5, 6, "0.000000"),
            ("1.23456", 1, 2, "1.23"),
            ("1.235", 1, 2, "1.24"),
            ("-0.004", 1, 2, "0.00"),
        ];
        for (sum, by, scale, expected) in cases {
            assert_eq!(exact(sum).divide(by, scale).text(), expected, "{sum} / {by}");
        }
    }
}
