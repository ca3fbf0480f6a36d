//! The ids that an INSERT gives explicitly.
//!
//! Its OK packet tells an id also where that was given and not generated, and then LAST_INSERT_ID() keeps its value: a
//! told id is the generated one only if it can't have been given.

/// A filter of the integers that the text of INSERT or REPLACE, or its parameters, may give for an id. It never misses
/// one, but for ids that a trigger gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids(u64);

/// There are parameters whose values have not been added.
const PARAMETERS: u64 = 1 << 63;

/// The other bits are the filter.
const FILTER_BITS: u64 = 63;

/// To what numbers that are too great or too small for a column are cut, without strict mode.
const LIMITS: [u64; 15] = [
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7F_FFFF,
    0xFF_FFFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    0x7FFF_FFFF_FFFF_FFFF,
    u64::MAX,
    0x80u64.wrapping_neg(),
    0x8000u64.wrapping_neg(),
    0x80_0000u64.wrapping_neg(),
    0x8000_0000u64.wrapping_neg(),
    0x8000_0000_0000_0000,
];

impl Ids {
    /// None is given.
    pub const NONE: Ids = Ids(0);
    /// Any may be.
    pub const UNCLEAR: Ids = Ids(u64::MAX);

    /// Whether this id, which a server has told, may have been given explicitly.
    pub fn may_be(self, told: u64) -> bool {
        self.0 & (PARAMETERS | bit(told)) != 0 || (self != Ids::NONE && LIMITS.contains(&told))
    }

    /// Whether it can become clearer by the values of the parameters: [`Ids::without_parameters`], and then each.
    pub fn needs_parameters(self) -> bool {
        self.0 & PARAMETERS != 0 && self != Ids::UNCLEAR
    }

    /// The same before the values of the parameters are added.
    #[must_use]
    pub fn without_parameters(self) -> Ids {
        if self == Ids::UNCLEAR { self } else { Ids(self.0 & !PARAMETERS) }
    }

    #[must_use]
    pub fn with_parameter(self, value: u64) -> Ids {
        Ids(self.0 | bit(value)).with_rounded(value)
    }

    #[must_use]
    pub fn with_signed_parameter(self, value: i64) -> Ids {
        self.with_integer(value.unsigned_abs(), value < 0)
    }

    /// With a parameter that is a text or a decimal number.
    #[must_use]
    pub fn with_text_parameter(self, text: &[u8]) -> Ids {
        self.with_text(text, false)
    }

    /// With those of another statement of the same text.
    #[must_use]
    pub(super) fn and(self, other: Ids) -> Ids {
        Ids(self.0 | other.0)
    }

    /// With a `?`.
    #[must_use]
    pub(super) fn and_parameters(self) -> Ids {
        Ids(self.0 | PARAMETERS)
    }

    /// With a number token.
    #[must_use]
    pub(super) fn with_number(self, text: &[u8], negative: bool) -> Ids {
        match Leading::of(text) {
            Some(number) if number.rest.is_empty() => self.with_leading(number, negative),
            _ => Ids::UNCLEAR,
        }
    }

    /// With a text, of which the number counts that it begins with. A backslash may stand for anything, if `escapes`.
    #[must_use]
    pub(super) fn with_text(self, text: &[u8], escapes: bool) -> Ids {
        let text = text.trim_ascii_start();
        let (negative, digits) = match text {
            [sign @ (b'-' | b'+'), digits @ ..] => (*sign == b'-', digits),
            _ => (false, text),
        };
        match digits {
            [b'\\', ..] if escapes => Ids::UNCLEAR,
            // Blanks that only servers know for such.
            [b'\x0B' | 0xA0, ..] => Ids::UNCLEAR,
            [b'0'..=b'9' | b'.', ..] => match Leading::of(digits) {
                Some(Leading { rest: [b'\\', ..], .. }) if escapes => Ids::UNCLEAR,
                Some(number) => self.with_leading(number, negative),
                None => Ids::UNCLEAR,
            },
            _ => self,
        }
    }

    fn with_leading(self, number: Leading<'_>, negative: bool) -> Ids {
        let whole = self.with_integer(number.whole, negative);
        // Rounded up or not.
        if number.fraction { whole.with_integer(number.whole.wrapping_add(1), negative) } else { whole }
    }

    fn with_integer(self, value: u64, negative: bool) -> Ids {
        self.with_parameter(if negative { value.wrapping_neg() } else { value })
    }

    /// With what becomes of a number in a column of type FLOAT or DOUBLE.
    fn with_rounded(self, value: u64) -> Ids {
        if value < 1 << f32::MANTISSA_DIGITS {
            return self;
        }
        Ids(self.0 | bit(value as f32 as u64) | bit(value as f64 as u64))
    }
}

/// The bit of a value in the filter.
fn bit(value: u64) -> u64 {
    let hash = value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    1 << ((hash * FILTER_BITS) >> 32)
}

/// The number that a text begins with.
struct Leading<'a> {
    whole: u64,
    fraction: bool,
    rest: &'a [u8],
}

