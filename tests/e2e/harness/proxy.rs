//! A stretch of network that hands on a stream byte by byte, or listens to it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Everything that passed, both ways.
pub(crate) type Recorded = Arc<Mutex<Vec<u8>>>;

/// Listens on an address of its own and hands everything on to `to` and back, each byte in a packet of its own.
pub(crate) fn drip(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    relay(listener, to, |bytes, far| bytes.iter().try_for_each(|byte| far.write_all(&[*byte])));
    address
}

/// Hands everything that comes to `listener` on to `to` and back, and records it.
pub(crate) fn record(listener: TcpListener, to: SocketAddr) -> Recorded {
    let recorded = Recorded::default();
    let record = Arc::clone(&recorded);
    relay(listener, to, move |bytes, far| {
        record.lock().unwrap().extend(bytes);
        far.write_all(bytes)
    });
    recorded
}

/// Its threads end with the connections, and the last with the test process.
fn relay(
    listener: TcpListener,
    to: SocketAddr,
    hand_on: impl Fn(&[u8], &mut TcpStream) -> io::Result<()> + Clone + Send + 'static,
) {
    thread::spawn(move || {
        for near in listener.incoming() {
            let near = near.unwrap();
            let Ok(far) = TcpStream::connect(to) else { continue };
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            let (there, back) = (hand_on.clone(), hand_on.clone());
            thread::spawn(move || pass(near, far, there));
            thread::spawn(move || pass(far_too, near_too, back));
        }
    });
}

fn pass(mut from: TcpStream, mut to: TcpStream, hand_on: impl Fn(&[u8], &mut TcpStream) -> io::Result<()>) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if hand_on(&bytes[..read], &mut to).is_err() {
            break;
        }
    }
    // They fail only if the connections have ended already.
    let _ended = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
}
