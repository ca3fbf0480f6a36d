//! Reading a `/metrics` page.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::error::{Error, Result};

const TIMEOUT: Duration = Duration::from_secs(10);

/// The body of `http://127.0.0.1:<port><path>`.
///
/// # Errors
/// When the connection fails or the status is not 200; the error then holds head and body.
pub fn http_get(port: u16, path: &str) -> Result<String> {
    let what = || format!("GET {path} on port {port}");
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), TIMEOUT)
        .map_err(Error::network(what()))?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(Error::network(what()))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(Error::network(what()))?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).map_err(Error::network(what()))?;
    match reply.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(Error::Unexpected(format!("{}: {reply}", what()))),
    }
}

/// The sum of all samples of `name` in the exposition `text` that carry all of `labels`; 0 when there is none.
pub fn sum_metric(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    text.lines()
        .filter_map(|line| {
            let (sample, value) = line.rsplit_once(' ')?;
            let (sample_name, sample_labels) = sample.split_once('{').unwrap_or((sample, ""));
            let matches = |(key, value): &(&str, &str)| {
                let wanted = format!("{key}=\"{value}\"");
                sample_labels.starts_with(&wanted) || sample_labels.contains(&format!(",{wanted}"))
            };
            (sample_name == name && labels.iter().all(matches)).then(|| value.parse::<f64>().ok())?
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::sum_metric;

    const PAGE: &str = "# TYPE q counter\nq{core=\"0\",kind=\"read\"} 2\nq{core=\"1\",kind=\"read\"} 3\n\
        q{core=\"1\",kind=\"write\"} 5\nq_total 7\nup 1\n";

    #[test]
    fn sums_the_samples_that_carry_the_labels() {
        assert_eq!(sum_metric(PAGE, "q", &[]), 10.0);
        assert_eq!(sum_metric(PAGE, "q", &[("kind", "read")]), 5.0);
        assert_eq!(sum_metric(PAGE, "q", &[("core", "1"), ("kind", "read")]), 3.0);
        assert_eq!(sum_metric(PAGE, "up", &[]), 1.0);
        assert_eq!(sum_metric(PAGE, "down", &[]), 0.0);
    }
}
