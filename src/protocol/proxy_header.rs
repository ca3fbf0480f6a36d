//! The PROXY protocol: a proxy in front says for whom it opened this connection, before the first byte of its client.
//!
//! Specification: HAProxy's "The PROXY protocol", versions 1 (a line of text) and 2 (binary). What a header says is only
//! worth believing when it comes from a peer that the operator trusts; that is the caller's part.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::buf::{Malformed, Reader};

/// What begins a line of version 1.
const V1_PREFIX: &[u8] = b"PROXY ";

/// The longest line of version 1, CR and LF included.
const V1_MAX_LEN: usize = 107;

/// What begins a header of version 2.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of a version 2 header before the addresses.
const V2_FIXED_LEN: usize = 16;

/// The longest header of version 2 that is read. Addresses take up to 216 bytes; the rest is for what proxies add,
/// such as a client's certificate name.
pub const V2_MAX_LEN: usize = 4096;

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 1;
const AF_INET6: u8 = 2;
const AF_UNIX: u8 = 3;
const SOCK_STREAM: u8 = 1;
const SOCK_DGRAM: u8 = 2;

/// Bytes of one path in a version 2 header.
const UNIX_PATH_LEN: usize = 108;

/// Who opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The proxy itself, for example to check health; or the header does not say. The connection's own address counts.
    Proxy,
    /// A client at this address.
    Inet(SocketAddr),
    /// A client of the proxy's own host, over a unix socket.
    Unix,
}

/// A header that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    pub source: Source,
    /// Bytes of the header: the client's own begin after them.
    pub len: usize,
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// So far they may be a header; more have to come.
    Incomplete,
    /// They are not a header.
    NotAHeader,
    Header(ProxyHeader),
}

/// A header that begins well and goes on wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxyHeaderError {
    #[error("a PROXY line of more than {V1_MAX_LEN} bytes")]
    LineTooLong,
    #[error("a PROXY line with a wrong {0}")]
    Line(&'static str),
    #[error("a PROXY header of {len} bytes, the limit is {V2_MAX_LEN}")]
    TooLong { len: usize },
    #[error("a PROXY header too short for its addresses")]
    TooShort,
    #[error("a PROXY header of unknown {0}")]
    Unknown(&'static str),
}

/// Looks for a header at the front of `bytes`, which are all that the connection has brought so far.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    if begins(bytes, V1_PREFIX) {
        parse_line(bytes)
    } else if begins(bytes, V2_SIGNATURE) {
        parse_binary(bytes)
    } else {
        Ok(Parsed::NotAHeader)
    }
}

/// Whether `bytes` begin with `prefix`, as far as they go.
fn begins(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.iter().zip(prefix).all(|(a, b)| a == b)
}

fn parse_line(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let window = bytes.get(..V1_MAX_LEN).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        let full = window.len() == V1_MAX_LEN;
        return if full { Err(ProxyHeaderError::LineTooLong) } else { Ok(Parsed::Incomplete) };
    };
    let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.ok_or(ProxyHeaderError::Line("end"))?;
    let line = std::str::from_utf8(line).map_err(|_| ProxyHeaderError::Line("character"))?;
    let mut words = line.split(' ').skip(1);
    let source = match words.next() {
        Some("UNKNOWN") => Source::Proxy,
        Some("TCP4") => Source::Inet(line_addresses(words, |word| Some(IpAddr::V4(word.parse().ok()?)))?),
        Some("TCP6") => Source::Inet(line_addresses(words, |word| Some(IpAddr::V6(word.parse().ok()?)))?),
        _ => return Err(ProxyHeaderError::Line("protocol")),
    };
    Ok(Parsed::Header(ProxyHeader { source, len: end + 1 }))
}

/// Source, destination, and their ports; the source is returned, all are checked.
fn line_addresses<'a>(
    mut words: impl Iterator<Item = &'a str>,
    address: impl Fn(&str) -> Option<IpAddr>,
) -> Result<SocketAddr, ProxyHeaderError> {
    let mut addresses = || words.next().and_then(&address).ok_or(ProxyHeaderError::Line("address"));
    let (source, _destination) = (addresses()?, addresses()?);
    let mut ports = || words.next().and_then(port).ok_or(ProxyHeaderError::Line("port"));
    let (source_port, _destination_port) = (ports()?, ports()?);
    match words.next() {
        None => Ok(SocketAddr::new(source, source_port)),
        Some(_) => Err(ProxyHeaderError::Line("end")),
    }
}

/// Decimal digits, without a sign or leading zeros.
fn port(word: &str) -> Option<u16> {
    let plain = word == "0" || (!word.starts_with('0') && word.bytes().all(|byte| byte.is_ascii_digit()));
    word.parse().ok().filter(|_| plain)
}

