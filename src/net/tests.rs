use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glommio::{LocalExecutorBuilder, Placement};

use super::*;

/// Runs `main` as the first task of a core and returns when it ends.
pub(super) fn on_core<F, T>(buffers: usize, main: F) -> T
where
    F: AsyncFnOnce(Rc<Executor>) -> T + Send + 'static,
    T: Send + 'static,
{
    on_core_that_spins(Duration::ZERO, buffers, main)
}

fn on_core_that_spins<F, T>(spin: Duration, buffers: usize, main: F) -> T
where
    F: AsyncFnOnce(Rc<Executor>) -> T + Send + 'static,
    T: Send + 'static,
{
    LocalExecutorBuilder::new(Placement::Unbound)
        .preempt_timer(Duration::from_secs(86_400))
        .spawn(move || async move {
            let core = Executor::new(Ring::new(64, buffers, 4096).unwrap());
            let result = Rc::new(RefCell::new(None));
            let (inner, slot) = (core.clone(), result.clone());
            core.spawn(async move {
                let value = main(inner.clone()).await;
                *slot.borrow_mut() = Some(value);
                inner.stop();
            });
            core.drive(spin).await.unwrap();
            result.take().unwrap()
        })
        .unwrap()
        .join()
        .unwrap()
}

pub(super) fn peer() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A thread that answers every read with the same bytes until the other side closes.
fn echo() -> SocketAddr {
    let (listener, address) = peer();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buf = [0; 65536];
                while let Ok(n @ 1..) = stream.read(&mut buf) {
                    if stream.write_all(&buf[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn an_exchange_costs_one_enter() {
    let address = echo();
    let per_exchange = on_core(16, async move |core| {
        let socket = Socket::connect(&core.ring, address).await.unwrap();
        let before = core.ring.stats.enters.get();
        for i in 0..100u8 {
            let got = socket.exchange(vec![i; 100], &socket).await.unwrap().unwrap();
            assert_eq!(&*got, &[i; 100]);
        }
        core.ring.stats.enters.get() - before
    });
    assert_eq!(per_exchange, 100);
}

#[test]
fn a_silent_send_that_does_not_fit_is_finished_with_waiting() {
    let (listener, address) = peer();
    let total = 8 << 20;
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let mut all = vec![0; total];
        stream.read_exact(&mut all).unwrap();
        stream.write_all(b"done").unwrap();
        all.iter().enumerate().all(|(i, b)| *b == (i % 251) as u8)
    });
    on_core(16, async move |core| {
        let socket = Socket::connect(&core.ring, address).await.unwrap();
        let bytes: Vec<u8> = (0..total).map(|i| (i % 251) as u8).collect();
        let got = socket.exchange(bytes, &socket).await.unwrap().unwrap();
        assert_eq!(&*got, b"done");
    });
    assert!(reader.join().unwrap());
}

#[test]
fn an_exchange_whose_answer_is_there_already_ends_with_its_send() {
    let address = echo();
    on_core(16, async move |core| {
        let (a, b) = (
            Socket::connect(&core.ring, address).await.unwrap(),
            Socket::connect(&core.ring, address).await.unwrap(),
        );
        let timer = Timer::new(&core.timers);
        for round in 0..100u8 {
            // Two answers on b: the second waits in its queue while the first is taken.
            assert_eq!(&*b.exchange(vec![round], &b).await.unwrap().unwrap(), &[round]);
            b.send(vec![round; 3]).await.unwrap();
            timer.sleep(Duration::from_millis(1)).await;
            let both = timer.within(Duration::from_secs(5), a.exchange(vec![9], &b)).await;
            assert_eq!(&*both.expect("it does not wait for ever").unwrap().unwrap(), &[round; 3]);
            assert_eq!(&*a.receive().await.unwrap().unwrap(), &[9]);
        }
    });
}

#[test]
fn a_stream_does_not_outrun_its_reader() {
    let (listener, address) = peer();
    let total: usize = 32 << 20;
    let writer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&vec![5; total]).unwrap();
    });
    on_core(64, async move |core| {
        let socket = Socket::connect(&core.ring, address).await.unwrap();
        let timer = Timer::new(&core.timers);
        let mut got = socket.receive().await.unwrap().unwrap().len();
        // Nobody reads for a while: what arrives stays with the kernel, but for a few dozen buffers.
        timer.sleep(Duration::from_millis(200)).await;
        let waiting = core.ring.buffers().free();
        assert!(waiting > 0, "a reader that pauses holds every buffer");
        while let Some(chunk) = socket.receive().await.unwrap() {
            assert!(chunk.iter().all(|byte| *byte == 5));
            got += chunk.len();
        }
        assert_eq!(got, total);
    });
    writer.join().unwrap();
}

