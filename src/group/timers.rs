//! Deadlines of a coordinator's groups and members.

use crate::wire::Str;

/// What is due at some time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A member's session, or the wait for a new member's second JoinGroup: group, member.
    Session(Str, Str),
    /// The time in which a member of a consumer group has to give up partitions or to rejoin: group, member.
    Step(Str, Str),
    /// The wait for members to rejoin.
    Join(Str),
    /// The wait for members to ask for their assignments.
    Sync(Str),
    /// The next look at offsets that nobody needs any more.
    Retention,
}

/// Which timers run.
pub(super) type Timers = crate::base::Timers<Timer>;
