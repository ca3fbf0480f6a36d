//! Which changes of its session a client has asked to be told of, and the session state that holds these alone.
//!
//! Manual section: "Server Tracking of Client Session State". Links have the server report more than that.

use std::rc::Rc;

use bitflags::bitflags;

use super::buf::{Malformed, Reader, WriteExt};
use super::session_track::{
    GTIDS, SCHEMA, STATE_CHANGE, SYSTEM_VARIABLES, TRANSACTION_CHARACTERISTICS, TRANSACTION_STATE,
};

bitflags! {
    /// Kinds of changes that a session can have reported or not, by variables of its own.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct TrackedKinds: u8 {
        /// `session_track_schema`
        const SCHEMA = 1;
        /// `session_track_state_change`
        const STATE_CHANGE = 1 << 1;
        /// `session_track_transaction_info = 'STATE'`, or `'CHARACTERISTICS'`.
        const TRANSACTION_STATE = 1 << 2;
        /// `session_track_transaction_info = 'CHARACTERISTICS'`
        const TRANSACTION_CHARACTERISTICS = 1 << 3;
        /// The state of transactions where one begins or ends.
        const TRANSACTION_BOUNDS = 1 << 4;
        /// `session_track_gtids`
        const GTIDS = 1 << 5;
        /// The same with `ALL_GTIDS`, as the client finds the variable. It is told of its own.
        const ALL_GTIDS = 1 << 6;
    }
}

impl TrackedKinds {
    /// By the values of `session_track_schema`, `session_track_state_change`, `session_track_transaction_info` and, where
    /// there is one, `session_track_gtids`.
    pub fn of_variables(
        schema: &[u8],
        state_change: &[u8],
        transaction_info: &[u8],
        gtids: &[u8],
    ) -> TrackedKinds {
        let mut kinds = match transaction_info {
            b"STATE" => Self::TRANSACTION_STATE,
            b"CHARACTERISTICS" => Self::TRANSACTION_STATE | Self::TRANSACTION_CHARACTERISTICS,
            _ => Self::empty(),
        };
        kinds.set(Self::SCHEMA, schema == b"1");
        kinds.set(Self::STATE_CHANGE, state_change == b"1");
        kinds.set(Self::GTIDS, matches!(gtids, b"OWN_GTID" | b"ALL_GTIDS"));
        kinds.set(Self::ALL_GTIDS, gtids == b"ALL_GTIDS");
        kinds
    }

    /// Whether entries of this kind are reported; those that have no variable here always are.
    fn has(self, kind: u8) -> bool {
        self.contains(match kind {
            SCHEMA => Self::SCHEMA,
            STATE_CHANGE => Self::STATE_CHANGE,
            GTIDS => Self::GTIDS,
            TRANSACTION_CHARACTERISTICS => Self::TRANSACTION_CHARACTERISTICS,
            TRANSACTION_STATE => Self::TRANSACTION_STATE,
            _ => Self::empty(),
        })
    }

    /// Those that hold for this session state: its characteristics tell of a transaction's begin or end.
    fn of(self, session_state: &[u8]) -> Result<TrackedKinds, Malformed> {
        if !self.contains(Self::TRANSACTION_BOUNDS) || self.contains(Self::TRANSACTION_STATE) {
            return Ok(self);
        }
        let mut entries = Entries(Reader::new(session_state));
        while let Some((kind, _)) = entries.next()? {
            if kind == TRANSACTION_CHARACTERISTICS {
                return Ok(self | Self::TRANSACTION_STATE);
            }
        }
        Ok(self)
    }
}

/// A session's value of `session_track_system_variables`, and the variables that are told by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedNames {
    /// `None` for NULL, to which a MySQL can be set, and tells then what it has told before.
    value: Option<Vec<u8>>,
    told: Told,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    All,
    /// As the server spells them, and in the order in which it tells of several at once.
    Only(Vec<Box<[u8]>>),
}

/// The value of servers that nobody has configured.
pub const DEFAULT_NAMES: &[u8] =
    b"autocommit,character_set_client,character_set_connection,character_set_results,time_zone";

impl TrackedNames {
    /// What the variable comes to with this value. A server tells of several variables in the order of their names, as
    /// they are spelled here: a MySQL does, for others see [`TrackedNames::in_order`].
    pub fn of_value(value: &[u8]) -> TrackedNames {
        let told = if value == b"*" {
            Told::All
        } else {
            let names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            let mut names: Vec<Box<[u8]>> = names.filter(|name| !name.is_empty()).map(Box::from).collect();
            names.sort_unstable();
            Told::Only(names)
        };
        TrackedNames { value: Some(value.to_vec()), told }
    }

