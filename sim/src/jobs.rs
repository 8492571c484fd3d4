//! The shell's work: what each machine's actions do, and how long it takes.

use engine::id::{FileId, JobId, LinkId, Slot};
use engine::peer::io::{Action as PeerAction, Input as PeerInput, Outcome, Work as PeerWork};
use engine::piece::{PieceDigest, Size};
use engine::refusal::DiskError;
use engine::table::Table;
use engine::time::Span;
use engine::tracker::io::{
    Action as TrackerAction, Input as TrackerInput, Outcome as StoreOutcome, Work as StoreWork,
};

use crate::checks::Sabotage;
use crate::content::{Bytes, Whole};
use crate::network::{NodeId, Packet};
use crate::node::{Kind, Lane};
use crate::notary;
use crate::scenario::FaultKind;
use crate::world::{Event, TRACKER, World};

/// Work on its way, or its outcome.
#[derive(Debug)]
pub(crate) enum Work {
    Peer(PeerWork),
    Store(StoreWork),
    Ended(Outcome),
}

impl World {
    /// Does what a client's machine says.
    pub(crate) fn peer_acts(&mut self, id: NodeId, action: PeerAction) {
        match action {
            PeerAction::Dial { dial, to, .. } => self.dial(id, Some(dial), to),
            PeerAction::Send { link, message } => self.send_packet(id, link, Packet::Peer(message)),
            PeerAction::Spread { links, message } => self.send_to_all(id, &links, message),
            PeerAction::SendTracker { link, message } => self.send_packet(id, link, Packet::Client(message)),
            PeerAction::Expect { link, extent, slot } => {
                if let Some(expected) = self.expected(id, link) {
                    expected.insert((extent.file, extent.piece), Some(slot));
                }
            }
            PeerAction::Discard { link, extent } => {
                let expected = self.expected(id, link);
                if let Some(arrival) =
                    expected.and_then(|expected| expected.get_mut(&(extent.file, extent.piece)))
                {
                    *arrival = None;
                }
            }
            PeerAction::Unexpect { link, extent } => {
                if let Some(expected) = self.expected(id, link) {
                    expected.remove(&(extent.file, extent.piece));
                }
            }
            PeerAction::Close { link, violation } => self.close(id, link, violation),
            PeerAction::Start { job, work } => self.start_job(id, job, work),
            PeerAction::Stop { job } => self.stop_transfer(id, job),
            PeerAction::Answer { id: command, reply } => {
                let Kind::Client(client) = &mut self.nodes[id.0].kind else { return };
                let reply = reply.map(|reply| *reply).map_err(|refusal| *refusal);
                let twin = client.answers.insert(command, reply);
                assert!(twin.is_none(), "a command is answered once");
                self.watch.answered(id, command);
            }
            PeerAction::Tell(news) => {
                self.narrate(id, || format!("says: {news:?}"));
                self.watch.told(id, &news);
                self.check_handed_over(id, &news);
                let Kind::Client(client) = &mut self.nodes[id.0].kind else { return };
                client.news.push((self.now, *news));
            }
            PeerAction::Exit => self.exit(id),
        }
    }

    fn exit(&mut self, id: NodeId) {
        let links = self.nodes[id.0].links.iter().filter_map(|link| self.links.get(*link));
        // Of the connections of an earlier life it knows nothing.
        let life = self.nodes[id.0].life;
        let mut ends = links.map(|link| &link.ends[link.side(id)]).filter(|end| end.life == life);
        let open = ends.any(|end| end.up && !end.closed);
        assert!(!open, "a client takes leave of everybody before it ends");
        assert!(self.nodes[id.0].jobs.is_empty(), "nothing is under way when a client ends");
        let Kind::Client(client) = &mut self.nodes[id.0].kind else { return };
        assert_eq!(client.disk.open_count(), 0, "a client closes its files before it ends");
        client.exited = true;
        self.watch.exited(id);
        self.end_life(id);
    }

    /// The pieces that may arrive at a node on a link.
    fn expected(&mut self, id: NodeId, link: LinkId) -> Option<&mut Table<(FileId, u32), Option<Slot>>> {
        let connection = self.links.get_mut(link)?;
        let side = connection.side(id);
        Some(&mut connection.ends[side].notes.expected)
    }

    fn start_job(&mut self, id: NodeId, job: JobId, work: PeerWork) {
        if let PeerWork::Send { link, extent, theirs } = work {
            self.note_job(id, job, Work::Peer(work));
            return self.send_piece(id, job, link, extent, theirs);
        }
        let (lane, took) = self.plan_for(id, &work);
        let took = match &work {
            PeerWork::DeriveKey { .. } | PeerWork::Hash { .. } => took,
            _ => self.on_slow_disk(id, took),
        };
        self.note_job(id, job, Work::Peer(work));
        self.plan_end(id, job, lane, took);
    }