fn parse_binary(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let mut reader = Reader::new(bytes);
    let fixed = (reader.bytes(V2_SIGNATURE.len()), reader.array(), reader.array());
    let (Ok(_), Ok([version_and_command, family]), Ok(len)) = fixed else {
        return Ok(Parsed::Incomplete);
    };
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        other if other >> 4 != 2 => return Err(ProxyHeaderError::Unknown("version")),
        _ => return Err(ProxyHeaderError::Unknown("command")),
    };
    let body_len = usize::from(u16::from_be_bytes(len));
    let len = V2_FIXED_LEN + body_len;
    if len > V2_MAX_LEN {
        return Err(ProxyHeaderError::TooLong { len });
    }
    let Ok(body) = reader.bytes(body_len) else { return Ok(Parsed::Incomplete) };
    // What a LOCAL header holds besides is to be ignored.
    let source = if is_local { Source::Proxy } else { binary_source(family, body)? };
    Ok(Parsed::Header(ProxyHeader { source, len }))
}

/// What follows the addresses (type-length-value fields) is not looked at.
fn binary_source(family: u8, body: &[u8]) -> Result<Source, ProxyHeaderError> {
    let (family, transport) = (family >> 4, family & 0x0F);
    if transport > SOCK_DGRAM {
        return Err(ProxyHeaderError::Unknown("transport"));
    }
    let mut reader = Reader::new(body);
    let source = match family {
        AF_UNSPEC => Ok(Source::Proxy),
        AF_INET => inet_source::<4>(&mut reader),
        AF_INET6 => inet_source::<16>(&mut reader),
        AF_UNIX => reader.bytes(2 * UNIX_PATH_LEN).map(|_paths| Source::Unix),
        _ => return Err(ProxyHeaderError::Unknown("address family")),
    };
    source.map_err(|_| ProxyHeaderError::TooShort)
}

/// Two addresses of `N` bytes, then two ports, of which the first ones count.
fn inet_source<const N: usize>(reader: &mut Reader<'_>) -> Result<Source, Malformed>
where
    IpAddr: From<[u8; N]>,
{
    let (source, _destination) = (reader.array::<N>()?, reader.array::<N>()?);
    let (source_port, _destination_port) = (reader.array()?, reader.array::<2>()?);
    Ok(Source::Inet(SocketAddr::new(source.into(), u16::from_be_bytes(source_port))))
}

/// A version 2 header that says a TCP connection goes from `source` to `destination`. Addresses of two families are
/// both written as IPv6.
pub fn encode(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut body = Vec::with_capacity(36);
    let family = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            body.extend_from_slice(&source.octets());
            body.extend_from_slice(&destination.octets());
            AF_INET
        }
        (source, destination) => {
            body.extend_from_slice(&as_ipv6(source).octets());
            body.extend_from_slice(&as_ipv6(destination).octets());
            AF_INET6
        }
    };
    body.extend_from_slice(&source.port().to_be_bytes());
    body.extend_from_slice(&destination.port().to_be_bytes());
    header(0x21, family << 4 | SOCK_STREAM, &body)
}

/// A version 2 header for a connection that Athena opens on its own account (LOCAL).
pub fn encode_local() -> Vec<u8> {
    header(0x20, AF_UNSPEC, &[])
}

