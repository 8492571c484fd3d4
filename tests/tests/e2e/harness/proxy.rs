//! A stretch of network that hands on a stream byte by byte.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Listens on an address of its own and hands everything on to `to` and back, each byte in a packet of its own. Its threads end with
/// the connections, and the last with the test process.
pub(crate) fn drip(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for near in listener.incoming() {
            let near = near.unwrap();
            let Ok(far) = TcpStream::connect(to) else { continue };
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || hand_on(near, far));
            thread::spawn(move || hand_on(far_too, near_too));
        }
    });
    address
}

fn hand_on(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if bytes[..read].iter().any(|byte| to.write_all(&[*byte]).is_err()) {
            break;
        }
    }
    // They fail only if the connections have ended already.
    let _ended = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
}