    fn note_job(&mut self, id: NodeId, job: JobId, work: Work) {
        let twin = self.nodes[id.0].jobs.insert(job, work);
        assert!(twin.is_none(), "a job is started once");
    }

    fn plan_end(&mut self, id: NodeId, job: JobId, lane: Option<Lane>, took: Span) {
        let node = &mut self.nodes[id.0];
        let mut at = self.now + took;
        if let Some(lane) = lane {
            let free = node.lanes.or_default(lane);
            at = at.max(*free + took);
            *free = at;
        }
        self.future.plan(at, Event::Job { node: id, life: node.life, job });
    }

    /// How long work of a disk takes there at present.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "times far below 2^52"
    )]
    fn on_slow_disk(&mut self, id: NodeId, took: Span) -> Span {
        let slow = self.faults.strikes(id, FaultKind::SlowDisk);
        slow.map_or(took, |strength| Span((took.0 as f64 * strength.factor) as u64))
    }

    /// Whether a job fails because the disk cannot sync.
    fn fails_to_sync(&mut self, id: NodeId, work: &PeerWork) -> bool {
        let syncs = matches!(work, PeerWork::Sync { .. } | PeerWork::Finish { .. } | PeerWork::Remember(_));
        syncs && self.faults.strikes(id, FaultKind::FailedSync).is_some()
    }

    /// What a worker makes of a piece: the right digest, unless it errs.
    fn digest_of(&mut self, id: NodeId, bytes: &Bytes, size: Size) -> PieceDigest {
        let mut digest = self.digests.of(Whole { content: bytes.content, size }, bytes);
        if self.faults.strikes(id, FaultKind::WrongDigest).is_some() {
            self.faults.befuddled.insert(id);
            digest.sha1.0[0] ^= 1;
        }
        digest
    }

    /// In which order a job runs, and how long it takes.
    fn plan_for(&mut self, id: NodeId, work: &PeerWork) -> (Option<Lane>, Span) {
        let costs = self.costs;
        let Kind::Client(client) = &mut self.nodes[id.0].kind else { unreachable!("{id:?} is a client") };
        let of = |file| client.place_of.get(&file).copied().map(Lane::File);
        match work {
            PeerWork::DeriveKey { .. } => (None, costs.key),
            PeerWork::Survey { place } => {
                let pieces = client.disk.file(place).map_or(0, |whole| whole.size.pieces());
                (None, costs.hash * (u64::from(pieces) + 1))
            }
            PeerWork::Remember(_) | PeerWork::Forget { .. } | PeerWork::Recall { .. } => {
                (Some(Lane::Memory), costs.sync)
            }
            PeerWork::OpenShare { file, place, .. } | PeerWork::OpenPart { file, place, .. } => {
                let known = client.places.iter().position(|other| other == place);
                let at = known.unwrap_or(client.places.len());
                if known.is_none() {
                    client.places.push(place.clone());
                }
                client.place_of.insert(*file, at);
                (Some(Lane::File(at)), costs.sync)
            }
            PeerWork::Verify { .. } => (None, notary::TOOK),
            PeerWork::Hash { .. } => (None, costs.hash),
            PeerWork::Write { extent, .. } => (of(extent.file), costs.write),
            PeerWork::Sync { file } | PeerWork::Finish { file } | PeerWork::CloseFile { file } => {
                (of(*file), costs.sync)
            }
            PeerWork::Send { .. } => unreachable!("pieces are sent on uplinks"),
        }
    }

    /// Plans the end of a job for this very moment.
    pub(crate) fn end_job(&mut self, id: NodeId, job: JobId, outcome: Outcome) {
        let known = self.nodes[id.0].jobs.insert(job, Work::Ended(outcome));
        assert!(known.is_some(), "what ends was begun");
        self.plan_end(id, job, None, Span::ZERO);
    }

    /// A piece has left: the job is over at once.
    pub(crate) fn piece_sent(&mut self, id: NodeId, job: JobId) {
        let known = self.nodes[id.0].jobs.remove(&job);
        assert!(known.is_some(), "a job ends once");
        self.give_peer(id, PeerInput::Done { job, outcome: Outcome::Sent });
    }

    pub(crate) fn finish_job(&mut self, id: NodeId, job: JobId) {
        let work = self.nodes[id.0].jobs.remove(&job).expect("a job ends once");
        match work {
            Work::Ended(outcome) => self.give_peer(id, PeerInput::Done { job, outcome }),
            Work::Peer(PeerWork::Hash { .. }) if self.is_broken(Sabotage::NeverHashes) => {}
            Work::Peer(work) => {
                let outcome = self.do_work(id, work);
                self.give_peer(id, PeerInput::Done { job, outcome });
            }
            Work::Store(work) => {
                let outcome = self.do_store(work);
                self.give_tracker(TrackerInput::Done { job, outcome });
            }
        }
    }

    fn do_work(&mut self, id: NodeId, work: PeerWork) -> Outcome {
        if let Some(outcome) = self.sabotaged_work(id, &work) {
            return outcome;
        }
        if self.fails_to_sync(id, &work) {
            return Outcome::Failed(DiskError::Other("the disk failed to sync".into()));
        }
        let sound = self.is_sound(id);
        let Kind::Client(client) = &mut self.nodes[id.0].kind else { unreachable!("{id:?} is a client") };
        let (disk, digests) = (&mut client.disk, &mut self.digests);
        match work {
            PeerWork::DeriveKey { password, salt } => {
                let text = &self.passwords[password.0 as usize];
                Outcome::Key(derive_key(text, &salt))
            }
            PeerWork::Survey { place } => disk.survey(&place, digests),
            PeerWork::Remember(entry) => disk.remember(entry),
            PeerWork::Forget { user, group, name } => disk.forget(user, group, name),
            PeerWork::Recall { user } => disk.recall(&user),
            PeerWork::OpenShare { file, place, stamp } => disk.open_share(file, place, stamp),
            PeerWork::OpenPart { file, place, size, hashes, resume } => {
                disk.open_part(file, place, (size, hashes), resume, digests)
            }
            PeerWork::Verify { signer, statement, signature } => {
                Outcome::Verified(notary::sign(signer, &statement) == *signature)
            }
            PeerWork::Hash { slot, size, .. } => {
                let bytes = *client.slots.get(&slot).expect("a slot is hashed when it is full");
                Outcome::Hashed(self.digest_of(id, &bytes, size))
            }
            PeerWork::Write { slot, extent, cv } => {
                let bytes = client.slots.remove(&slot).expect("a slot is written when it is full");
                let outcome = disk.write(extent, bytes, cv, digests);
                if outcome == Outcome::Done {
                    self.watch.stored(id, &bytes, sound);
                }
                outcome
            }
            PeerWork::Sync { file } => disk.sync(file),
            PeerWork::Finish { file } => disk.finish(file, digests),
            PeerWork::CloseFile { file } => disk.close(file),
            PeerWork::Send { .. } => unreachable!("pieces are sent on uplinks"),
        }
    }

    /// Does what the tracker's machine says.
    pub(crate) fn tracker_acts(&mut self, action: TrackerAction) {
        match action {
            TrackerAction::Send { link, mut message } => {
                self.sabotage_word(&mut message);
                self.overhear(link, &message);
                self.note_acknowledged(&message);
                self.send_packet(TRACKER, link, Packet::Tracker(message));
            }
            TrackerAction::Close { link, violation } => self.close(TRACKER, link, violation),
            TrackerAction::Start { job, work } => {
                let (lane, took) = match &work {
                    StoreWork::Sign(_) => (None, notary::TOOK),
                    StoreWork::Persist(_) => (Some(Lane::Store), self.on_slow_disk(TRACKER, self.costs.sync)),
                };
                self.note_job(TRACKER, job, Work::Store(work));
                self.plan_end(TRACKER, job, lane, took);
            }
            TrackerAction::Reach { .. } | TrackerAction::Speak { .. } | TrackerAction::Say(_) => {
                unreachable!("this tracker is the only one, and nobody is at its console")
            }
        }
    }

    fn do_store(&mut self, work: StoreWork) -> StoreOutcome {
        let forgets = self.is_broken(Sabotage::ForgetsChanges);
        let signer = self.nodes[TRACKER.0].device;
        let Kind::Tracker(tracker) = &mut self.nodes[TRACKER.0].kind else { unreachable!("it is the first") };
        if let StoreWork::Sign(statements) = &work {
            let signatures = statements.iter().map(|statement| notary::sign(signer, statement)).collect();
            return StoreOutcome::Signed(signer, signatures);
        }
        if tracker.disk_full {
            return StoreOutcome::DiskFull;
        }
        match work {
            // It cannot forget how it began: nothing is acknowledged by then.
            StoreWork::Persist(batch) if forgets && !batch.clears => {}
            StoreWork::Persist(batch) => tracker.store.take(batch),
            StoreWork::Sign(_) => unreachable!("signing needs no disk"),
        }
        StoreOutcome::Durable
    }
}

/// What stands for Argon2 here.
pub(crate) fn derive_key(password: &str, salt: &engine::id::Salt) -> engine::id::Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&salt.0);
    hasher.update(password.as_bytes());
    engine::id::Key(*hasher.finalize().as_bytes())
}
