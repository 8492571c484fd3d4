//! Anything may happen in any order: first faults and people who change their minds, then everything heals and must complete.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use engine::peer::command::{Command, Leaving};
use engine::time::Span;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sim::prose::{file, group, pieces, place, user};
use sim::{Access, NodeId, World};

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
const GROUPS: [&str; 2] = ["g", "h"];
const FILES: [&str; 4] = ["a", "b", "c", "d"];

/// What is in a file: a function of its name, so that anybody may share it.
fn content(name: &str) -> sim::Whole {
    let at = FILES.iter().position(|other| *other == name).unwrap();
    pieces(at as u64, [3, 17, 40, 0][at])
}

struct Soak {
    world: World,
    rng: ChaCha8Rng,
    /// Each client, with the person at it.
    clients: Vec<(NodeId, &'static str)>,
    down: Vec<NodeId>,
    tracker_down: bool,
}

impl Soak {
    fn new(seed: u64) -> Soak {
        let mut world = World::new(seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut clients = Vec::new();
        for name in PEOPLE {
            let up = [1 << 20, 8 << 20, 64 << 20].choose(&mut rng).copied().unwrap();
            let latency = Span::from_millis(rng.random_range(0..50));
            let access = Access { up, down: up * 4, latency };
            let client = world.client_on(access, engine::peer::strategy::Strategy::default());
            world.sign_up(client, name);
            clients.push((client, name));
        }
        let second = world.client();
        world.login(second, "bob");
        clients.push((second, "bob"));
        for name in GROUPS {
            world.make_group(
                clients[0].0,
                name,
                &[(clients[1].0, "bob"), (clients[2].0, "carol"), (clients[3].0, "dave")],
            );
        }
        world.ok(clients[0].0, Command::MakeAdmin { group: group("g"), user: user("bob") });
        Soak { world, rng, clients, down: Vec::new(), tracker_down: false }
    }

    fn disturb(&mut self) {
        let (client, name) = *self.clients.choose(&mut self.rng).unwrap();
        let rng = &mut self.rng;
        match rng.random_range(0..100u32) {
            0..3 if !self.down.contains(&client) => {
                self.world.kill(client);
                self.down.push(client);
            }
            0..12 => {
                if let Some(client) = self.down.pop() {
                    self.world.restart(client);
                }
            }
            12 if !self.tracker_down => {
                self.world.kill_tracker();
                self.tracker_down = true;
            }
            12..18 if self.tracker_down => {
                self.world.restart_tracker();
                self.tracker_down = false;
            }
            18..20 => self.world.fill_disk(client, rng.random()),
            20..22 => self.world.fill_tracker_disk(rng.random()),
            22 => self.world.corrupt(client, rng.random()),
            _ if self.down.contains(&client) => {}
            _ => {
                let command = self.command(name);
                if let Command::UploadFile { name, .. } = &command {
                    self.world.put(client, name.as_str(), content(name.as_str()));
                }
                self.world.command(client, command);
            }
        }
    }

    fn command(&mut self, person: &str) -> Command {
        let rng = &mut self.rng;
        let group = group(GROUPS.choose(rng).unwrap());
        let name = file(FILES.choose(rng).unwrap());
        let someone = user(PEOPLE.choose(rng).unwrap());
        let when = random_leaving(rng);
        match rng.random_range(0..40u32) {
            0..2 => Command::Logout { when },
            2..10 => Command::Login {
                user: user(person),
                password: self.world.password(&format!("{person}'s password")),
            },
            10..18 => Command::DownloadFile { group, place: place(name.as_str()), name, named: rng.random() },
            18..21 => Command::StopDownload { group, name },
            21..25 => Command::UploadFile { group, place: place(name.as_str()), name },
            25 => Command::StopShare { group, name },
            26 => Command::RemoveFile { group, name },
            27 => Command::RemoveMember { group, user: someone },
            28 => Command::LeaveGroup { group },
            29..31 => Command::JoinGroup { group },
            31..34 => Command::AcceptRequest { group, user: someone },
            34 => Command::ListFiles { group },
            35 => Command::FileInfo { group, name },
            36 => Command::ShowDownloads,
            37 => Command::Wait { file: Some((group, name)) },
            38 => Command::ListGroups,
            _ => Command::ShowShares,
        }
    }

    /// Everything heals; then who asks for a file gets it.
    fn heal(&mut self) {
        if self.tracker_down {
            self.world.restart_tracker();
        }
        self.world.fill_tracker_disk(false);
        for client in std::mem::take(&mut self.down) {
            self.world.restart(client);
        }
        for (client, _) in self.clients.clone() {
            self.world.fill_disk(client, false);
            self.world.corrupt(client, false);
        }
        self.world.advance(Span::from_secs(200));
        for (client, name) in self.clients.clone() {
            let password = self.world.password(&format!("{name}'s password"));
            // Somebody may be logged in, or waiting to log out; both end here.
            let _either = self.world.run(client, Command::Logout { when: Leaving::Now });
            self.world.ok(client, Command::Login { user: user(name), password });
        }
        self.finish();
    }

    fn finish(&mut self) {
        let owner = self.clients[4].0;
        self.world.ok(owner, Command::CreateGroup { group: group("new") });
        for name in FILES {
            self.world.put(owner, name, content(name));
            let (name, place) = (file(name), place(name));
            self.world.ok(owner, Command::UploadFile { group: group("new"), name, place });
        }
        let (bob, _) = self.clients[1];
        self.world.ok(bob, Command::JoinGroup { group: group("new") });
        self.world.ok(owner, Command::AcceptRequest { group: group("new"), user: user("bob") });
        for client in [self.clients[1].0, self.clients[5].0] {
            for name in FILES {
                let (name, place) = (file(name), place(&format!("new {name}")));
                let command = Command::DownloadFile { group: group("new"), name, place, named: true };
                self.world.ok(client, command);
            }
            for name in FILES {
                let key = (group("new"), file(name));
                self.world.ok(client, Command::Wait { file: Some(key) });
                assert!(self.world.file_at(client, &format!("new {name}")).is_some());
            }
        }
    }
}

fn random_leaving(rng: &mut impl Rng) -> Leaving {
    match rng.random_range(0..3u32) {
        0 => Leaving::WhenReplicated(None),
        1 => Leaving::WhenReplicated(Some(1)),
        _ => Leaving::Now,
    }
}

fn soak(seed: u64, disturbances: usize) {
    let mut soak = Soak::new(seed);
    for _ in 0..disturbances {
        soak.disturb();
        let pause = [0, 1, 20, 300, 3_000].choose(&mut soak.rng).copied().unwrap();
        soak.world.advance(Span::from_millis(pause));
    }
    soak.heal();
}

#[test]
fn whatever_happens_invariants_hold_and_in_the_end_everything_completes() {
    let seeds = std::env::var("SOAK_SEEDS").ok().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    for seed in seeds.unwrap_or(0..6) {
        soak(seed, 400);
    }
}
