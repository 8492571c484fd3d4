//! The commands: one table, from which lines are parsed, words completed and help is written.
//!
//! Invariant: every name and alias stands once in the table, in lower case, and every argument that a row allows has a kind.

/// Which command a row of the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    CreateUser,
    Login,
    Logout,
    WhoAmI,
    CreateGroup,
    JoinGroup,
    LeaveGroup,
    ListGroups,
    ListRequests,
    AcceptRequest,
    RejectRequest,
    ListMembers,
    MakeAdmin,
    RemoveMember,
    ListFiles,
    UploadFile,
    FileInfo,
    StopShare,
    RemoveFile,
    ShowShares,
    DownloadFile,
    ShowDownloads,
    Explain,
    StopDownload,
    Wait,
    Limit,
    Help,
    Quit,
}

/// What an argument is, for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing that could be completed: a password, a new name, a number.
    Free,
    /// A user.
    User,
    /// A group.
    Group,
    /// A file of the group named before it.
    File,
    /// A path on this machine.
    Path,
    /// A path on this machine, or a group: `upload_file` takes both orders.
    PathOrGroup,
    /// A command.
    Command,
}

/// The part of the help under which a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// Accounts and sessions.
    Account,
    /// Groups and their people.
    Group,
    /// Listing and sharing files.
    File,
    /// Fetching files.
    Download,
    /// The program itself.
    Program,
}

/// A command.
#[derive(Debug)]
pub(crate) struct Spec {
    /// Which one.
    pub(crate) verb: Verb,
    /// Its name.
    pub(crate) name: &'static str,
    /// Its other names.
    pub(crate) aliases: &'static [&'static str],
    /// Its arguments, as the usage line shows them.
    pub(crate) arguments: &'static str,
    /// What it does, in a line.
    pub(crate) brief: &'static str,
    /// What else there is to know.
    pub(crate) more: &'static str,
    /// How many arguments it may have, ascending; options do not count.
    pub(crate) counts: &'static [usize],
    /// What its arguments are.
    pub(crate) kinds: &'static [Kind],
    /// Its option, if it has one.
    pub(crate) option: Option<Switch>,
    /// Where it stands in the help.
    pub(crate) topic: Topic,
}

/// An option of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// `--json`: the listing as one JSON document.
    Json,
    /// `--when-replicated [copies]`: leave only when others hold what is shared here.
    WhenReplicated,
}

impl Switch {
    /// How it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Switch::Json => "--json",
            Switch::WhenReplicated => "--when-replicated",
        }
    }
}

impl Spec {
    /// The usage line, without the word "usage".
    pub(crate) fn usage(&self) -> String {
        let json = if self.option == Some(Switch::Json) { "[--json]" } else { "" };
        [self.name, self.arguments, json].join(" ").replace("  ", " ").trim_end().to_owned()
    }

    /// Its name, then its other names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// The command that `word` names, whatever its case.
pub(crate) fn find(word: &str) -> Option<&'static Spec> {
    COMMANDS.iter().find(|spec| spec.names().any(|name| name.eq_ignore_ascii_case(word)))
}

use Kind::{Command, File, Free, Group, Path, PathOrGroup, User};

