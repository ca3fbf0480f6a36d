//! The character set of a client, as far as it decides where tokens begin and end.

use super::server::Server;

/// From here on, collations (of one byte) are MySQL's own.
const FIRST_OF_MYSQL: u8 = 248;

/// A MariaDB of this version or later may know those, too.
const MARIADB_11_4: u32 = 110400;

/// What a server takes for one character of a statement's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Charset {
    /// Bytes above 0x7F are those of characters with more than one byte: UTF-8, GB2312, EUC.
    #[default]
    Plain,
    /// Every byte is a character, and some above 0x7F are blanks: 0xA0 in Latin-1 and its like, 0xFF in DOS code pages.
    OneByte,
    // A character's second byte may look like a backslash, a quote or a letter.
    Big5,
    Cp932,
    Gb18030,
    Gbk,
    Sjis,
}

impl Charset {
    /// That of a session which named this collation at its login. If the server does not know it, it takes its `default`
    /// (measured on MariaDB 10.11).
    pub fn of_login(id: u8, server: Server, default: u8) -> Self {
        let unknown = server.mariadb && server.version < MARIADB_11_4 && id >= FIRST_OF_MYSQL;
        Charset::of_collation(if unknown { default } else { id })
    }

    /// That of a collation's id.
    pub fn of_collation(id: u8) -> Self {
        match id {
            1 | 84 => Charset::Big5,
            13 | 88 => Charset::Sjis,
            28 | 87 => Charset::Gbk,
            95 | 96 => Charset::Cp932,
            248..=250 => Charset::Gb18030,
            // ujis, euckr, gb2312, eucjpms, binary.
            12 | 91 | 19 | 85 | 24 | 86 | 97 | 98 | 63 => Charset::Plain,
            // utf8mb3, then utf8mb4.
            33 | 76 | 83 | 192..=215 | 223 => Charset::Plain,
            45 | 46 | 224..=247 | 255 => Charset::Plain,
            _ => Charset::OneByte,
        }
    }

    /// That of a name, as in the variable `character_set_client`.
    pub fn by_name(name: &[u8]) -> Self {
        const NAMES: [(&[u8], Charset); 13] = [
            (b"big5", Charset::Big5),
            (b"cp932", Charset::Cp932),
            (b"gb18030", Charset::Gb18030),
            (b"gbk", Charset::Gbk),
            (b"sjis", Charset::Sjis),
            (b"utf8mb4", Charset::Plain),
            (b"utf8mb3", Charset::Plain),
            (b"utf8", Charset::Plain),
            (b"binary", Charset::Plain),
            (b"ujis", Charset::Plain),
            (b"eucjpms", Charset::Plain),
            (b"euckr", Charset::Plain),
            (b"gb2312", Charset::Plain),
        ];
        let found = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        found.map_or(Charset::OneByte, |(_, charset)| *charset)
    }

    /// The length of the character that `text` begins with. A byte that begins none is a character by itself, whatever
    /// follows: that is how servers pass over it.
    pub(super) fn character_len(self, text: &[u8]) -> usize {
        let [first, second, ..] = *text else { return 1 };
        if !self.leads(first) {
            return 1;
        }
        if self.trails(second) {
            return 2;
        }
        match *text {
            [_, b'0'..=b'9', third, b'0'..=b'9', ..] if self == Charset::Gb18030 && self.leads(third) => 4,
            _ => 1,
        }
    }

    /// Whether some character has more than one byte, with a second one that ASCII has, too.
    pub(super) fn is_mixed(self) -> bool {
        !matches!(self, Charset::Plain | Charset::OneByte)
    }

    /// Whether a byte above 0x7F may be a blank.
    pub(super) fn may_be_blank(self, byte: u8) -> bool {
        self == Charset::OneByte && matches!(byte, 0xA0 | 0xFF)
    }

