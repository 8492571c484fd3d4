//! The registry against a model that is too simple to be wrong: lists of who is what, in order of arrival.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use proptest::collection::vec as many;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{Command, Lock, Origin, Registry};
use crate::id::{Blake3, DeviceId, Salt};
use crate::name::{FileName, GroupName, UserName};
use crate::piece::{Content, Size};
use crate::wire::codec;
use crate::wire::tracker::{Change, Role};

const USERS: [&str; 5] = ["ann", "ben", "cat", "dan", "eve"];
const GROUPS: [&str; 2] = ["g", "h"];

/// A group of the model: members in order of arrival, with their roles; who asks; which content each file has, and who shared it.
#[derive(Debug, Default)]
struct Model {
    members: Vec<(usize, Role)>,
    asks: BTreeSet<usize>,
    files: BTreeMap<u8, (u8, BTreeSet<usize>)>,
}

impl Model {
    fn role(&self, user: usize) -> Option<Role> {
        self.members.iter().find(|(member, _)| *member == user).map(|(_, role)| *role)
    }

    fn is_admin(&self, user: usize) -> bool {
        self.role(user).is_some_and(|role| role != Role::Member)
    }

    fn leave(&mut self, user: usize) {
        self.members.retain(|(member, _)| *member != user);
        if self.members.iter().any(|(_, role)| *role == Role::Owner) {
            return;
        }
        let admin = self.members.iter().position(|(_, role)| *role == Role::Admin);
        if let Some(heir) = self.members.get_mut(admin.unwrap_or(0)) {
            heir.1 = Role::Owner;
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Create,
    Join,
    Accept(usize),
    Reject(usize),
    Leave,
    Promote(usize),
    Remove(usize),
    Add(u8, u8),
    Unlist(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let whom = 0..USERS.len();
    prop_oneof![
        Just(Step::Create),
        Just(Step::Join),
        Just(Step::Join),
        whom.clone().prop_map(Step::Accept),
        whom.clone().prop_map(Step::Accept),
        whom.clone().prop_map(Step::Reject),
        Just(Step::Leave),
        whom.clone().prop_map(Step::Promote),
        whom.prop_map(Step::Remove),
        (0..3u8, 0..2u8).prop_map(|(name, content)| Step::Add(name, content)),
        (0..3u8).prop_map(Step::Unlist),
    ]
}

fn user(index: usize) -> UserName {
    UserName::new(USERS[index]).unwrap()
}

fn file(name: u8) -> FileName {
    FileName::new(["x", "y", "z"][usize::from(name)]).unwrap()
}

fn content(number: u8) -> Content {
    let size = Size::new(u64::from(number)).unwrap();
    Content { size, checksum: Blake3([number; 32]), hashes: Blake3([number; 32]) }
}

fn change(step: &Step, group: usize) -> Change {
    let group = GroupName::new(GROUPS[group]).unwrap();
    match *step {
        Step::Create => Change::CreateGroup { group },
        Step::Join => Change::JoinGroup { group },
        Step::Accept(whom) => Change::Accept { group, user: user(whom) },
        Step::Reject(whom) => Change::Reject { group, user: user(whom) },
        Step::Leave => Change::Leave { group },
        Step::Promote(whom) => Change::MakeAdmin { group, user: user(whom) },
        Step::Remove(whom) => Change::RemoveMember { group, user: user(whom) },
        Step::Add(name, number) => Change::AddFile { group, name: file(name), content: content(number) },
        Step::Unlist(name) => Change::RemoveFile { group, name: file(name) },
    }
}

/// Makes the change in the model if it may be made; says whether.
fn model_step(groups: &mut BTreeMap<usize, Model>, group: usize, who: usize, step: &Step) -> bool {
    if matches!(step, Step::Create) {
        let new = !groups.contains_key(&group);
        if new {
            let model = Model { members: [(who, Role::Owner)].into(), ..Model::default() };
            groups.insert(group, model);
        }
        return new;
    }
    let Some(model) = groups.get_mut(&group) else { return false };
    let (admin, member) = (model.is_admin(who), model.role(who).is_some());
    let allowed = match step {
        Step::Create => unreachable!(),
        Step::Join => !member && model.asks.insert(who),
        Step::Accept(whom) if admin && model.asks.remove(whom) => {
            model.members.push((*whom, Role::Member));
            true
        }
        Step::Reject(whom) => admin && model.asks.remove(whom),
        Step::Leave if member => {
            model.leave(who);
            true
        }
        Step::Promote(whom)
            if model.role(who) == Some(Role::Owner) && model.role(*whom) == Some(Role::Member) =>
        {
            model
                .members
                .iter_mut()
                .filter(|(other, _)| other == whom)
                .for_each(|(_, role)| *role = Role::Admin);
            true
        }
        Step::Remove(whom) if admin && model.role(*whom).is_some() && model.role(who) < model.role(*whom) => {
            model.leave(*whom);
            true
        }
        Step::Add(name, number) if member => {
            let (listed, sharers) = model.files.entry(*name).or_insert((*number, BTreeSet::new()));
            if listed == number {
                sharers.insert(who);
            }
            listed == number
        }
        Step::Unlist(name) if member => {
            let may = model.files.get(name).is_some_and(|(_, sharers)| admin || sharers.contains(&who));
            may && model.files.remove(name).is_some()
        }
        _ => false,
    };
    if model.members.is_empty() {
        groups.remove(&group);
    }
    allowed
}

fn registry_with_users() -> Registry {
    let mut registry = Registry::default();
    for index in 0..USERS.len() {
        let origin = Origin { device: DeviceId([index as u8; 32]), seq: 0 };
        let lock = Lock { salt: Salt([0; 16]), verifier: [0; 32] };
        let command = Command::CreateUser { origin, user: user(index), lock };
        assert_eq!(registry.apply(index as u64 + 1, &command).answer, Ok(()));
    }
    registry
}

fn compare(registry: &Registry, groups: &BTreeMap<usize, Model>) {
    assert_eq!(registry.group_count(), groups.len());
    for (index, model) in groups {
        let group = registry.group(&GroupName::new(GROUPS[*index]).unwrap()).unwrap();
        assert_eq!(group.members.len(), model.members.len());
        for (member, role) in &model.members {
            assert_eq!(group.role(&user(*member)), Some(*role));
        }
        assert_eq!(group.requests, model.asks.iter().map(|asker| user(*asker)).collect());
        assert_eq!(group.files.len(), model.files.len());
        for (name, (number, sharers)) in &model.files {
            let listed = &group.files[&file(*name)];
            assert_eq!(listed.content, content(*number));
            assert!(listed.sharers.keys().cloned().eq(sharers.iter().map(|sharer| user(*sharer))));
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_the_model(steps in many((0..USERS.len(), 0..GROUPS.len(), step(), any::<Index>()), 0..120)) {
        let mut registry = registry_with_users();
        let mut groups = BTreeMap::new();
        let mut made = Vec::new();
        for (seq, (who, group, step, old)) in (1u64..).zip(steps) {
            let change = change(&step, group);
            let before = registry.check_change(&user(who), &change);
            let origin = Origin { device: DeviceId([who as u8; 32]), seq };
            let command = Command::Change { origin, user: user(who), change };
            let applied = registry.apply(registry.applied() + 1, &command);
            prop_assert_eq!(&applied.answer, &before, "what is said before is what happens");
            let allowed = model_step(&mut groups, group, who, &step);
            prop_assert_eq!(applied.answer.is_ok(), allowed, "{:?} by {}: {:?}", step, USERS[who], applied.answer);
            let state = codec::encode(&registry);
            let retry = registry.apply(registry.applied() + 1, &command);
            prop_assert_eq!((retry.answer, retry.effects.len()), (applied.answer, 0), "a retry changes nothing");
            made.push(command);
            let late = registry.apply(registry.applied() + 1, old.get(&made));
            prop_assert_eq!(late.effects.len(), 0, "a copy changes nothing, however late it comes");
            compare(&registry, &groups);
            registry.check();
            prop_assert_eq!(codec::encode(&codec::decode_stored::<Registry>(&state).unwrap()), state);
        }
    }
}
