//! States, and the ways between them.

use super::*;

fn changes(variables: &[(&str, Option<&str>)], users: &[(&str, Option<&str>)]) -> Changes {
    let owned = |entries: &[(&str, Option<&str>)]| {
        let entry = |(name, value): &(&str, Option<&str>)| {
            (name.as_bytes().into(), value.map(|value| value.as_bytes().into()))
        };
        entries.iter().map(entry).collect()
    };
    Changes { variables: owned(variables), user_variables: owned(users), role: None }
}

fn way(from: &State, to: &State) -> Vec<String> {
    let base = |name: &[u8]| (name == b"sql_mode").then_some(&b"ANSI"[..]);
    from.way_to(to, base).into_iter().map(|sql| String::from_utf8_lossy(&sql).into_owned()).collect()
}

#[test]
fn equal_states_are_one() {
    let states = States::default();
    let empty = states.empty();
    let set = changes(&[("time_zone", Some("+01:00"))], &[("a", Some("1"))]);
    let one = states.changed(&empty, &set).unwrap();
    assert!(one != empty && one == states.changed(&empty, &set).unwrap());
    assert_eq!(one.variable(b"time_zone"), Some(&b"+01:00"[..]));
    let back = states.changed(&one, &changes(&[("time_zone", None)], &[("a", None)])).unwrap();
    assert!(back == empty);
    for n in 0..3 * CLEAN_MIN {
        let value = n.to_string();
        states.changed(&empty, &changes(&[("time_zone", Some(&value))], &[])).unwrap();
    }
    assert!(states.known.borrow().len() <= CLEAN_MIN + 2);
    let long = "x".repeat(STATE_LEN_MAX);
    assert!(states.changed(&empty, &changes(&[], &[("a", Some(&long))])).is_none());
}

#[test]
fn a_number_is_set_under_its_collation() {
    let (states, collation) = (States::default(), |name| ("collation_connection", Some(name)));
    let latin = states.changed(
        &states.empty(),
        &changes(&[collation("latin1_bin")], &[("a", Some("1/*latin1_bin*/")), ("b", Some("_binary X''"))]),
    );
    let latin = latin.unwrap();
    assert_eq!(
        way(&states.empty(), &latin),
        [
            "SET @@session.collation_connection=_utf8mb4'latin1_bin'",
            "SET @`a`:=1/*latin1_bin*/,@`b`:=_binary X''"
        ]
    );
    let other = states.changed(&latin, &changes(&[collation("gbk_bin")], &[("c", Some("2/*gbk_bin*/"))]));
    let other = other.unwrap();
    assert_eq!(
        way(&states.empty(), &other),
        [
            "SET @@session.collation_connection=_utf8mb4'gbk_bin'",
            "SET @`b`:=_binary X'',@`c`:=2/*gbk_bin*/",
            "SET @@session.collation_connection=_utf8mb4'latin1_bin'",
            "SET @`a`:=1/*latin1_bin*/",
            "SET @@session.collation_connection=_utf8mb4'gbk_bin'",
        ]
    );
}

#[test]
fn a_link_is_brought_by_what_differs() {
    let states = States::default();
    let empty = states.empty();
    let of = |variables: &[(&str, Option<&str>)], users: &[(&str, Option<&str>)]| {
        states.changed(&empty, &changes(variables, users)).unwrap()
    };
    let one = of(&[("sql_mode", Some("")), ("long_query_time", Some("1.5"))], &[("a`", Some("1"))]);
    assert_eq!(
        way(&empty, &one),
        ["SET @@session.long_query_time=1.5,@@session.sql_mode=_utf8mb4''", "SET @`a```:=1"]
    );
    assert_eq!(
        way(&one, &empty),
        [
            "SET @@session.long_query_time=DEFAULT,@@session.sql_mode=_utf8mb4'ANSI'",
            "SET @`a```:=_binary X'',@`a```:=NULL"
        ]
    );
    assert_eq!(way(&one, &one), [""; 0]);
    // What the login gave is there without being set.
    let by_login = of(&[("sql_mode", Some("ANSI"))], &[]);
    assert_eq!(way(&empty, &by_login), [""; 0]);
    assert_eq!(way(&by_login, &empty), [""; 0]);
    let odd = of(&[("character_set_results", Some("")), ("x", Some("a'b"))], &[]);
    assert_eq!(
        way(&empty, &odd),
        ["SET @@session.character_set_results=NULL,@@session.x=_utf8mb4 X'612762'"]
    );
}

#[test]
fn what_changes_along_is_set_again() {
    let states = States::default();
    let of = |variables| states.changed(&states.empty(), &changes(variables, &[])).unwrap();
    let both = of(&[("max_join_size", Some("100")), ("sql_big_selects", Some("0"))]);
    let second = of(&[("sql_big_selects", Some("0"))]);
    assert_eq!(way(&both, &second), ["SET @@session.max_join_size=DEFAULT,@@session.sql_big_selects=0"]);
}

#[test]
fn character_sets_are_set_as_they_were() {
    let states = States::default();
    let of = |results, collation| {
        let set = [
            ("character_set_client", Some("latin1")),
            ("character_set_connection", Some("latin1")),
            ("character_set_results", Some(results)),
            ("collation_connection", Some(collation)),
        ];
        states.changed(&states.empty(), &changes(&set, &[])).unwrap()
    };
    let base = |name: &[u8]| match name {
        b"collation_connection" => Some(&b"utf8mb4_bin"[..]),
        name if OF_NAMES.contains(&name) => Some(&b"utf8mb4"[..]),
        _ => None,
    };
    fn told(way: Vec<Vec<u8>>) -> Vec<String> {
        way.iter().map(|sql| String::from_utf8_lossy(sql).into_owned()).collect()
    }
    let (empty, latin1, mixed) = (states.empty(), of("latin1", "latin1_bin"), of("koi8r", "latin1_bin"));
    assert_eq!(told(empty.way_to(&latin1, base)), ["SET NAMES latin1 COLLATE latin1_bin"]);
    assert_eq!(told(latin1.way_to(&empty, base)), ["SET NAMES utf8mb4 COLLATE utf8mb4_bin"]);
    assert_eq!(told(latin1.way_to(&latin1, base)), [""; 0]);
    // Without SET NAMES, results keep the collation of the login.
    let set = [("character_set_connection", Some("utf8mb4")), ("collation_connection", Some("x"))];
    let collated = states.changed(&empty, &changes(&set, &[])).unwrap();
    assert_eq!(told(empty.way_to(&collated, base)), ["SET @@session.collation_connection=_utf8mb4'x'"]);
    assert_eq!(
        told(latin1.way_to(&collated, base)),
        ["SET NAMES utf8mb4 COLLATE utf8mb4_bin,@@session.collation_connection=_utf8mb4'x'"]
    );
    assert_eq!(told(latin1.way_to(&mixed, base)), ["SET @@session.character_set_results=_utf8mb4'koi8r'"]);
}

#[test]
fn what_counts_or_names_the_connection_stays() {
    assert!(UNMOVABLE.is_sorted());
    assert!(
        is_movable(b"time_zone") && !is_movable(b"timestamp") && !is_movable(b"a.b") && !is_movable(b"\xC3")
    );
}