impl<'a> Leading<'a> {
    /// `None` if it has an exponent, too many digits, or a second point: `'10.0.0.1'` is 100 to servers.
    fn of(text: &'a [u8]) -> Option<Self> {
        let mut rest = text;
        let mut whole = 0u64;
        while let [digit @ b'0'..=b'9', more @ ..] = rest {
            whole = whole.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            rest = more;
        }
        let fraction = rest.first() == Some(&b'.');
        if fraction {
            rest = rest.get(1..)?;
            while let [b'0'..=b'9', more @ ..] = rest {
                rest = more;
            }
        }
        match rest {
            [b'e' | b'E' | b'.', ..] => None,
            _ => Some(Leading { whole, fraction, rest }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::{SqlMode, facts};

    fn ids(sql: &str) -> Ids {
        facts(sql.as_bytes(), SqlMode::default()).ids
    }

    #[test]
    fn integers_of_the_text_may_be_ids_and_others_are_none() {
        for (sql, given) in [
            ("insert into t values (5, 'a')", &[5u64][..]),
            (
                "INSERT INTO d.t (`id`, value) VALUES (5, NULL), (18446744073709551615, DEFAULT)",
                &[5, u64::MAX],
            ),
            ("insert t () values ()", &[]),
            ("insert into t (a) values ('x'), (''), (n'b'), (\"c\"), (false)", &[]),
            ("insert ignore into t set id = 77, t.a := 'b', `c` = default", &[77]),
            ("replace into t value (-5, +6)", &[5u64.wrapping_neg(), 6]),
            ("replace t values ('12', ' 13x', '-14', '2024-01-02')", &[12, 13, 14u64.wrapping_neg(), 2024]),
            ("insert into t values (1.5, '2.5', '.5', '10.0x')", &[1, 2, 3, 0, 10, 11]),
            ("insert into t values (true)", &[1]),
            ("insert into t values (16777217)", &[16_777_216, 16_777_217]),
            ("insert into t values /* a */ (7) -- b", &[7]),
            ("insert into t partition (p1) (a) values (300);", &[300, 255, 127]),
            ("insert into t values (1000); insert into u values (1001)", &[1000, 1001]),
            ("select 1000", &[]),
            ("update t set a = 1000", &[]),
        ] {
            let ids = ids(sql);
            assert!(given.iter().all(|id| ids.may_be(*id)), "{sql}");
            assert!(!ids.needs_parameters() && ids != Ids::UNCLEAR, "{sql}");
            let others = (5000..6000).filter(|id| ids.may_be(*id)).count();
            assert!(others <= given.len() * 50, "{others} others in {sql}");
        }
    }

    #[test]
    fn what_is_no_literal_is_unclear() {
        for sql in [
            "insert into t select 1",
            "insert into t (a) (select 1)",
            "insert into t table u",
            "insert into t with a as (select 1) select * from a",
            "with a as (select 1) insert into t select * from a",
            "insert into t values (f(1))",
            "insert into t values (now(), 'a')",
            "insert into t values (@a)",
            "insert into t values (1 + 1)",
            "insert into t values (1 - 1)",
            "insert into t values ('a' '5')",
            "insert into t values (- 'a')",
            "insert into t values ((1))",
            "insert into t values (a)",
            "insert into t values (default(a))",
            "insert into t values (0x10), (1)",
            "insert into t values (x'10')",
            "insert into t values (b'1')",
            "insert into t values (1e3)",
            "insert into t values (.5)",
            "insert into t values (18446744073709551616)",
            "insert into t values ('1e3')",
            "insert into t values ('10.0.0.1')",
            "insert into t values ('\\65')",
            "insert into t values ('1\\62')",
            "insert into t values (_utf8'a')",
            "insert into t values (1) on duplicate key update a = 1",
            "insert into t values (1) as new on duplicate key update a = new.a",
            "insert into t values (1) returning a",
            "insert into t set a = b",
            "insert into t set a = b = 3",
            "insert into t set a = 1 + 1",
            "insert into t",
            "insert into t values (1",
            "insert into t values (1); call p()",
            "load data infile 'f' into table t",
            "create table t select 5 as id",
            "execute s",
            "frobnicate",
        ] {
            let ids = ids(sql);
            assert!(ids == Ids::UNCLEAR && ids.may_be(12345) && !ids.needs_parameters(), "{sql}");
        }
    }

    #[test]
    fn parameters_are_added_when_they_are_known() {
        let ids = ids("insert into t (id, a, b) values (?, ?, 4711)");
        assert!(ids.needs_parameters() && ids.may_be(5000) && ids.may_be(4711));
        let known = ids.without_parameters().with_parameter(815).with_signed_parameter(-1);
        let known = known.with_text_parameter(b"a").with_text_parameter(b"42.5");
        assert!(!known.needs_parameters());
        assert!([815, u64::MAX, 42, 43, 4711].into_iter().all(|id| known.may_be(id)));
        assert!((5000..6000).filter(|id| known.may_be(*id)).count() < 200);
        assert_eq!(Ids::UNCLEAR.without_parameters(), Ids::UNCLEAR);
        assert_eq!(known.with_text_parameter(b"1e5"), Ids::UNCLEAR);
        assert_eq!(Ids::UNCLEAR.with_parameter(1), Ids::UNCLEAR);
        assert_eq!(size_of::<Ids>(), 8);
    }

    #[test]
    fn a_given_id_is_never_missed() {
        let mut id = 1u64;
        for _ in 0..10_000 {
            id = id.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = id >> (id & 63);
            for sql in
                [format!("insert into t values ('x', {value})"), format!("replace into t set a = '{value}'")]
            {
                assert!(ids(&sql).may_be(value), "{sql}");
                assert!(ids(&sql).may_be(value as f32 as u64), "{sql}");
            }
        }
    }
}
