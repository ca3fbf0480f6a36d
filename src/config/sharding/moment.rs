//! Dates and times as they are written.

use std::fmt;

/// A day of the calendar, with a time of that day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    micros: u32,
}

impl Moment {
    /// `None` if the calendar or the clock has it not; years are from 1 to 9999.
    pub fn new(date: (u16, u8, u8), time: (u8, u8, u8), micros: u32) -> Option<Self> {
        let ((year, month, day), (hour, minute, second)) = (date, time);
        let is_day = (1..=9999).contains(&year) && (1..=days(year, month)).contains(&day);
        let is_time = hour < 24 && minute < 60 && second < 60 && micros < 1_000_000;
        (is_day && is_time).then_some(Self { year, month, day, hour, minute, second, micros })
    }

    /// `YYYY-MM-DD`, or that with ` HH:MM:SS` and up to six digits behind a point.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (date, time) = text.split_at_checked(10)?;
        let (y, b'-', m, b'-', d) = fields(date)? else { return None };
        let date = (u16::try_from(y).ok()?, u8::try_from(m).ok()?, u8::try_from(d).ok()?);
        if time.is_empty() {
            return Self::new(date, (0, 0, 0), 0);
        }
        let (clock, fraction) = time.split_at_checked(9)?;
        let (h, b':', m, b':', s) = fields(clock.strip_prefix(b" ")?)? else { return None };
        let time = (u8::try_from(h).ok()?, u8::try_from(m).ok()?, u8::try_from(s).ok()?);
        let micros = match fraction {
            [] => 0,
            [b'.', digits @ ..] if (1..=6).contains(&digits.len()) => {
                let places = u32::try_from(6 - digits.len()).ok()?;
                number(digits)? * 10u32.pow(places)
            }
            _ => return None,
        };
        Self::new(date, time, micros)
    }

    /// Whether it is the first instant of its day.
    pub fn is_midnight(&self) -> bool {
        (self.hour, self.minute, self.second, self.micros) == (0, 0, 0, 0)
    }

    pub fn has_fraction(&self) -> bool {
        self.micros != 0
    }

    /// Without what is behind the second.
    pub fn whole_second(self) -> Self {
        Self { micros: 0, ..self }
    }

    /// The first instant of the next second; `None` after the last year.
    pub fn next_second(self) -> Option<Self> {
        let of_day = (u32::from(self.hour) * 60 + u32::from(self.minute)) * 60 + u32::from(self.second) + 1;
        let mut next = self.whole_second();
        if of_day < 86_400 {
            next.hour = u8::try_from(of_day / 3600).ok()?;
            next.minute = u8::try_from(of_day / 60 % 60).ok()?;
            next.second = u8::try_from(of_day % 60).ok()?;
            return Some(next);
        }
        let (month_ends, year_ends) = (self.day == days(self.year, self.month), self.month == 12);
        let date = match (month_ends, year_ends) {
            (false, _) => (self.year, self.month, self.day + 1),
            (true, false) => (self.year, self.month + 1, 1),
            (true, true) => (self.year + 1, 1, 1),
        };
        Self::new(date, (0, 0, 0), 0)
    }

    /// `2026-01-31`
    pub fn date_text(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Moment {
    /// `2026-01-31 12:00:00.5`: texts are in the order of time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:02}:{:02}:{:02}", self.date_text(), self.hour, self.minute, self.second)?;
        if self.micros != 0 {
            let digits = format!("{:06}", self.micros);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

/// Three numbers and what is between them. The first has what the others leave: they have two digits.
fn fields(text: &[u8]) -> Option<(u32, u8, u32, u8, u32)> {
    let (first, rest) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let &[one, a, b, two, c, d] = rest else { return None };
    Some((number(first)?, one, number(&[a, b])?, two, number(&[c, d])?))
}

fn number(digits: &[u8]) -> Option<u32> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

fn days(year: u16, month: u8) -> u8 {
    let leaps = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leaps => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_calendar_has_is_read_and_written() {
        for (text, canonical) in [
            ("2026-01-31", "2026-01-31 00:00:00"),
            ("2024-02-29 23:59:59", "2024-02-29 23:59:59"),
            ("2000-02-29 01:02:03.50", "2000-02-29 01:02:03.5"),
            ("0001-01-01 00:00:00.000001", "0001-01-01 00:00:00.000001"),
        ] {
            let moment = Moment::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(moment.to_string(), canonical);
        }
        for text in [
            "",
            "2026-02-29",
            "1900-02-29",
            "0000-00-00",
            "2026-13-01",
            "2026-1-01",
            "26-01-01",
            "2026/01/01",
            "2026-01-01T00:00:00",
            "2026-01-01 24:00:00",
            "2026-01-01 00:00",
            "2026-01-01 00:00:00.",
            "2026-01-01 00:00:00.1234567",
            "2026-01-01 00:00:00+02:00",
            "+026-01-01",
        ] {
            assert_eq!(Moment::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_second_later_may_be_another_year() {
        for (text, next) in [
            ("2026-01-31 12:59:59.9", "2026-01-31 13:00:00"),
            ("2026-01-30 23:59:59", "2026-01-31 00:00:00"),
            ("2026-01-31 23:59:59", "2026-02-01 00:00:00"),
            ("2026-12-31 23:59:59.5", "2027-01-01 00:00:00"),
        ] {
            let later = Moment::parse(text.as_bytes()).and_then(Moment::next_second);
            assert_eq!(later.map(|later| later.to_string()).as_deref(), Some(next));
        }
        assert_eq!(Moment::parse(b"9999-12-31 23:59:59").and_then(Moment::next_second), None);
    }
}
