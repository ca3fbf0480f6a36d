//! A session twice: through Athena, and on a server of its own.

use std::fmt::Write as _;

use crate::client::{Client, Packet, Reply, Role, comparable};
use crate::common::TestResult;
use crate::common::wire::{Error, Login, Result, capability as cap};
use crate::step::{Step, readable};

/// Packets that are shown before the first that differs.
const SHOWN_BEFORE: usize = 1;

const NO_LINK: &str = "no link came free: ";

/// Where the two sides are, and what marks the texts.
#[derive(Debug, Clone, Copy)]
pub struct Sides {
    /// Athena's port.
    pub athena: u16,
    /// That of its metrics.
    pub metrics: Option<u16>,
    /// The server behind Athena.
    pub behind: u16,
    /// The other server.
    pub direct: u16,
    pub mysql: bool,
    /// Before each text of a client.
    pub mark: &'static [u8],
}

/// The two sides answered differently.
#[derive(Debug, Clone)]
pub struct Difference {
    pub expected: String,
    pub found: String,
}

impl Difference {
    /// Somebody keeps a link without a reason, so that none came free when it should have.
    pub fn no_link(error: &Error) -> Self {
        Self { expected: "    a link comes free\n".to_owned(), found: format!("    {NO_LINK}{error}\n") }
    }

    fn no_login(error: &Error) -> Self {
        Self { expected: "    a login\n".to_owned(), found: format!("    {error}\n") }
    }

    /// Whether a session waited for a link in vain.
    pub fn is_checkout(&self) -> bool {
        self.found.contains("ERR 3168") || self.found.contains(NO_LINK)
    }
}

/// A session on both sides.
pub struct Pair {
    sides: Sides,
    session: usize,
    athena: Client,
    direct: Client,
}

impl Pair {
    pub fn connect(sides: Sides, session: usize) -> Result<Self> {
        let login = login(session);
        Ok(Self {
            sides,
            session,
            athena: Client::login(sides.athena, &login, sides.mark)?,
            direct: Client::login(sides.direct, &login, sides.mark)?,
        })
    }

    /// Whether the server has the statement of this slot.
    pub fn has(&self, slot: usize) -> bool {
        self.direct.has(slot)
    }

    /// Sends a step on both sides; gives the server's reply, and how Athena's differs.
    ///
    /// # Errors
    /// When the server itself can't be talked to.
    pub fn run(&mut self, step: &Step) -> TestResult<(Reply, Option<Difference>)> {
        if *step == Step::Reconnect {
            let login = login(self.session);
            self.direct = Client::login(self.sides.direct, &login, self.sides.mark)?;
            let difference = match Client::login(self.sides.athena, &login, self.sides.mark) {
                Ok(client) => {
                    self.athena = client;
                    None
                }
                Err(error) => Some(Difference::no_login(&error)),
            };
            return Ok((Reply::default(), difference));
        }
        self.direct.send(step)?;
        let sent = self.athena.send(step);
        let found = sent.and_then(|()| self.athena.receive(step));
        let expected = self.direct.receive(step).map_err(|error| format!("the server: {step}: {error}"))?;
        let difference = match found {
            Ok(found) => difference(&expected, &found),
            Err(error) => {
                let expected = describe(&expected.packets, 0);
                Some(Difference { expected, found: format!("the connection failed: {error}") })
            }
        };
        Ok((expected, difference))
    }
}

/// All sessions have one identity, so that they share links; how their packets look is their own.
pub fn login(session: usize) -> Login {
    let mut login = Login::app().with(cap::MULTI_STATEMENTS);
    if session % 4 != 3 {
        login = login.database(&format!("s{session}"));
    }
    if session % 3 == 1 {
        login = login.with(cap::SESSION_TRACK);
    }
    if session % 5 == 2 {
        login = login.without(cap::DEPRECATE_EOF);
    }
    login
}

fn difference(expected: &Reply, found: &Reply) -> Option<Difference> {
    if expected.packets == found.packets {
        return None;
    }
    let same = |(expected, found): (&Packet, &Packet)| {
        expected == found || comparable(expected) == comparable(found)
    };
    let equal = expected.packets.iter().zip(&found.packets).take_while(|pair| same(*pair)).count();
    if equal == expected.packets.len() && equal == found.packets.len() {
        return None;
    }
    let from = equal.saturating_sub(SHOWN_BEFORE);
    Some(Difference { expected: describe(&expected.packets, from), found: describe(&found.packets, from) })
}

/// Packets from the one of this number on, a line each.
pub fn describe(packets: &[Packet], from: usize) -> String {
    const SHOWN: usize = 12;
    let mut text = String::new();
    if from > 0 {
        let _ = writeln!(text, "    … {from} packets");
    }
    for packet in packets.iter().skip(from).take(SHOWN) {
        let payload = comparable(packet).payload;
        let _ = match packet.role {
            Role::Error if payload.len() > 2 => {
                let code = u16::from_le_bytes([payload[1], payload[2]]);
                writeln!(text, "    ERR {code} {}", readable(&payload[3..]))
            }
            Role::Row => writeln!(text, "    Row {}", readable(&payload)),
            Role::Ok | Role::End | Role::Middle => {
                writeln!(text, "    {:?} {payload:02x?} {}", packet.role, payload.escape_ascii())
            }
            role => writeln!(text, "    {role:?} {}", payload.escape_ascii()),
        };
    }
    text
}
