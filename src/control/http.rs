//! The HTTP endpoint: `/metrics`, `/health` and `/ready`, on the control executor.
//!
//! It serves what watches Athena, never a client's query, and is bounded in every direction: connections, bytes of a
//! request, time for each step. More connections than that wait in the kernel's backlog.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::sync::Semaphore;
use glommio::timer::sleep;
use serde::Serialize;

/// Connections served at once.
const CONNECTIONS_MAX: u64 = 64;
/// Bytes of a request's head.
const HEAD_MAX: usize = 8 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Time for a request's head to arrive (idle time of a kept connection included), for its page to be made, and for
/// the response to be taken; each for itself.
const STEP_MAX: Duration = Duration::from_secs(5);
/// What a closing connection may still send before it is closed the hard way.
const LINGER_BYTES_MAX: usize = 64 * 1024;
/// First and longest pause after a failed accept (out of file descriptors, mostly).
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What the endpoint shows; asked anew for each request.
pub trait Pages: 'static {
    /// The metrics in Prometheus' text format.
    fn metrics(&self) -> impl Future<Output = String>;
    fn health(&self) -> impl Future<Output = Health>;
}

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Starting,
    Ok,
    Draining,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    pub status: Status,
    pub version: &'static str,
    pub uptime_seconds: u64,
    /// Cores that serve clients.
    pub cores: usize,
    pub backends: Vec<BackendHealth>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackendHealth {
    /// `host:port`, or the path of a socket.
    pub address: String,
    pub up: bool,
}

impl Health {
    /// Whether a load balancer should send clients here: Athena accepts them, and reaches a backend.
    pub fn ready(&self) -> bool {
        self.status == Status::Ok && self.backends.iter().any(|backend| backend.up)
    }
}

/// Serves connections for as long as it is polled; each runs in a task of its own.
pub async fn serve<P: Pages>(listener: TcpListener, pages: Rc<P>) {
    let slots = Rc::new(Semaphore::new(CONNECTIONS_MAX));
    let pause = Cell::new(ACCEPT_PAUSE_MIN);
    // The semaphore is never closed, so the loop has no other end.
    while let Ok(slot) = slots.acquire_static_permit(1).await {
        match listener.accept().await {
            Ok(stream) => {
                pause.set(ACCEPT_PAUSE_MIN);
                let pages = pages.clone();
                glommio::spawn_local(async move {
                    if let Err(error) = converse(stream, &*pages).await {
                        tracing::debug!(%error, "HTTP connection ended");
                    }
                    drop(slot);
                })
                .detach();
            }
            Err(error) => {
                tracing::warn!(%error, pause = ?pause.get(), "can't accept an HTTP connection");
                sleep(pause.get()).await;
                pause.set((pause.get() * 2).min(ACCEPT_PAUSE_MAX));
            }
        }
    }
}

/// One connection, request by request.
async fn converse<P: Pages>(mut stream: TcpStream, pages: &P) -> io::Result<()> {
    let mut input = Vec::new();
    loop {
        let request = match within(STEP_MAX, read_request(&mut stream, &mut input)).await {
            Some(Ok(Some(request))) => request,
            Some(Ok(None)) | None => return Ok(()),
            Some(Err(error)) => return Err(error),
        };
        let (response, head_only, keep_alive) = match request {
            Ok(request) => {
                (answer(&request, pages).await, request.method == Method::Head, request.keep_alive)
            }
            Err(refused) => (Response::plain(refused.code), false, false),
        };
        let bytes = response.encode(head_only, keep_alive);
        match within(STEP_MAX, stream.write_all(&bytes)).await {
            Some(written) => written?,
            None => return Ok(()),
        }
        if !keep_alive {
            return within(STEP_MAX, linger(&mut stream)).await.unwrap_or(Ok(()));
        }
    }
}

/// The output of `work`, or `None` when `limit` passes first.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let work = async { Some(work.await) };
    work.or(async {
        sleep(limit).await;
        None
    })
    .await
}

