//! Hosts on a network of their own, in namespaces: each has one line, which can be cut. A cut line breaks no connection; nothing comes
//! through it, as when a cable is pulled or a machine loses its power.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use super::process::Process;
use super::program::{NODE, clean};

/// The network, which lasts as long as the process that holds it.
#[derive(Debug)]
pub(crate) struct Lan(Process);

/// The host that is never cut off: all lines end there.
pub(crate) const HUB: usize = 0;

/// Makes the hub and so many hosts as `$1` says, and holds them until its input ends.
const MAKE: &str = r#"
set -e
mount -t tmpfs tmpfs /run
ip link set lo up
ip link add hub type bridge
ip address add 10.1.0.254/24 dev hub
ip link set hub up
for host in $(seq "$1"); do
  ip netns add "host$host"
  ip link add "line$host" type veth peer name line netns "host$host"
  ip link set "line$host" master hub up
  ip -n "host$host" address add "10.1.0.$host/24" dev line
  ip -n "host$host" link set line up
  ip -n "host$host" link set lo up
done
echo made
exec cat
"#;

impl Lan {
    /// A network with so many hosts beside the hub. None if this machine does not allow it.
    pub(crate) fn new(hosts: usize) -> Option<Lan> {
        let mut command = Command::new("unshare");
        command.args(["-rnm", "sh", "-c", MAKE, "sh", &hosts.to_string()]);
        let holder = Process::start("the network", &mut command);
        if holder.try_line(0, |line| line == "made").is_err() {
            super::skip(&format!("this machine allows no network of one's own: {}", holder.transcript()));
            return None;
        }
        Some(Lan(holder))
    }

    /// Where a host is.
    pub(crate) fn address(host: usize) -> IpAddr {
        let last = if host == HUB { 254 } else { u8::try_from(host).unwrap() };
        Ipv4Addr::new(10, 1, 0, last).into()
    }

    /// A command that runs `node` on a host.
    pub(crate) fn command(&self, host: usize) -> Command {
        let mut command = self.inside();
        if host != HUB {
            command.args(["-m", "ip", "netns", "exec", &format!("host{host}")]);
        }
        command.arg(NODE);
        clean(&mut command);
        command
    }

    /// Cuts a host off, or lets it in again.
    pub(crate) fn set_line(&self, host: usize, state: &str) {
        let line = format!("line{host}");
        let status = self.inside().args(["ip", "link", "set", &line, state]).status().unwrap();
        assert!(status.success(), "{line} is not set {state}");
    }

    /// A command that runs another in this network, at the hub.
    fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.0.pid().to_string(), "-U", "-n", "--preserve-credentials"]);
        command
    }
}
