//! Everything over IPv6, where the machine has it.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use crate::harness::client::Home;
use crate::harness::content::assert_same;
use crate::harness::world::{free_address, group};
use crate::harness::{Client, World, skip};

#[test]
fn a_file_goes_from_peer_to_peer_over_ipv6() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return skip("this machine has no IPv6");
    }
    let world = World::at(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), free_address().port()));
    let user = |name: &str| {
        let mut client = Client::start(Home { listen: (Ipv6Addr::LOCALHOST, 0).into(), ..world.home(name) });
        client.create_and_log_in();
        client
    };
    let (mut ann, mut bob) = (user("ann"), user("bob"));
    assert!(ann.address().is_ipv6());
    group("physics", &mut ann, &mut [&mut bob]);
    let path = world.file("film.bin", 3 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    bob.ok("download_file physics film.bin");
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join("film.bin"));
}