#[test]
fn a_received_window_is_edited_in_place() {
    let address = echo();
    on_core(16, async move |core| {
        let socket = Socket::connect(&core.ring, address).await.unwrap();
        let text: Vec<u8> = (0..200).collect();
        let ranges = [0..0, 3..3, 100..110, 199..200, 200..200, 0..200, 50..180];
        let fillings = [&b""[..], b"x", b"0123456789", &[7; 60]];
        for (range, filling) in ranges.iter().flat_map(|r| fillings.iter().map(move |f| (r.clone(), *f))) {
            let mut got = socket.exchange(text.clone(), &socket).await.unwrap().unwrap();
            assert!(got.splice(range.clone(), filling));
            let mut expected = text.clone();
            expected.splice(range, filling.iter().copied());
            assert_eq!(*got, expected[..]);
        }
        // A full buffer has its headroom only.
        let mut all = socket.exchange(vec![1; 4096], &socket).await.unwrap().unwrap();
        let room = all.headroom();
        assert!(room >= 64 && !all.splice(2000..2000, &vec![2; room + 1]));
        assert!(all.splice(2000..2000, &vec![2; room]) && all.headroom() == 0);
        assert!(all.splice(10..20, b"0123456789") && !all.splice(10..20, b"0123456789x"));
        assert!(!all.splice(0..5000, b""));
    });
}

#[test]
fn dropped_operations_keep_what_they_use_until_the_kernel_is_done() {
    let (listener, address) = peer();
    on_core(16, async move |core| {
        let free = core.ring.buffers().free();
        let timer = Timer::new(&core.timers);
        for _ in 0..50 {
            let socket = Socket::connect(&core.ring, address).await.unwrap();
            let (stream, _) = listener.accept().unwrap();
            // The peer never reads: the send waits in the kernel when its future is dropped.
            let sending = timer.within(Duration::from_millis(2), socket.send(vec![7; 16 << 20]));
            assert!(sending.await.is_err());
            assert!(timer.within(Duration::from_millis(1), socket.receive()).await.is_err());
            drop(socket);
            drop(stream);
        }
        timer.sleep(Duration::from_millis(20)).await;
        assert_eq!(core.ring.buffers().free(), free);
    });
}

#[test]
fn receives_that_find_no_buffer_are_delayed_not_failed() {
    let address = echo();
    on_core(16, async move |core| {
        let mut held = Vec::new();
        for i in 0..40u8 {
            let socket = Socket::connect(&core.ring, address).await.unwrap();
            let got = socket.exchange(vec![i; 10], &socket).await.unwrap().unwrap();
            held.push((got, socket, i));
        }
        assert!(held.iter().all(|(got, _, i)| **got == [*i; 10]));
    });
}

#[test]
fn the_core_sleeps_until_the_deadline_and_no_longer() {
    on_core(16, async |core| {
        let done = Rc::new(Cell::new(0));
        for ms in [30u64, 10, 20] {
            let (inner, done) = (core.clone(), done.clone());
            core.spawn(async move {
                let started = inner.timers.now();
                Timer::new(&inner.timers).sleep(Duration::from_millis(ms)).await;
                assert!(inner.timers.now() - started >= Duration::from_millis(ms));
                done.set(done.get() + 1);
            });
        }
        let timer = Timer::new(&core.timers);
        timer.sleep(Duration::from_millis(60)).await;
        assert_eq!(done.get(), 3);
        // Three sleepers and this one: the idle core woke for its deadlines only.
        assert!(core.ring.stats.enters.get() < 12, "{}", core.ring.stats.enters.get());
    });
}

