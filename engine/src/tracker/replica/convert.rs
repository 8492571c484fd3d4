//! Between `raft`'s messages and entries, and our own.
//!
//! `raft` would encode with protobuf. What comes from the network and from the disk goes through our codec instead, so nothing but
//! what is built here reaches it. A change of the members is kept as a [`Reform`]; what `raft` needs to know of it is made from that.

use alloc::vec::Vec;

use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry, EntryType, Message,
    MessageType,
};

use crate::wire::cluster::{Content, LogEntry, RaftKind, RaftMessage, Reform, ReplicaId};
use crate::wire::codec;
use crate::wire::list::List;

/// Kinds that travel, each with `raft`'s word for it.
const KINDS: [(RaftKind, MessageType); 12] = [
    (RaftKind::Append, MessageType::MsgAppend),
    (RaftKind::AppendResponse, MessageType::MsgAppendResponse),
    (RaftKind::RequestVote, MessageType::MsgRequestVote),
    (RaftKind::RequestVoteResponse, MessageType::MsgRequestVoteResponse),
    (RaftKind::Snapshot, MessageType::MsgSnapshot),
    (RaftKind::Heartbeat, MessageType::MsgHeartbeat),
    (RaftKind::HeartbeatResponse, MessageType::MsgHeartbeatResponse),
    (RaftKind::TimeoutNow, MessageType::MsgTimeoutNow),
    (RaftKind::ReadIndex, MessageType::MsgReadIndex),
    (RaftKind::ReadIndexResponse, MessageType::MsgReadIndexResp),
    (RaftKind::RequestPreVote, MessageType::MsgRequestPreVote),
    (RaftKind::RequestPreVoteResponse, MessageType::MsgRequestPreVoteResponse),
];

/// The message as it travels, but for a snapshot's bytes; none for one that stays at home.
pub(super) fn to_wire(generation: u64, mut message: Message) -> Option<RaftMessage> {
    let (kind, _) = *KINDS.iter().find(|(_, theirs)| *theirs == message.get_msg_type())?;
    Some(RaftMessage {
        generation,
        kind,
        from: ReplicaId(message.from),
        to: ReplicaId(message.to),
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: List::new(message.take_entries().iter().map(entry_to_wire).collect()),
        commit: message.commit,
        commit_term: message.commit_term,
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: List::new(message.take_context().to_vec()),
    })
}

/// The message as `raft` takes it.
pub(super) fn from_wire(wire: RaftMessage) -> Message {
    let kind = KINDS.iter().find(|(kind, _)| *kind == wire.kind).map(|(_, theirs)| *theirs);
    let mut message = Message::default();
    message.set_msg_type(kind.expect("the table has every kind"));
    message.from = wire.from.0;
    message.to = wire.to.0;
    message.term = wire.term;
    message.log_term = wire.log_term;
    message.index = wire.index;
    message.set_entries(wire.entries.into_vec().into_iter().map(entry_from_wire).collect());
    message.commit = wire.commit;
    message.commit_term = wire.commit_term;
    message.reject = wire.reject;
    message.reject_hint = wire.reject_hint;
    message.context = wire.context.into_vec().into();
    message
}

pub(super) fn entry_to_wire(entry: &Entry) -> LogEntry {
    LogEntry { term: entry.term, index: entry.index, content: content(entry) }
}

/// What an entry says.
pub(super) fn content(entry: &Entry) -> Content {
    match entry.get_entry_type() {
        EntryType::EntryNormal if entry.data.is_empty() => Content::Blank,
        EntryType::EntryNormal => Content::Command(List::new(entry.data.to_vec())),
        // `raft` ends a change of several steps by itself, with an entry that has no context.
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 if entry.context.is_empty() => {
            Content::Reform(Reform::default())
        }
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
            Content::Reform(codec::decode(&entry.context).expect("the context is ours"))
        }
    }
}

pub(super) fn entry_from_wire(wire: LogEntry) -> Entry {
    let mut entry = Entry { term: wire.term, index: wire.index, ..Entry::default() };
    match wire.content {
        Content::Blank => {}
        Content::Command(bytes) => entry.data = bytes.into_vec().into(),
        Content::Reform(reform) => {
            entry.set_entry_type(EntryType::EntryConfChangeV2);
            entry.context = context(&reform).into();
        }
    }
    entry
}

/// What stands for a change of the members in an entry; nothing for the end of one.
pub(super) fn context(reform: &Reform) -> Vec<u8> {
    if *reform == Reform::default() { Vec::new() } else { codec::encode(reform) }
}

/// The change as `raft` takes it: in one step if it is one, else by way of both memberships at once, which it leaves by itself.
pub(super) fn conf_change(reform: &Reform) -> ConfChangeV2 {
    let single = |kind, id: ReplicaId| {
        let mut single = ConfChangeSingle::default();
        single.set_change_type(kind);
        single.node_id = id.0;
        single
    };
    let remove = reform.remove.map(|id| single(ConfChangeType::RemoveNode, id));
    let add = reform.add.as_ref().map(|(id, _)| single(ConfChangeType::AddNode, *id));
    let mut change = ConfChangeV2::default();
    change.set_transition(ConfChangeTransition::Auto);
    change.set_changes(remove.into_iter().chain(add).collect());
    change
}