    /// The same variables, with NULL for a value.
    pub fn with_null(&self) -> TrackedNames {
        TrackedNames { value: None, told: self.told.clone() }
    }

    /// The same variables, of which the server tells in the order of `names`, and of others behind these.
    #[must_use]
    pub fn in_order(mut self, names: &[&[u8]]) -> TrackedNames {
        if let Told::Only(told) = &mut self.told {
            let place = |name: &[u8]| names.iter().position(|other| name.eq_ignore_ascii_case(other));
            told.sort_by_key(|name| place(name).unwrap_or(names.len()));
        }
        self
    }

    /// The value of the variable; `None` for NULL.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// A value that has the server tell of these variables.
    pub fn told(&self) -> Vec<u8> {
        match (&self.value, &self.told) {
            (Some(value), _) => value.clone(),
            (None, Told::All) => b"*".to_vec(),
            (None, Told::Only(names)) => names.join(&b","[..]),
        }
    }

    /// Whether changes of all variables are told.
    pub fn is_all(&self) -> bool {
        self.told == Told::All
    }

    /// Whether changes of this variable are told.
    pub fn tells_of(&self, name: &[u8]) -> bool {
        self.find(name).is_some()
    }

    /// The names, if they are not all there are.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let names: &[Box<[u8]>] = match &self.told {
            Told::All => &[],
            Told::Only(names) => names,
        };
        names.iter().map(|name| &name[..])
    }

    /// The place and the spelling of a variable that is told of.
    fn find<'a>(&'a self, name: &'a [u8]) -> Option<(usize, &'a [u8])> {
        match &self.told {
            Told::All => Some((0, name)),
            Told::Only(names) => {
                let at = names.iter().position(|told| told.eq_ignore_ascii_case(name))?;
                Some((at, names.get(at)?))
            }
        }
    }
}

/// What a client has asked to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    pub kinds: TrackedKinds,
    pub variables: Rc<TrackedNames>,
}

impl Tracked {
    /// Everything that a server tells.
    pub fn everything() -> Tracked {
        Tracked { kinds: TrackedKinds::all(), variables: Rc::new(TrackedNames::of_value(b"*")) }
    }

    /// Whether it is [`Tracked::everything`].
    pub fn is_everything(&self) -> bool {
        self.kinds.is_all() && self.variables.is_all()
    }

    /// What sessions are told of whom nobody has configured.
    pub fn by_default() -> Tracked {
        Tracked { kinds: TrackedKinds::SCHEMA, variables: Rc::new(TrackedNames::of_value(DEFAULT_NAMES)) }
    }

    /// The same, and changes of these kinds.
    #[must_use]
    pub fn and(self, kinds: TrackedKinds) -> Tracked {
        Tracked { kinds: self.kinds | kinds, ..self }
    }

    /// Appends what of a session state was asked for, each change as it stands there. Variables stand in the order and the
    /// spelling of [`Tracked::variables`].
    ///
    /// # Errors
    /// If the state can't be read: what was appended is of no use then.
    pub fn keep(&self, session_state: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let kinds = self.kinds.of(session_state)?;
        let mut variables = self.variables(session_state)?;
        let mut entries = Entries(Reader::new(session_state));
        while let Some((kind, data)) = entries.next()? {
            if kind == SYSTEM_VARIABLES {
                // All of them in the place of the first.
                std::mem::take(&mut variables).write(out);
            } else if kinds.has(kind) {
                out.push(kind);
                out.put_lenenc_bytes(data);
            }
        }
        Ok(())
    }

    /// Whether [`Tracked::keep`] would make another session state of this one.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn changes(&self, session_state: &[u8]) -> Result<bool, Malformed> {
        let kinds = self.kinds.of(session_state)?;
        let mut entries = Entries(Reader::new(session_state));
        let (mut last, mut changes) = (0, false);
        while let Some((kind, data)) = entries.next()? {
            if kind != SYSTEM_VARIABLES {
                changes |= !kinds.has(kind);
                continue;
            }
            let mut pairs = Pairs(Reader::new(data));
            while let Some((name, _)) = pairs.next()? {
                match self.variables.find(name) {
                    Some((place, spelled)) if place >= last && spelled == name => last = place,
                    _ => changes = true,
                }
            }
        }
        Ok(changes)
    }

    /// The variables of a session state that were asked for.
    fn variables<'a>(&'a self, session_state: &'a [u8]) -> Result<Variables<'a>, Malformed> {
        let mut variables = Variables::default();
        let mut entries = Entries(Reader::new(session_state));
        while let Some((kind, data)) = entries.next()? {
            if kind != SYSTEM_VARIABLES {
                continue;
            }
            let mut pairs = Pairs(Reader::new(data));
            let mut count = 0;
            while let Some((name, value)) = pairs.next()? {
                count += 1;
                if let Some((place, name)) = self.variables.find(name) {
                    variables.kept.push((place, name, value));
                }
            }
            variables.share_entry |= count > 1;
        }
        variables.kept.sort_by_key(|(place, ..)| *place);
        Ok(variables)
    }
}

