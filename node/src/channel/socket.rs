//! Sockets: how connections are opened and tuned.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use async_io::Async;
use rustix::io::Errno;
use socket2::{Domain, SockRef, Socket, Type};

/// Bytes that may wait unsent in the kernel, ahead of what is written next: 128 KiB are 1 ms at 1 Gbit/s. The buffers themselves are
/// left to the kernel, which sizes them by the path.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// The congestion control of loopback connections: of what every Linux lets everybody choose, it paces nothing. BBR, a usual default, holds
/// bursts back to spare a router's queue, and costs up to a fifth of the processor time where there is none.
const ON_LOOPBACK: &[u8] = b"reno";

/// Connects to `to`.
///
/// # Errors
/// Nobody listens there, or there is no way.
pub(super) async fn connect(to: SocketAddr) -> io::Result<Async<TcpStream>> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    choose_congestion_control(&socket, to)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => return Err(error),
        _ => {}
    }
    let stream = Async::new_nonblocking(TcpStream::from(socket))?;
    stream.writable().await?;
    match stream.get_ref().take_error()? {
        None => Ok(stream),
        Some(error) => Err(error),
    }
}

/// Listens at `address`; port 0 picks a free one.
///
/// # Errors
/// The address is in use, or not of this machine.
pub(super) fn listen(address: SocketAddr) -> io::Result<Async<TcpListener>> {
    let socket = Async::<TcpListener>::bind(address)?;
    // Connections that come in inherit it.
    choose_congestion_control(&SockRef::from(&socket), address)?;
    Ok(socket)
}

/// Before there is a connection: what paces one goes on to, whatever is chosen later.
fn choose_congestion_control(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.ip().to_canonical().is_loopback() { socket.set_tcp_congestion(ON_LOOPBACK) } else { Ok(()) }
}

/// Prepares a connection for messages that must not wait.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future;

    fn here() -> Async<TcpListener> {
        listen(([127, 0, 0, 1], 0).into()).unwrap()
    }

    #[test]
    fn both_ends_are_unpaced_on_loopback() {
        let listener = here();
        let address = listener.get_ref().local_addr().unwrap();
        let both = future::zip(connect(address), listener.accept());
        let (dialled, accepted) = smol::block_on(both);
        for stream in [dialled.unwrap(), accepted.unwrap().0] {
            assert!(SockRef::from(&stream).tcp_congestion().unwrap().starts_with(ON_LOOPBACK));
        }
    }

    #[test]
    fn where_nobody_listens_there_is_no_connection() {
        let address = here().get_ref().local_addr().unwrap();
        let refused = smol::block_on(connect(address)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
