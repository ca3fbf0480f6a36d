use std::io::{Read, Write};
use std::thread;

use super::*;

struct Fixed {
    status: Status,
    up: bool,
    /// Time that a page takes.
    delay: Duration,
}

const GOOD: Fixed = Fixed { status: Status::Ok, up: true, delay: Duration::ZERO };

impl Pages for Fixed {
    async fn metrics(&self) -> String {
        sleep(self.delay).await;
        "athena_up 1\n".to_owned()
    }

    async fn health(&self) -> Health {
        let backends = vec![BackendHealth { address: "db\"1:3306".to_owned(), up: self.up }];
        Health { status: self.status, version: "1.2.3", uptime_seconds: 9, cores: 2, backends }
    }
}

/// Runs the endpoint while `client`, which gets its port, runs in another thread.
fn with<T: Send + 'static>(pages: Fixed, client: impl FnOnce(u16) -> T + Send + 'static) -> T {
    glommio::LocalExecutor::default().run(async move {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = glommio::spawn_local(serve(listener, Rc::new(pages)));
        let client = thread::spawn(move || client(port));
        while !client.is_finished() {
            sleep(Duration::from_millis(5)).await;
        }
        server.cancel().await;
        client.join().unwrap()
    })
}

fn open(port: u16) -> std::net::TcpStream {
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends `request` and returns all that comes until the server closes.
fn ask(port: u16, request: &[u8]) -> String {
    let mut stream = open(port);
    stream.write_all(request).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn get(port: u16, path: &str) -> String {
    ask(port, format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
}

#[test]
fn pages_have_their_status_type_and_length() {
    let (metrics, health, ready) =
        with(GOOD, |p| (get(p, "/metrics?x=1"), get(p, "/health"), get(p, "/ready")));
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(
        metrics.contains("\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: 12\r\n"),
        "{metrics}"
    );
    assert!(metrics.ends_with("\r\n\r\nathena_up 1\n"), "{metrics}");
    assert!(health.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"), "{health}");
    let body = health.split_once("\r\n\r\n").unwrap().1;
    let expected = r#"{"status":"ok","version":"1.2.3","uptime_seconds":9,"cores":2,"#.to_owned()
        + r#""backends":[{"address":"db\"1:3306","up":true}],"ready":true}"#
        + "\n";
    assert_eq!(body, expected);
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
}

#[test]
fn what_is_alive_but_not_ready_says_so() {
    for (status, up) in [(Status::Draining, true), (Status::Starting, true), (Status::Ok, false)] {
        let pages = Fixed { status, up, ..GOOD };
        let (health, ready) = with(pages, |port| (get(port, "/health"), get(port, "/ready")));
        assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
        assert!(ready.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{ready}");
        assert!(ready.ends_with("\"ready\":false}\n"), "{ready}");
    }
}

#[test]
fn other_requests_get_their_status_and_a_close() {
    let cases: [(Vec<u8>, &str); 8] = [
        (b"GET / HTTP/1.0\r\n\r\n".to_vec(), "404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".to_vec(), "405 Method Not Allowed"),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n".to_vec(), "200 OK"),
        (b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(), "200 OK"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec(), "400 Bad Request"),
        (b"GET /metrics HTTP/1.1\r\nno colon here\r\n\r\n".to_vec(), "400 Bad Request"),
        ([b"GET /".to_vec(), vec![b'a'; 3 * HEAD_MAX]].concat(), "431 Request Header Fields Too Large"),
        (
            [b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(HEADERS_MAX + 1)].concat(),
            "431 Request Header Fields Too Large",
        ),
    ];
    for (request, expected) in cases {
        let head = request.starts_with(b"HEAD");
        let shown = String::from_utf8_lossy(&request).chars().take(40).collect::<String>();
        let answer = with(GOOD, move |port| ask(port, &request));
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}\r\n")), "{shown}: {answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{shown}: {answer}");
        assert_eq!(answer.contains("\r\nAllow: GET, HEAD\r\n"), expected.starts_with("405"));
        assert_eq!(answer.ends_with("\r\n\r\n"), head, "{shown}: {answer}");
    }
}

#[test]
fn a_connection_is_kept_also_for_requests_sent_ahead_or_in_pieces() {
    let text = with(GOOD, |port| {
        let mut stream = open(port);
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\nGET /nothing HTTP/1.1\r\n\r\nHEAD /met").unwrap();
        thread::sleep(Duration::from_millis(50));
        stream.write_all(b"rics HTTP/1.1\r\nConnection: x, Close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let statuses: Vec<&str> = text.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
    assert_eq!(statuses, ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found", "HTTP/1.1 200 OK"], "{text}");
    assert_eq!(text.matches("athena_up 1").count(), 1, "{text}");
}

#[test]
fn silence_and_slow_pages_end_in_time() {
    let pages = Fixed { delay: 10 * STEP_MAX, ..GOOD };
    let (silent, slow) = with(pages, |port| {
        let silent = thread::spawn(move || ask(port, b"GET /met"));
        (silent.join().unwrap(), get(port, "/metrics"))
    });
    assert_eq!(silent, "");
    assert!(slow.starts_with("HTTP/1.1 503 "), "{slow}");
}

#[test]
fn a_connection_above_the_limit_waits_for_its_turn() {
    with(GOOD, |port| {
        let held: Vec<_> = (0..CONNECTIONS_MAX).map(|_| open(port)).collect();
        let waits = thread::spawn(move || get(port, "/metrics"));
        thread::sleep(Duration::from_millis(200));
        assert!(!waits.is_finished());
        drop(held);
        assert!(waits.join().unwrap().starts_with("HTTP/1.1 200 "));
    });
}