fn header(version_and_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut out = V2_SIGNATURE.to_vec();
    out.extend_from_slice(&[version_and_command, family]);
    // Two addresses and ports at most, so it fits.
    out.extend_from_slice(&(body.len() as u16).to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn as_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(address: &str) -> Source {
        Source::Inet(address.parse().expect("an address"))
    }

    fn parsed(bytes: &[u8]) -> ProxyHeader {
        match parse(bytes) {
            Ok(Parsed::Header(header)) => header,
            other => panic!("{other:?} for {}", bytes.escape_ascii()),
        }
    }

    /// Every proper prefix is incomplete, and what follows does not matter.
    fn assert_source(header: &[u8], source: Source) {
        for cut in 0..header.len() {
            assert_eq!(parse(&header[..cut]), Ok(Parsed::Incomplete), "{cut} of {}", header.escape_ascii());
        }
        let expected = ProxyHeader { source, len: header.len() };
        assert_eq!(parsed(header), expected);
        assert_eq!(parsed(&[header, b"\x20\0\0\x01\x85\n"].concat()), expected);
    }

    #[test]
    fn lines_of_version_1() {
        assert_source(b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 3306\r\n", inet("192.0.2.7:56324"));
        assert_source(b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n", inet("[2001:db8::7]:0"));
        assert_source(b"PROXY UNKNOWN\r\n", Source::Proxy);
        let longest = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535";
        assert_source(&[&longest[..], &[b' '; V1_MAX_LEN - 2 - 57], b"\r\n"].concat(), Source::Proxy);
    }

    #[test]
    fn lines_that_are_wrong() {
        let line = |text: &str| parse(format!("PROXY {text}\r\n").as_bytes());
        for (text, what) in [
            ("", "protocol"),
            ("UDP4 1.2.3.4 1.2.3.4 1 2", "protocol"),
            ("tcp4 1.2.3.4 1.2.3.4 1 2", "protocol"),
            ("TCP4 1.2.3.4", "address"),
            ("TCP4 1.2.3.4 ::1 1 2", "address"),
            ("TCP4  1.2.3.4 1.2.3.4 1 2", "address"),
            ("TCP6 1.2.3.4 ::1 1 2", "address"),
            ("TCP4 1.2.3.4 1.2.3.4 1", "port"),
            ("TCP4 1.2.3.4 1.2.3.4 +1 2", "port"),
            ("TCP4 1.2.3.4 1.2.3.4 01 2", "port"),
            ("TCP4 1.2.3.4 1.2.3.4 1 65536", "port"),
            ("TCP4 1.2.3.4 1.2.3.4 1 2 ", "end"),
        ] {
            assert_eq!(line(text), Err(ProxyHeaderError::Line(what)), "{text:?}");
        }
        assert_eq!(parse(b"PROXY UNKNOWN\n"), Err(ProxyHeaderError::Line("end")));
        assert_eq!(parse(b"PROXY UNKNOWN\xff\r\n"), Err(ProxyHeaderError::Line("character")));
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        assert_eq!(parse(&endless), Err(ProxyHeaderError::LineTooLong));
        assert_eq!(parse(&endless[..V1_MAX_LEN - 1]), Ok(Parsed::Incomplete));
    }

    #[test]
    fn what_begins_otherwise_is_not_a_header() {
        for bytes in [&b"\x55\0\0\x01"[..], b"P\0", b"PROXYX", b"\r\n\r\n\0\r\nQUIT\r", b"\r\nG"] {
            assert_eq!(parse(bytes), Ok(Parsed::NotAHeader));
        }
        assert_eq!(parse(b""), Ok(Parsed::Incomplete));
    }

    #[test]
    fn headers_of_version_2_come_back_as_they_were_written() {
        let v4 = encode("192.0.2.7:56324".parse().unwrap(), "198.51.100.1:3306".parse().unwrap());
        assert_eq!(v4, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x0c\xea");
        assert_source(&v4, inet("192.0.2.7:56324"));
        let v6 = encode("[2001:db8::7]:9".parse().unwrap(), "[::1]:3306".parse().unwrap());
        assert_source(&v6, inet("[2001:db8::7]:9"));
        let mixed = encode("192.0.2.7:9".parse().unwrap(), "[::1]:3306".parse().unwrap());
        assert_source(&mixed, inet("[::ffff:192.0.2.7]:9"));
        assert_source(&encode_local(), Source::Proxy);
    }

    #[test]
    fn version_2_other_families_and_fields_after_the_addresses() {
        assert_source(&header(0x21, AF_UNIX << 4 | SOCK_STREAM, &[b'x'; 216]), Source::Unix);
        assert_source(&header(0x21, 0, b"whatever"), Source::Proxy);
        assert_source(&header(0x20, 0xFF, b"ignored in LOCAL"), Source::Proxy);
        let with_fields = [&[10, 0, 0, 1, 10, 0, 0, 2, 0, 5, 0, 6][..], b"\x04\0\x03abc"].concat();
        assert_source(&header(0x21, 0x11, &with_fields), inet("10.0.0.1:5"));
        assert_source(&header(0x21, 0, &[0; V2_MAX_LEN - V2_FIXED_LEN]), Source::Proxy);
    }

    #[test]
    fn version_2_that_is_wrong() {
        for (bytes, error) in [
            (header(0x11, 0x11, &[0; 12]), ProxyHeaderError::Unknown("version")),
            (header(0x22, 0x11, &[0; 12]), ProxyHeaderError::Unknown("command")),
            (header(0x21, 0x41, &[0; 12]), ProxyHeaderError::Unknown("address family")),
            (header(0x21, 0x13, &[0; 12]), ProxyHeaderError::Unknown("transport")),
            (header(0x21, 0x11, &[0; 11]), ProxyHeaderError::TooShort),
            (header(0x21, 0x21, &[0; 35]), ProxyHeaderError::TooShort),
            (header(0x21, 0x21, &[0; 26]), ProxyHeaderError::TooShort),
            (header(0x21, 0x31, &[0; 215]), ProxyHeaderError::TooShort),
            (header(0x21, 0, &[0; V2_MAX_LEN - 15]), ProxyHeaderError::TooLong { len: V2_MAX_LEN + 1 }),
        ] {
            assert_eq!(parse(&bytes), Err(error));
        }
    }
}