/// Closes our side and reads what is still on its way: a close with unread bytes would reset the connection, and
/// the response might be lost with it.
async fn linger(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write).await.map_err(io::Error::from)?;
    let mut rest = [0; 1024];
    let mut seen = 0;
    while seen < LINGER_BYTES_MAX {
        match stream.read(&mut rest).await? {
            0 => break,
            n => seen += n,
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Other,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// Without the query.
    pub path: String,
    pub keep_alive: bool,
}

/// A request that can't be read, and the status that says so.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: u16,
}

/// The next request; `None` when the client has closed between two of them. Bytes behind it stay in `input`.
async fn read_request(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
) -> io::Result<Option<Result<Request, Refused>>> {
    let mut chunk = [0; 1024];
    loop {
        match parse(input) {
            Ok(Some((request, length))) => {
                input.drain(..length);
                return Ok(Some(Ok(request)));
            }
            Ok(None) if input.len() >= HEAD_MAX => return Ok(Some(Err(Refused { code: 431 }))),
            Ok(None) => {}
            Err(refused) => return Ok(Some(Err(refused))),
        }
        match stream.read(&mut chunk).await? {
            0 => return Ok(None),
            n => input.extend(chunk.iter().take(n)),
        }
    }
}

/// The request at the start of `input` and the length of its head; `None` while the head is incomplete.
pub fn parse(input: &[u8]) -> Result<Option<(Request, usize)>, Refused> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refused { code: 431 }),
        Err(_) => return Err(Refused { code: 400 }),
    };
    if length > HEAD_MAX {
        return Err(Refused { code: 431 });
    }
    let method = match head.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => Method::Other,
    };
    let target = head.path.unwrap_or_default();
    let path = target.split_once('?').map_or(target, |(path, _)| path).to_owned();
    let mut keep_alive = head.version == Some(1);
    for header in head.headers.iter() {
        let body = match header.name {
            name if name.eq_ignore_ascii_case("transfer-encoding") => true,
            name if name.eq_ignore_ascii_case("content-length") => header.value != b"0",
            name if name.eq_ignore_ascii_case("connection") => {
                let mut options = header.value.split(|byte| *byte == b',');
                keep_alive &= !options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
                false
            }
            _ => false,
        };
        // No page takes a body. It is not read either, so nothing that follows it could be told from it.
        keep_alive &= !body;
    }
    Ok(Some((Request { method, path, keep_alive }, length)))
}

async fn answer<P: Pages>(request: &Request, pages: &P) -> Response {
    let page = async {
        match request.path.as_str() {
            "/metrics" | "/health" | "/ready" if request.method == Method::Other => Response::plain(405),
            "/metrics" => {
                Response { code: 200, kind: crate::metrics::CONTENT_TYPE, body: pages.metrics().await }
            }
            "/health" => Response::health(200, &pages.health().await),
            "/ready" => {
                let health = pages.health().await;
                Response::health(if health.ready() { 200 } else { 503 }, &health)
            }
            _ => Response::plain(404),
        }
    };
    within(STEP_MAX, page).await.unwrap_or_else(|| Response::plain(503))
}

struct Response {
    code: u16,
    kind: &'static str,
    body: String,
}

impl Response {
    /// The status in words is the body.
    fn plain(code: u16) -> Self {
        Self { code, kind: PLAIN, body: format!("{}\n", phrase(code)) }
    }

    fn health(code: u16, health: &Health) -> Self {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(flatten)]
            health: &'a Health,
            ready: bool,
        }
        match serde_json::to_string(&Body { health, ready: health.ready() }) {
            Ok(json) => Self { code, kind: JSON, body: json + "\n" },
            Err(_) => Self::plain(500),
        }
    }

    fn encode(&self, head_only: bool, keep_alive: bool) -> Vec<u8> {
        let Self { code, kind, body } = self;
        let mut text = format!(
            "HTTP/1.1 {code} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n",
            phrase(*code),
            body.len(),
        );
        if *code == 405 {
            text.push_str("Allow: GET, HEAD\r\n");
        }
        if !keep_alive {
            text.push_str("Connection: close\r\n");
        }
        text.push_str("\r\n");
        if !head_only {
            text.push_str(body);
        }
        text.into_bytes()
    }
}

/// The words of the status codes in use (RFC 9110, RFC 6585).
fn phrase(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