    /// Whether a byte above 0x7F belongs to the name of a user variable that is not quoted, where servers look at each
    /// byte of a character by itself.
    pub(super) fn continues_variable(self, byte: u8) -> bool {
        match self {
            Charset::Plain | Charset::OneByte => true,
            Charset::Big5 => matches!(byte, 0xA1..=0xF9),
            Charset::Cp932 | Charset::Sjis => false,
            Charset::Gb18030 => byte != 0xFF,
            Charset::Gbk => matches!(byte, 0xA1..=0xFE),
        }
    }

    fn leads(self, byte: u8) -> bool {
        match self {
            Charset::Plain | Charset::OneByte => false,
            Charset::Big5 => matches!(byte, 0xA1..=0xF9),
            Charset::Cp932 | Charset::Sjis => matches!(byte, 0x81..=0x9F | 0xE0..=0xFC),
            Charset::Gb18030 | Charset::Gbk => matches!(byte, 0x81..=0xFE),
        }
    }

    fn trails(self, byte: u8) -> bool {
        match self {
            Charset::Plain | Charset::OneByte => false,
            Charset::Big5 => matches!(byte, 0x40..=0x7E | 0xA1..=0xFE),
            Charset::Cp932 | Charset::Sjis => matches!(byte, 0x40..=0x7E | 0x80..=0xFC),
            Charset::Gb18030 | Charset::Gbk => matches!(byte, 0x40..=0x7E | 0x80..=0xFE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collations_and_names_mean_the_same() {
        for (name, collations) in [
            ("big5", &[1, 84][..]),
            ("SJIS", &[13, 88]),
            ("gbk", &[28, 87]),
            ("cp932", &[95, 96]),
            ("Gb18030", &[248, 249, 250]),
            ("utf8mb4", &[45, 255]),
            ("utf8", &[33, 83]),
            ("latin1", &[8, 48]),
            ("cp866", &[36]),
            ("ujis", &[12, 91]),
        ] {
            for collation in collations {
                assert_eq!(Charset::of_collation(*collation), Charset::by_name(name.as_bytes()), "{name}");
            }
        }
    }

    #[test]
    fn a_server_that_does_not_know_a_collation_takes_its_own() {
        let mariadb = Server { mariadb: true, version: 101119 };
        let mysql = Server { mariadb: false, version: 90704 };
        assert_eq!(Charset::of_login(255, mariadb, 28), Charset::Gbk);
        assert_eq!(Charset::of_login(45, mariadb, 28), Charset::Plain);
        assert_eq!(Charset::of_login(255, mysql, 28), Charset::Plain);
        assert_eq!(Charset::of_login(248, mysql, 255), Charset::Gb18030);
    }

    #[test]
    fn a_lead_byte_without_its_trail_is_one_character() {
        for (charset, text, len) in [
            (Charset::Plain, &b"\x81\\"[..], 1),
            (Charset::OneByte, b"\x81\\", 1),
            (Charset::Gbk, b"\x81\\", 2),
            (Charset::Gbk, b"\x81'", 1),
            (Charset::Gbk, b"\x81", 1),
            (Charset::Gbk, b"\x80\\", 1),
            (Charset::Gbk, b"\xFF\\", 1),
            (Charset::Gbk, b"\x81\x7F", 1),
            (Charset::Gbk, b"a\\", 1),
            (Charset::Gbk, b"", 1),
            (Charset::Gb18030, b"\x81\x30\x81\x30", 4),
            (Charset::Gb18030, b"\x81\x30\x81", 1),
            (Charset::Gb18030, b"\x81\x30\\0", 1),
            (Charset::Gb18030, b"\x81`", 2),
            (Charset::Sjis, b"\xA1\\", 1),
            (Charset::Sjis, b"\xE0\\", 2),
            (Charset::Cp932, b"\xFC@", 2),
            (Charset::Cp932, b"\xFD@", 1),
            (Charset::Big5, b"\xA0\\", 1),
            (Charset::Big5, b"\xA1\\", 2),
            (Charset::Big5, b"\xA1\x80", 1),
        ] {
            assert_eq!(charset.character_len(text), len, "{charset:?} {text:?}");
        }
    }
}
