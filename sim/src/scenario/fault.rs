//! What can go wrong in a scenario: the kinds of fault, what each needs to be said, and the ways in which peers break the rules.

use engine::time::Span;
use serde::Deserialize;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Its name in the file.
    pub name: String,
    /// What it is.
    pub kind: FaultKind,
    /// Whom it hits.
    pub whom: Whom,
    /// How many of them.
    pub share: f64,
    /// When it begins.
    pub at: Span,
    /// When it ends, if it does.
    pub until: Option<Span>,
    /// How often it strikes, instead of once for each that it hits.
    pub per_s: Option<f64>,
    /// How soon those come back that it takes away; never, if it does not say.
    pub back_after: Option<Span>,
    /// How likely it is on each occasion, how long it takes, how many times slower or faster things are.
    pub strength: Strength,
}

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// All honest peers that fetch.
    Fetchers,
    /// A class, by its place.
    Class(usize),
    /// The tracker.
    Tracker,
}

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    /// How likely it is on each occasion.
    pub chance: f64,
    /// A time, in whatever way the kind means it.
    pub amount: Span,
    /// A factor, in whatever way the kind means it.
    pub factor: f64,
}

/// A key that only some kinds of fault have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing more.
    Nothing,
    /// `chance`.
    Chance,
    /// `amount`.
    Amount,
    /// `chance` and `amount`.
    ChanceAndAmount,
    /// `factor`.
    Factor,
    /// `per_s`.
    PerS,
}

macro_rules! kinds {
    ($($variant:ident $name:literal $needs:ident $about:literal)*) => {
        /// What can go wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        pub enum FaultKind {
            $(#[doc = $about] #[serde(rename = $name)] $variant,)*
        }

        impl FaultKind {
            /// All kinds.
            pub const ALL: &[FaultKind] = &[$(FaultKind::$variant,)*];

            /// The name of the kind.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(FaultKind::$variant => $name,)* }
            }

            /// What must be said of it.
            #[must_use]
            pub const fn needs(self) -> Needs {
                match self { $(FaultKind::$variant => Needs::$needs,)* }
            }
        }
    };
}

kinds! {
    Crash "crash" Nothing "Peers die; their disks keep everything."
    CrashUnsynced "crash-unsynced" Nothing "Peers die; of what was written and not synced, their disks lose a random part."
    CrashDisk "crash-disk" Nothing "Peers die, and their disks with them."
    Churn "churn" PerS "Peers take their leave and come back."
    TrackerCrash "tracker-crash" Nothing "The tracker dies; what was not synced is lost."
    TrackerCrashDisk "tracker-crash-disk" Nothing "The tracker dies, and its disk with it: it comes back with a copy from the beginning of the run."
    Expel "expel" Nothing "Members are removed from the group, and let in again."
    Partition "partition" Nothing "Those it hits and all others cannot reach each other."
    OneWayPartition "one-way-partition" Nothing "Those it hits cannot reach the others, but hear them."
    Reset "reset" PerS "Connections of those it hits break, and what was on its way is lost."
    Delay "delay" Amount "Everything takes so much longer."
    Jitter "jitter" Amount "Everything takes longer by a random time of up to so much."
    Reorder "reorder" ChanceAndAmount "A message is held up for so long, so that those on other connections overtake it."
    DuplicateLinks "duplicate-links" Chance "A dial makes two connections, one of which nobody is at."
    SlowLine "slow-line" Factor "Bandwidth collapses by this factor."
    SlowDisk "slow-disk" Factor "Work of the disk takes so many times longer."
    FullDisk "full-disk" Nothing "There is no room on the disk."
    FailedSync "failed-sync" Chance "The disk fails to sync."
    CorruptPieces "corrupt-pieces" Chance "Pieces are spoilt as they are sent."
    CorruptDisk "corrupt-disk" Chance "Pieces of complete files are spoilt on the disk."
    ClockSkew "clock-skew" Factor "Clocks run faster or slower by this factor."
    ClockJump "clock-jump" Amount "Clocks jump ahead by so much."
    WrongDigest "wrong-digest" Chance "A worker computes a wrong digest of a piece that is right."
}

/// Whether a peer keeps to the rules, and how it breaks them if not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// It does.
    #[default]
    Honest,
    /// It sends spoilt pieces.
    Corrupt,
    /// It grants slots and then sends nothing.
    Mute,
    /// It grants slots, and takes each back when it is asked for a piece: what it says to hold it does not.
    Liar,
    /// It opens files, and then says nothing.
    Silent,
    /// It breaks the connection in the middle of each piece.
    Halves,
    /// It sends messages without end.
    Flood,
    /// It is no member, and asks for pieces all the same.
    Stranger,
    /// The same, with the ticket of a member.
    Thief,
    /// It is a member, and goes on asking for pieces when it is removed.
    Outcast,
}

impl Behaviour {
    /// Those who come for what they may not have, in order of name.
    pub const INTRUDERS: &[Behaviour] = &[Behaviour::Outcast, Behaviour::Stranger, Behaviour::Thief];

    /// All ways in which a peer that takes part breaks the rules.
    pub const BAD: &[Behaviour] = &[
        Behaviour::Corrupt,
        Behaviour::Mute,
        Behaviour::Liar,
        Behaviour::Silent,
        Behaviour::Halves,
        Behaviour::Flood,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Behaviour::Honest => "honest",
            Behaviour::Corrupt => "corrupt",
            Behaviour::Mute => "mute",
            Behaviour::Liar => "liar",
            Behaviour::Silent => "silent",
            Behaviour::Halves => "halves",
            Behaviour::Flood => "flood",
            Behaviour::Stranger => "stranger",
            Behaviour::Thief => "thief",
            Behaviour::Outcast => "outcast",
        }
    }

    /// Whether it comes for what it may not have, and has nothing to do with anybody otherwise.
    #[must_use]
    pub const fn intrudes(self) -> bool {
        matches!(self, Behaviour::Stranger | Behaviour::Thief | Behaviour::Outcast)
    }

    /// Whether it is a member of the group at first.
    #[must_use]
    pub const fn joins(self) -> bool {
        !matches!(self, Behaviour::Stranger | Behaviour::Thief)
    }
}

impl FaultKind {
    /// Whether it hits the tracker, whatever a scenario says.
    #[must_use]
    pub const fn is_the_trackers(self) -> bool {
        matches!(self, FaultKind::TrackerCrash | FaultKind::TrackerCrashDisk)
    }

    /// Whether it can hit the tracker if a scenario says so.
    #[must_use]
    pub const fn may_hit_tracker(self) -> bool {
        !matches!(
            self,
            FaultKind::Crash
                | FaultKind::CrashUnsynced
                | FaultKind::CrashDisk
                | FaultKind::Churn
                | FaultKind::Expel
                | FaultKind::FailedSync
                | FaultKind::CorruptPieces
                | FaultKind::CorruptDisk
                | FaultKind::WrongDigest
        )
    }

    /// Whether it takes those away that it hits, for good or for a while.
    #[must_use]
    pub const fn takes_away(self) -> bool {
        matches!(self, FaultKind::Crash | FaultKind::CrashUnsynced | FaultKind::CrashDisk | FaultKind::Churn)
    }

    /// Whether those it hits may do wrong without meaning to, so that others may rightly blame them.
    #[must_use]
    pub const fn taints(self) -> bool {
        matches!(self, FaultKind::CorruptPieces | FaultKind::CorruptDisk)
    }
}
