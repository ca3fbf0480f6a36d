//! Expressions whose values are known, and which a server can't tell from the function or variable that they stand for.
//!
//! Their columns have the type, length, signedness and flags of the original, alone and within other expressions
//! (measured on MariaDB 10.11 and MySQL 9.7, text and binary rows, CREATE TABLE ... SELECT). None is a plain number,
//! which would have another length, and mean a column in ORDER BY and GROUP BY.

/// For CONNECTION_ID(). MariaDB has it as `INT(10) UNSIGNED NOT NULL`, like no literal and no cast; but the checksum is,
/// and every number is that of some four bytes. MySQL has it as [`function`].
pub(super) fn connection_id(id: u32, mariadb: bool) -> String {
    /// The polynomial of CRC-32, lowest bit first.
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    if !mariadb {
        return function(u64::from(id));
    }
    let mut state = !id;
    for _ in 0..u32::BITS {
        let carried = state & (1 << 31) != 0;
        state = if carried { (state ^ POLYNOMIAL) << 1 | 1 } else { state << 1 };
    }
    format!("CRC32(0x{:08X})", (!state).swap_bytes())
}

/// `BIGINT UNSIGNED NOT NULL`: LAST_INSERT_ID().
pub(super) fn function(value: u64) -> String {
    format!("({value}|0)")
}

/// `BIGINT UNSIGNED` that may be NULL: what system variables are.
pub(super) fn variable(value: u64) -> String {
    format!("(NULLIF({value},NULL)|0)")
}

/// `BIGINT NOT NULL`, with room for a sign and 20 digits: ROW_COUNT() and FOUND_ROWS(). Eight bytes have 20 digits, a
/// cast leaves them at that, and COALESCE adds the sign.
pub(super) fn count(value: i64) -> String {
    format!("COALESCE(CAST(0x{value:016X} AS SIGNED))")
}

/// FOUND_ROWS(), of which MySQL warns whenever it reads the name.
pub(super) fn found_rows(value: u64, mariadb: bool) -> String {
    let count = count(i64::try_from(value).unwrap_or(i64::MAX));
    if mariadb { count } else { format!("IF(1,{count},FOUND_ROWS())") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_written_as_the_checksum_of_four_bytes() {
        for id in [0, 1, 7, 1234, 0x8000_0001, u32::MAX] {
            let text = connection_id(id, true);
            let digits =
                text.strip_prefix("CRC32(0x").and_then(|rest| rest.strip_suffix(')')).expect("a call");
            let mut state = u32::MAX;
            for byte in u32::from_str_radix(digits, 16).expect("a number").to_be_bytes() {
                state ^= u32::from(byte);
                for _ in 0..8 {
                    state = if state & 1 == 1 { state >> 1 ^ 0xEDB8_8320 } else { state >> 1 };
                }
            }
            assert_eq!(!state, id, "{text}");
        }
        assert_eq!(connection_id(7, false), "(7|0)");
    }

    #[test]
    fn counts_have_eight_bytes_whatever_their_sign() {
        assert_eq!(count(7), "COALESCE(CAST(0x0000000000000007 AS SIGNED))");
        assert_eq!(count(-1), "COALESCE(CAST(0xFFFFFFFFFFFFFFFF AS SIGNED))");
        assert_eq!(found_rows(u64::MAX, true), count(i64::MAX));
        assert_eq!(found_rows(7, false), format!("IF(1,{},FOUND_ROWS())", count(7)));
    }
}