/// Variables that are kept.
#[derive(Default)]
struct Variables<'a> {
    /// The place in the order, the name, the value.
    kept: Vec<(usize, &'a [u8], &'a [u8])>,
    /// The server puts several into one entry: some of MariaDB do.
    share_entry: bool,
}

impl Variables<'_> {
    fn write(self, out: &mut Vec<u8>) {
        let per_entry = if self.share_entry { self.kept.len() } else { 1 };
        for entry in self.kept.chunks(per_entry.max(1)) {
            let mut data = Vec::new();
            for (_, name, value) in entry {
                data.put_lenenc_bytes(name);
                data.put_lenenc_bytes(value);
            }
            out.push(SYSTEM_VARIABLES);
            out.put_lenenc_bytes(&data);
        }
    }
}

/// The entries of a session state as they stand there.
struct Entries<'a>(Reader<'a>);

impl<'a> Entries<'a> {
    fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, Malformed> {
        match self.0.is_empty() {
            true => Ok(None),
            false => Ok(Some((self.0.u8()?, self.0.lenenc_bytes()?))),
        }
    }
}

/// A name and a value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// The names and values of an entry of system variables.
struct Pairs<'a>(Reader<'a>);

impl<'a> Pairs<'a> {
    fn next(&mut self) -> Result<Option<Pair<'a>>, Malformed> {
        match self.0.is_empty() {
            true => Ok(None),
            false => Ok(Some((self.0.lenenc_bytes()?, self.0.lenenc_bytes()?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &[u8] =
        b"\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04test\x02\x02\x011\x03\x04\x00\x02a1\x04\x02\x01;\
          \x05\x09\x08T_R__sS_\x63\x01x";

    fn tracked(kinds: TrackedKinds, names: &[u8]) -> Tracked {
        Tracked { kinds, variables: Rc::new(TrackedNames::of_value(names)) }
    }

    fn kept(tracked: &Tracked, state: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::new();
        tracked.keep(state, &mut out).map(|()| out)
    }

    /// What is left of a state of `variables`, in one entry each, of which a server was asked for `names`.
    fn left(names: &TrackedNames, variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let tracked = Tracked { kinds: TrackedKinds::empty(), variables: Rc::new(names.clone()) };
        let mut state = Vec::new();
        for (name, value) in variables {
            let mut data = Vec::new();
            data.put_lenenc_bytes(name.as_bytes());
            data.put_lenenc_bytes(value.as_bytes());
            state.push(SYSTEM_VARIABLES);
            state.put_lenenc_bytes(&data);
        }
        let out = kept(&tracked, &state).expect("a state");
        assert_eq!(tracked.changes(&state), Ok(out != state));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        super::super::session_track::Trackers::new(&out)
            .map(|tracker| match tracker {
                Ok(super::super::session_track::Tracker::SystemVariable { name, value }) => {
                    (text(name), text(value))
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn kinds_that_were_not_asked_for_are_left_out() {
        let all = Tracked::everything();
        assert_eq!(kept(&all, STATE).as_deref(), Ok(STATE));
        assert_eq!(all.changes(STATE), Ok(false));
        let by_default = TrackedKinds::of_variables(b"1", b"0", b"OFF", b"OFF");
        assert_eq!(by_default, TrackedKinds::SCHEMA);
        let left = b"\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04test\x63\x01x";
        let gtids = TrackedKinds::of_variables(b"0", b"0", b"OFF", b"OWN_GTID");
        assert_eq!(kept(&tracked(gtids, b""), STATE).as_deref(), Ok(&b"\x03\x04\x00\x02a1\x63\x01x"[..]));
        let tracked_by_default = tracked(by_default, DEFAULT_NAMES);
        assert_eq!(kept(&tracked_by_default, STATE).as_deref(), Ok(&left[..]));
        assert_eq!(tracked_by_default.changes(STATE), Ok(true));
        assert_eq!(tracked_by_default.changes(left), Ok(false));
        let state = tracked(TrackedKinds::of_variables(b"0", b"1", b"STATE", b""), b"*");
        assert_eq!(
            kept(&state, b"\x04\x02\x01;\x05\x02\x01T\x02\x02\x011").as_deref(),
            Ok(&b"\x05\x02\x01T\x02\x02\x011"[..])
        );
        let bounds = tracked_by_default.clone().and(TrackedKinds::TRANSACTION_BOUNDS);
        assert_eq!(kept(&bounds, b"\x05\x02\x01T\x04\x02\x01;").as_deref(), Ok(&b"\x05\x02\x01T"[..]));
        assert_eq!(kept(&bounds, b"\x05\x02\x01T").as_deref(), Ok(&b""[..]));
        assert!(kept(&tracked_by_default, b"\x05\x09\x08T").is_err());
        assert!(tracked_by_default.changes(b"\x01\x09").is_err());
    }

    #[test]
    fn variables_that_were_not_asked_for_are_left_out() {
        let told = [("sql_mode", "ANSI"), ("autocommit", "OFF"), ("time_zone", "SYSTEM")];
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let names = |value: &str| TrackedNames::of_value(value.as_bytes());
        assert_eq!(left(&names("*"), &told), owned(&told));
        assert_eq!(left(&names(""), &told), []);
        assert_eq!(left(&names("nonsense, ,"), &told), []);
        assert_eq!(left(&names(" sql_mode "), &told), owned(&told[..1]));
        assert_eq!(left(&names("autocommit,time_zone"), &told), owned(&told[1..]));
        assert_eq!(left(&names("autocommit"), &[("autocommit", "OFF")]), owned(&[("autocommit", "OFF")]));
    }

    #[test]
    fn variables_stand_in_the_order_and_the_spelling_of_the_server() {
        let told = [("sql_mode", "ANSI"), ("autocommit", "OFF"), ("time_zone", "SYSTEM")];
        let of = |names: &TrackedNames| -> Vec<String> {
            left(names, &told).into_iter().map(|(name, _)| name).collect()
        };
        let names = TrackedNames::of_value(b"time_zone,sql_mode,autocommit");
        assert_eq!(of(&names), ["autocommit", "sql_mode", "time_zone"]);
        assert_eq!(
            of(&names.clone().in_order(&[b"time_zone", b"sql_mode"])),
            ["time_zone", "sql_mode", "autocommit"]
        );
        assert_eq!(
            of(&names.in_order(&[b"sql_mode", b"autocommit", b"time_zone"])),
            told.map(|(name, _)| name)
        );
        let spelled = TrackedNames::of_value(b"autocommit,Time_Zone,SQL_MODE");
        assert_eq!(of(&spelled), ["SQL_MODE", "Time_Zone", "autocommit"]);
        assert_eq!(spelled.names().count(), 3);
        assert!(spelled.tells_of(b"sql_mode") && !spelled.tells_of(b"sql_notes"));
    }

    #[test]
    fn null_tells_what_was_told_before() {
        let names = TrackedNames::of_value(b"sql_mode,time_zone").with_null();
        assert_eq!((names.value(), &names.told()[..]), (None, &b"sql_mode,time_zone"[..]));
        assert_eq!(left(&names, &[("sql_mode", "")]).len(), 1);
        assert_eq!(TrackedNames::of_value(b"*").with_null().told(), b"*");
    }

    #[test]
    fn of_several_variables_in_one_entry_some_may_stay() {
        let state = b"\x01\x01\x00\x00\x0c\x01a\x011\x01b\x012\x01c\x013\x00\x04\x01d\x014";
        let kept = |names: &[u8]| kept(&tracked(TrackedKinds::SCHEMA, names), state);
        assert_eq!(
            kept(b"*").as_deref(),
            Ok(&b"\x01\x01\x00\x00\x10\x01a\x011\x01b\x012\x01c\x013\x01d\x014"[..])
        );
        assert_eq!(kept(b"d,b").as_deref(), Ok(&b"\x01\x01\x00\x00\x08\x01b\x012\x01d\x014"[..]));
        assert_eq!(kept(b"").as_deref(), Ok(&b"\x01\x01\x00"[..]));
    }

    #[test]
    fn what_is_broken_is_found_to_be() {
        let whole = b"\x01\x05\x04test\x00\x0f\x0aautocommit\x03OFF";
        let tracked = tracked(TrackedKinds::empty(), b"sql_mode");
        for cut in 0..=whole.len() {
            let state = &whole[..cut];
            let at_an_end = [0, 7, whole.len()].contains(&cut);
            assert_eq!(kept(&tracked, state).is_ok(), at_an_end, "cut at {cut}");
            assert_eq!(tracked.changes(state).is_ok(), at_an_end, "cut at {cut}");
        }
        // A value that goes beyond its entry.
        let beyond = b"\x00\x0f\x0aautocommit\x04OFF";
        assert!(kept(&tracked, beyond).is_err() && tracked.changes(beyond).is_err());
    }
}
