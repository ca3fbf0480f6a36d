//! The MySQL client/server protocol as bytes and values.
//!
//! Nothing here knows a socket, a clock or an executor: a caller brings bytes and takes bytes away, so that every
//! rule of the wire can be tested on a table of bytes. The layers, from the wire up:
//!
//! - [`buf`] reads and writes the protocol's scalar types; every read is fallible, because the bytes are foreign.
//! - [`packet`] is the framing: headers, splitting at 16 MiB, sequence ids.
//! - [`capability`] and [`command`] are the protocol's numbers with their names.
//! - [`handshake`], [`response`], [`session_track`], [`statement`], [`query_attributes`], [`local_infile`] and [`binlog`] are one
//!   packet family each; [`parameter`] and [`execution`] are the values of an execution; [`tracked`] is what of [`session_track`] a client has asked for.
//! - [`auth`] proves a password, in the role of the client (towards a backend) and of the server (towards a client).
//! - [`compression`] is the layer between packets and the wire where a client or a link asked for it.
//! - [`proxy_header`] is what a proxy in front of Athena says about its client, before the first packet.
//! - [`error`] holds the errors that Athena itself raises, with the server's own numbers and SQLSTATEs;
//!   [`sqlstate`] has those of the servers' errors.
//! - [`resultset`] and [`warnings`] are replies with rows that Athena makes.
//! - [`result_reader`], [`rows`], [`column_definition`] and [`row`] read a reply with rows, for results that several servers give
//!   together.
//!
//! Athena plays both ends of this protocol, so most packets can be parsed *and* encoded. Rows of one server pass unread.

pub mod auth;
pub mod binlog;
pub mod buf;
pub mod capability;
pub mod column_definition;
pub mod command;
pub mod compression;
pub mod error;
pub mod execution;
pub mod handshake;
pub mod local_infile;
pub mod packet;
pub mod parameter;
pub mod proxy_header;
pub mod query_attributes;
pub mod reply;
pub mod response;
pub mod result_reader;
pub mod resultset;
pub mod row;
pub mod rows;
pub mod session_track;
pub mod sqlstate;
pub mod statement;
pub mod tracked;
pub mod warnings;