#[test]
fn a_deadline_moved_earlier_fires_earlier() {
    on_core(16, async |core| {
        let timer = Timer::new(&core.timers);
        assert!(timer.within(Duration::from_secs(100), async {}).await.is_ok());
        let started = Instant::now();
        assert_eq!(timer.within(Duration::from_millis(5), std::future::pending::<()>()).await, Err(Elapsed));
        assert!(started.elapsed() < Duration::from_secs(50));
    });
}

#[test]
fn messages_of_other_threads_wake_a_sleeping_core() {
    let (sender, receiver) = inbox::<u32>().unwrap();
    let thread = std::thread::spawn(move || {
        for i in 0..1000 {
            if i % 100 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
            sender.send(i);
        }
    });
    on_core(16, async move |core| {
        let receiver = receiver.on(&core.ring).unwrap();
        for i in 0..1000 {
            assert_eq!(receiver.receive().await, i);
        }
    });
    thread.join().unwrap();
}

#[test]
fn a_listener_accepts_and_a_closed_socket_is_seen_by_its_peer() {
    on_core(16, async |core| {
        let (_, address) = peer();
        BoundListener::check_free(address).unwrap();
        let listener = BoundListener::bind(address).unwrap().on(&core.ring);
        let taken = BoundListener::check_free(address).unwrap_err();
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
        let client = TcpStream::connect(address).unwrap();
        let accepted = listener.accept().await.unwrap();
        assert_eq!(accepted.peer(), client.local_addr().ok());
        let socket = accepted.on(&core.ring);
        drop(client);
        socket.closed().await;
        assert!(socket.receive().await.unwrap().is_none());
        let mut client = TcpStream::connect(address).unwrap();
        let socket = listener.accept().await.unwrap().on(&core.ring);
        let receive = socket.receive();
        drop(socket);
        drop(receive);
        Timer::new(&core.timers).sleep(Duration::from_millis(1)).await;
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        // One that no ring has got.
        let mut client = TcpStream::connect(address).unwrap();
        drop(listener.accept().await.unwrap());
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    });
}

/// Clients in its queue would wait until the process ends.
#[test]
fn a_listener_dropped_as_its_core_stops_is_closed() {
    let address = on_core(16, async move |core| {
        let (_, address) = peer();
        let listener = BoundListener::bind(address).unwrap().on(&core.ring);
        let timer = Timer::new(&core.timers);
        let accepted = timer.within(Duration::from_millis(20), listener.accept()).await;
        assert!(accepted.is_err(), "nobody comes");
        address
    });
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_core_that_polls_before_it_sleeps_sees_what_comes() {
    let (address, spin) = (echo(), Duration::from_secs(10));
    let start = Instant::now();
    on_core_that_spins(spin, 16, async move |core| {
        let socket = Socket::connect(&core.ring, address).await.unwrap();
        for i in 0..2_u8 {
            let got = socket.exchange(vec![i; 100], &socket).await.unwrap().unwrap();
            assert_eq!(&*got, &[i; 100]);
        }
    });
    assert!(start.elapsed() < spin, "each completion waited for the end of the polling");
}

#[test]
fn what_is_sent_to_a_closed_inbox_is_dropped() {
    let (sender, inbox) = inbox().unwrap();
    let held = Arc::new(());
    on_core(16, {
        let held = held.clone();
        async move |core| {
            let receiver = inbox.on(&core.ring).unwrap();
            sender.send(held.clone());
            assert!(Arc::ptr_eq(&receiver.receive().await, &held));
            sender.send(held.clone());
            receiver.close();
            assert_eq!(Arc::strong_count(&held), 2, "what had come is dropped");
            sender.send(held.clone());
            assert_eq!(Arc::strong_count(&held), 2, "what comes is dropped");
        }
    });
    assert_eq!(Arc::strong_count(&held), 1);
}
