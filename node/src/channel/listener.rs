//! Where connections come in, and how many may.
//!
//! Invariants: at most [`HANDSHAKES_MAX`] accepted connections are half open; one address holds at most
//! [`limits::LINKS_PER_ADDRESS`] accepted connections, half open or not; a listener never ends because of what a remote does.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_channel::Sender;
use async_io::{Async, Timer};
use engine::limits;
use engine::peer::io::Role;
use smol::lock::Semaphore;

use super::{Channel, Endpoint, handshake, socket};

/// Accepted connections whose handshake is under way. More than one address may open, so that one cannot keep all others out.
const HANDSHAKES_MAX: usize = 2 * limits::LINKS_PER_ADDRESS;

/// The longest pause after a failed accept: long enough for files to be closed, short enough not to be noticed.
const ACCEPT_PAUSE_MS_MAX: u64 = 1_000;

/// Where connections come in.
#[derive(Debug)]
pub struct Listener {
    socket: Async<TcpListener>,
    address: SocketAddr,
}

impl Listener {
    /// Listens; port 0 picks a free one.
    ///
    /// # Errors
    /// The address is in use, or not of this machine.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = socket::listen(address)?;
        let address = socket.get_ref().local_addr()?;
        Ok(Listener { socket, address })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections for ever, as `endpoint` in that `role`, at most `links_max` at a time, and hands each, its handshake done, to
    /// `into`. Ends when nobody takes them any more.
    pub async fn run<I: Send + 'static>(
        self,
        role: Role,
        endpoint: Endpoint,
        links_max: usize,
        into: Sender<I>,
        wrap: fn(Channel) -> I,
    ) {
        let doors = Arc::new(Doors { links_max, open: Mutex::default() });
        let config = Arc::new(handshake::server_config(&endpoint.identity, role));
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let mut pause_ms = 1;
        while !into.is_closed() {
            let under_way = handshakes.acquire_arc().await;
            let (stream, address) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    Timer::after(Duration::from_millis(pause_ms)).await;
                    pause_ms = (pause_ms * 2).min(ACCEPT_PAUSE_MS_MAX);
                    continue;
                }
            };
            pause_ms = 1;
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            let Some(permit) = Permit::take(&doors, address.ip()) else {
                tracing::info!(%address, "refused a connection: its address or this process has too many");
                continue;
            };
            let (into, endpoint, config) = (into.clone(), endpoint.clone(), Arc::clone(&config));
            smol::spawn(async move {
                let accepted = endpoint.accept(stream, address, role, config).await;
                drop(under_way);
                match accepted {
                    Ok(channel) => {
                        // It fails only when this process ends, and the connection with it.
                        let _ended = into.send(wrap(Channel { permit: Some(permit), ..channel })).await;
                    }
                    Err(why) => tracing::info!(%address, %why, "a connection came to nothing"),
                }
            })
            .detach();
        }
    }
}

/// How many accepted connections each address has open.
#[derive(Debug)]
struct Doors {
    links_max: usize,
    open: Mutex<OpenDoors>,
}

#[derive(Debug, Default)]
struct OpenDoors {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The right of an accepted connection to stand; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    doors: Arc<Doors>,
    address: IpAddr,
}

impl Permit {
    fn take(doors: &Arc<Doors>, address: IpAddr) -> Option<Permit> {
        let address = network(address);
        let mut open = doors.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= doors.links_max {
            return None;
        }
        let count = open.by_address.entry(address).or_default();
        if *count >= limits::LINKS_PER_ADDRESS {
            return None;
        }
        *count += 1;
        open.total += 1;
        drop(open);
        Some(Permit { doors: Arc::clone(doors), address })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.doors.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: for IPv6 the /64 that one site has to itself.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_only_so_many_connections() {
        let doors = Arc::new(Doors { links_max: limits::LINKS_PER_ADDRESS + 1, open: Mutex::default() });
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let mut permits: Vec<_> =
            (0..limits::LINKS_PER_ADDRESS).map(|_| Permit::take(&doors, address(1)).unwrap()).collect();
        assert!(Permit::take(&doors, address(1)).is_none(), "its own share is used up");
        permits.push(Permit::take(&doors, address(2)).unwrap());
        assert!(Permit::take(&doors, address(3)).is_none(), "everybody's share is used up");
        permits.pop();
        assert!(Permit::take(&doors, address(3)).is_some(), "and comes back");
    }
}