/// Every command, in the order of the help.
pub(crate) const COMMANDS: &[Spec] = &[
    Spec {
        verb: Verb::CreateUser,
        name: "create_user",
        aliases: &[],
        arguments: "<user_id> [passwd]",
        brief: "make an account",
        more: "On a terminal the password may be left out: then it is asked for, twice, and not shown.",
        counts: &[1, 2],
        kinds: &[Free, Free],
        option: None,
        topic: Topic::Account,
    },
    Spec {
        verb: Verb::Login,
        name: "login",
        aliases: &[],
        arguments: "<user_id> [passwd]",
        brief: "begin a session",
        more: "What this user shared from this client before is shared again. On a terminal the password may be left out:\n\
               then it is asked for, and not shown.",
        counts: &[1, 2],
        kinds: &[Free, Free],
        option: None,
        topic: Topic::Account,
    },
    Spec {
        verb: Verb::Logout,
        name: "logout",
        aliases: &[],
        arguments: "[--when-replicated [copies]]",
        brief: "end the session, and stop serving",
        more: "The shares are remembered for the next login. With --when-replicated this client goes on serving until\n\
               everybody who asked for a file shared here has all of it, or until so many full copies are online elsewhere.",
        counts: &[0],
        kinds: &[],
        option: Some(Switch::WhenReplicated),
        topic: Topic::Account,
    },
    Spec {
        verb: Verb::WhoAmI,
        name: "whoami",
        aliases: &[],
        arguments: "",
        brief: "show who is logged in here",
        more: "With this device, the address where it listens, and its tracker.",
        counts: &[0],
        kinds: &[],
        option: Some(Switch::Json),
        topic: Topic::Account,
    },
    Spec {
        verb: Verb::CreateGroup,
        name: "create_group",
        aliases: &[],
        arguments: "<group_id>",
        brief: "make a group, owned by you",
        more: "",
        counts: &[1],
        kinds: &[Free],
        option: None,
        topic: Topic::Group,
    },
    Spec {
        verb: Verb::JoinGroup,
        name: "join_group",
        aliases: &[],
        arguments: "<group_id>",
        brief: "ask to join a group",
        more: "Its owner or an admin must accept; you are told when they did, at once or at your next login.",
        counts: &[1],
        kinds: &[Group],
        option: None,
        topic: Topic::Group,
    },
    Spec {
        verb: Verb::LeaveGroup,
        name: "leave_group",
        aliases: &[],
        arguments: "<group_id>",
        brief: "leave a group",
        more: "When the owner leaves, the longest-standing admin, else the longest-standing member, becomes owner. The last\n\
               to leave ends the group.",
        counts: &[1],
        kinds: &[Group],
        option: None,
        topic: Topic::Group,
    },
    Spec {
        verb: Verb::ListGroups,
        name: "list_groups",
        aliases: &[],
        arguments: "",
        brief: "list all groups, with your role in each",
        more: "",
        counts: &[0],
        kinds: &[],
        option: Some(Switch::Json),
        topic: Topic::Group,
    },
    Spec {
        verb: Verb::ListRequests,
        name: "list_requests",
        aliases: &["requests"],
        arguments: "<group_id>",
        brief: "list who waits to join a group",
        more: "For its owner and admins. `requests list_requests <group_id>` does the same.",
        counts: &[1],
        kinds: &[Group],
        option: Some(Switch::Json),
        topic: Topic::Group,
    },
    Spec {
        verb: Verb::AcceptRequest,
        name: "accept_request",
        aliases: &[],
        arguments: "<group_id> <user_id>",
        brief: "let somebody in who asked to join",
        more: "For the group's owner and admins.",
        counts: &[2],
        kinds: &[Group, User],
        option: None,
        topic: Topic::Group,
    },
    Spec {
        verb: Verb::RejectRequest,
        name: "reject_request",
        aliases: &[],
        arguments: "<group_id> <user_id>",
        brief: "turn down somebody who asked to join",
        more: "For the group's owner and admins.",
        counts: &[2],
        kinds: &[Group, User],
        option: None,
        topic: Topic::Group,
    },
    Spec {
        verb: Verb::ListMembers,
        name: "list_members",
        aliases: &[],
        arguments: "<group_id>",
        brief: "list a group's members",
        more: "For members: role, and whether they are online.",
        counts: &[1],
        kinds: &[Group],
        option: Some(Switch::Json),
        topic: Topic::Group,
    },
    Spec {
        verb: Verb::MakeAdmin,
        name: "make_admin",
        aliases: &[],
        arguments: "<group_id> <user_id>",
        brief: "let a member accept, reject and remove others",
        more: "For the group's owner.",
        counts: &[2],
        kinds: &[Group, User],
        option: None,
        topic: Topic::Group,
    },
    Spec {
        verb: Verb::RemoveMember,
        name: "remove_member",
        aliases: &[],
        arguments: "<group_id> <user_id>",
        brief: "remove a member",
        more: "For the group's owner and admins. Within seconds nobody gives the removed member any more bytes of the group.",
        counts: &[2],
        kinds: &[Group, User],
        option: None,
        topic: Topic::Group,
    },
    Spec {
        verb: Verb::ListFiles,
        name: "list_files",
        aliases: &["list_file"],
        arguments: "<group_id>",
        brief: "list a group's files",
        more: "For members. SEEDERS hold all of a file and are online, LEECHERS fetch it; a file is incomplete when those\n\
               online do not hold all of it together.",
        counts: &[1],
        kinds: &[Group],
        option: Some(Switch::Json),
        topic: Topic::File,
    },
    Spec {
        verb: Verb::UploadFile,
        name: "upload_file",
        aliases: &[],
        arguments: "<file_path> <group_id>",
        brief: "share a file with a group",
        more: "Its name, size and hashes are listed; its bytes stay here and go to those who ask. `<group_id> <file_path>\n\
               [size]` is accepted too: the word that names an existing file is the path.",
        counts: &[2, 3],
        kinds: &[PathOrGroup, PathOrGroup, Free],
        option: None,
        topic: Topic::File,
    },
    Spec {
        verb: Verb::FileInfo,
        name: "file_info",
        aliases: &[],
        arguments: "<group_id> <file_name>",
        brief: "show everything about a file",
        more: "Size, pieces, checksum (BLAKE3, as b3sum prints it), the short hash string (the first 20 hex digits of each\n\
               piece's SHA-1, joined), and who holds how much.",
        counts: &[2],
        kinds: &[Group, File],
        option: Some(Switch::Json),
        topic: Topic::File,
    },
    Spec {
        verb: Verb::StopShare,
        name: "stop_share",
        aliases: &[],
        arguments: "<group_id> <file_name>",
        brief: "stop serving a file from this client",
        more: "The file stays listed, and others go on serving it.",
        counts: &[2],
        kinds: &[Group, File],
        option: None,
        topic: Topic::File,
    },
    Spec {
        verb: Verb::RemoveFile,
        name: "remove_file",
        aliases: &[],
        arguments: "<group_id> <file_name>",
        brief: "unlist a file for the whole group",
        more: "For who shared it, and for the group's owner and admins. Nobody's copy is deleted.",
        counts: &[2],
        kinds: &[Group, File],
        option: None,
        topic: Topic::File,
    },
    Spec {
        verb: Verb::ShowShares,
        name: "show_shares",
        aliases: &[],
        arguments: "",
        brief: "list what this client shares",
        more: "",
        counts: &[0],
        kinds: &[],
        option: Some(Switch::Json),
        topic: Topic::File,
    },
    Spec {
        verb: Verb::DownloadFile,
        name: "download_file",
        aliases: &[],
        arguments: "<group_id> <file_name> [destination_path]",
        brief: "fetch a file, in the background",
        more: "The destination is a folder or a file name; the working folder if none is given. Nothing is overwritten, and\n\
               the file stands under its name only when it is complete and verified. A download that was stopped goes on\n\
               where it was. (A destination called q is written ./q.)",
        counts: &[2, 3],
        kinds: &[Group, File, Path],
        option: None,
        topic: Topic::Download,
    },
    Spec {
        verb: Verb::ShowDownloads,
        name: "show_downloads",
        aliases: &[],
        arguments: "",
        brief: "list the downloads of this session",
        more: "[D] under way, [C] complete and verified, [S] stopped, [E] failed.",
        counts: &[0],
        kinds: &[],
        option: Some(Switch::Json),
        topic: Topic::Download,
    },
    Spec {
        verb: Verb::Explain,
        name: "explain",
        aliases: &[],
        arguments: "<group_id> <file_name>",
        brief: "say why a download is slow or stuck",
        more: "What is missing, which missing piece fewest hold, what nobody connected holds, and each peer by its measured rate.",
        counts: &[2],
        kinds: &[Group, File],
        option: Some(Switch::Json),
        topic: Topic::Download,
    },
    Spec {
        verb: Verb::StopDownload,
        name: "stop_download",
        aliases: &[],
        arguments: "<group_id> <file_name>",
        brief: "stop a download, and keep what is verified",
        more: "A later download_file goes on from there.",
        counts: &[2],
        kinds: &[Group, File],
        option: None,
        topic: Topic::Download,
    },
    Spec {
        verb: Verb::Wait,
        name: "wait",
        aliases: &[],
        arguments: "[<group_id> <file_name>]",
        brief: "return when a download, or every download, has ended",
        more: "It fails if one failed. Ctrl-C ends the waiting, not the download.",
        counts: &[0, 2],
        kinds: &[Group, File],
        option: None,
        topic: Topic::Download,
    },
    Spec {
        verb: Verb::Limit,
        name: "limit",
        aliases: &["limits"],
        arguments: "[upload|download <rate|off>]",
        brief: "show or change how fast pieces may leave and come in",
        more: "A rate is in bytes a second: 500KB/s, 2MiB/s, 1.5M. It holds at once, over all links together, until this client ends;\n\
               --upload-limit and --download-limit set it at the start.",
        counts: &[0, 2],
        kinds: &[Free, Free],
        option: None,
        topic: Topic::Program,
    },
    Spec {
        verb: Verb::Help,
        name: "help",
        aliases: &["?"],
        arguments: "[command]",
        brief: "show all commands, or more about one",
        more: "",
        counts: &[0, 1],
        kinds: &[Command],
        option: None,
        topic: Topic::Program,
    },
    Spec {
        verb: Verb::Quit,
        name: "quit",
        aliases: &["exit"],
        arguments: "[--when-replicated [copies]]",
        brief: "leave cleanly, as Ctrl-D does",
        more: "Pieces on their way to others are sent to the end, for 2 s at most.\n\
               Peers and trackers are told, running downloads are stopped and can be resumed. With --when-replicated this\n\
               client goes on serving until everybody who asked for a file shared here has all of it, or until so many\n\
               full copies are online elsewhere.",
        counts: &[0],
        kinds: &[],
        option: Some(Switch::WhenReplicated),
        topic: Topic::Program,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_stands_once_and_in_lower_case() {
        let mut seen = BTreeSet::new();
        for name in COMMANDS.iter().flat_map(Spec::names) {
            assert!(seen.insert(name), "{name} stands twice");
            assert_eq!(name, name.to_lowercase());
        }
    }

    #[test]
    fn counts_are_ascending_and_every_argument_has_a_kind() {
        for spec in COMMANDS {
            assert!(spec.counts.is_sorted(), "{}", spec.name);
            assert_eq!(spec.counts.last(), Some(&spec.kinds.len()), "{}", spec.name);
        }
    }

    #[test]
    fn command_words_are_found_in_any_case() {
        let name = |word| find(word).map(|spec| spec.name);
        assert_eq!(name("LOGIN"), Some("login"));
        assert_eq!(name("Requests"), Some("list_requests"));
        assert_eq!(name("list_file"), Some("list_files"));
        assert_eq!(name(""), None);
    }
}
