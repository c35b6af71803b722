//! Simulated members of a group: they join, share out partitions, commit, fall silent, vanish, leave and come back,
//! while the broker crashes.
//!
//! A member commits one number after the other for each partition of its share, on from what it fetched. So what one
//! member was told binds all that come after it.

use super::client::{
    Call, Client, FIND_COORDINATOR, HEARTBEAT, JOIN_GROUP, LEAVE_GROUP, OFFSET_COMMIT, OFFSET_FETCH,
    SYNC_GROUP,
};
use super::standing::{Standing, TOPIC, dealt};
use super::workload::{Run, topic_name};
use crate::base::ErrorCode;
use crate::wire::Str;
use crate::wire::generated::leave_group_request::MemberIdentity;
use crate::wire::generated::offset_fetch_request::OffsetFetchRequestTopic;
use crate::wire::generated::sync_group_request::SyncGroupRequestAssignment;
use crate::wire::generated::{
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatResponse, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, SyncGroupResponse,
};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The only group.
pub(super) const GROUP: &str = "group";

/// The first epoch that a member of a consumer group is told.
const FIRST_EPOCH: i32 = 2;

/// What members of the group were told.
#[derive(Debug, Default)]
pub struct GroupHistory {
    /// Who holds a partition, by generation.
    owners: BTreeMap<(i32, i32), Str>,
    /// The highest number that was acknowledged or fetched, by partition: it is never taken back.
    floor: BTreeMap<i32, i64>,
    /// The latest generation in which somebody took a share.
    newest: i32,
    /// Commits that were acknowledged.
    pub commits: usize,
}

impl GroupHistory {
    pub(super) fn owns(&mut self, generation: i32, partition: i32, member: &Str) {
        self.newest = self.newest.max(generation);
        let other = self.owners.insert((generation, partition), member.clone());
        assert!(
            other.as_ref().is_none_or(|other| other == member),
            "partition {partition} has two owners in generation {generation}: {other:?} and {member}"
        );
    }

    /// Forgets who held what if this epoch is an old one.
    pub(super) fn begin_anew_below(&mut self, epoch: i32) {
        if epoch < self.newest || epoch <= FIRST_EPOCH {
            (self.owners, self.newest) = (BTreeMap::new(), epoch);
        }
    }

    pub(super) fn floor(&self, partition: i32) -> i64 {
        self.floor.get(&partition).copied().unwrap_or(-1)
    }

    pub(super) fn raise(&mut self, partition: i32, number: i64) {
        let floor = self.floor.entry(partition).or_insert(-1);
        *floor = (*floor).max(number);
    }
}

/// A partition of a member's share, and the last number that it knows to be committed.
pub(super) type Share = BTreeMap<i32, i64>;

/// One member.
struct Member {
    run: Rc<Run>,
    partitions: i32,
    /// A static member's name.
    instance: Option<Str>,
    id: Str,
    generation: i32,
}

/// Runs one member until the run ends.
pub(super) async fn member(run: Rc<Run>, number: u64, partitions: i32) {
    let instance = run.exec.chance(50).then(|| Str::from(format!("static-{number}")));
    let mut member = Member { run, partitions, instance, id: Str::EMPTY, generation: -1 };
    while !member.run.ending.get() {
        let client = member.run.client().await;
        // Whatever ends a try, the next one begins with a new connection.
        let _ = member.work(&client).await;
        member.run.exec.sleep(member.run.exec.micros(0, 5000)).await;
    }
}

/// Whether a coordinator may answer so at any time: it isn't here, or not yet, or its disk failed.
pub(super) fn is_away(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator
    )
}

pub(super) fn code(number: i16) -> ErrorCode {
    ErrorCode::from_code(number).expect("a code of the protocol")
}

impl Member {
    /// Joins, takes its share and works on it; `None` when it has to begin anew.
    async fn work(&mut self, client: &Client) -> Option<()> {
        find(client, GROUP).await?;
        let members = self.join(client).await?;
        let mut share = self.sync(client, &members).await?;
        self.fetch(client, &mut share).await?;
        for _ in 0..self.run.exec.below(60) {
            if self.run.ending.get() {
                break;
            }
            let exec = self.run.exec.clone();
            match exec.below(40) {
                0 => return self.leave(client).await,
                // It vanishes; a static one comes back as itself.
                1 => {
                    self.id = Str::EMPTY;
                    return None;
                }
                // It is stuck for longer than its session lasts, and goes on as if nothing had been.
                2 => exec.sleep(exec.micros(50_000, 400_000)).await,
                3..12 => self.beat(client).await?,
                _ => self.commit(client, &mut share).await?,
            }
            exec.sleep(exec.micros(0, 10_000)).await;
        }
        Some(())
    }

    /// Takes note of an error; the member begins anew.
    fn begin_anew<T>(&mut self, what: Call, error: ErrorCode) -> Option<T> {
        match error {
            _ if is_away(error) => {}
            ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration => {}
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => self.id = Str::EMPTY,
            error => panic!("a member's {what:?} is answered by {error}"),
        }
        None
    }

    fn standing(&self) -> Standing<'_> {
        let (id, instance, epoch) = (&self.id, &self.instance, self.generation);
        Standing { group: GROUP, id, instance, epoch }
    }

    /// Everybody's ids, for the leader.
    async fn join(&mut self, client: &Client) -> Option<Vec<Str>> {
        for _ in 0..2 {
            let request = self.standing().join("sim", Bytes::new());
            let answer: JoinGroupResponse = client.call(JOIN_GROUP, &request).await?;
            match code(answer.error_code) {
                ErrorCode::None => {
                    (self.id, self.generation) = (answer.member_id, answer.generation_id);
                    return Some(answer.members.into_iter().map(|member| member.member_id).collect());
                }
                ErrorCode::MemberIdRequired => self.id = answer.member_id,
                error => return self.begin_anew(JOIN_GROUP, error),
            }
        }
        None
    }

    async fn sync(&mut self, client: &Client, members: &[Str]) -> Option<Share> {
        let share = |(nth, member): (usize, &Str)| SyncGroupRequestAssignment {
            member_id: member.clone(),
            assignment: dealt(self.partitions, nth, members.len())
                .map(|partition| u8::try_from(partition).expect("few partitions"))
                .collect::<Vec<u8>>()
                .into(),
        };
        let request = self.standing().sync(members.iter().enumerate().map(share).collect());
        let answer: SyncGroupResponse = client.call(SYNC_GROUP, &request).await?;
        let error = code(answer.error_code);
        if !error.is_ok() {
            return self.begin_anew(SYNC_GROUP, error);
        }
        let mut history = self.run.group.borrow_mut();
        let share: Share = answer.assignment.iter().map(|partition| (i32::from(*partition), -1)).collect();
        // A static member that comes back has a new id and its old share.
        let owner = self.instance.as_ref().unwrap_or(&self.id);
        share.keys().for_each(|partition| history.owns(self.generation, *partition, owner));
        Some(share)
    }

    async fn beat(&mut self, client: &Client) -> Option<()> {
        let answer: HeartbeatResponse = client.call(HEARTBEAT, &self.standing().heartbeat()).await?;
        match code(answer.error_code) {
            ErrorCode::None => Some(()),
            error => self.begin_anew(HEARTBEAT, error),
        }
    }

    async fn leave(&mut self, client: &Client) -> Option<()> {
        let member = MemberIdentity { member_id: self.id.clone(), ..Default::default() };
        let request =
            LeaveGroupRequest { group_id: GROUP.into(), members: vec![member], ..Default::default() };
        let answer: LeaveGroupResponse = client.call(LEAVE_GROUP, &request).await?;
        self.id = Str::EMPTY;
        let error = code(answer.error_code);
        assert!(error.is_ok() || is_away(error), "a LeaveGroup is answered by {error}");
        None
    }

    async fn fetch(&mut self, client: &Client, share: &mut Share) -> Option<()> {
        let indexes: Vec<i32> = share.keys().copied().collect();
        for (partition, number) in fetched(&self.run.group, client, GROUP, &indexes).await? {
            share.insert(partition, number);
        }
        Some(())
    }

    /// Commits the next number of each partition of the share.
    async fn commit(&mut self, client: &Client, share: &mut Share) -> Option<()> {
        if share.is_empty() {
            return self.beat(client).await;
        }
        let request = self.standing().commit(share);
        let newest = self.run.group.borrow().newest;
        let answer: OffsetCommitResponse = client.call(OFFSET_COMMIT, &request).await?;
        let mut history = self.run.group.borrow_mut();
        let mut failed = None;
        for told in &answer.topics[0].partitions {
            match code(told.error_code) {
                ErrorCode::None => {
                    assert!(
                        newest <= self.generation,
                        "generation {newest} has begun: older ones commit no more"
                    );
                    let number = share.get_mut(&told.partition_index).expect("it was asked for");
                    *number += 1;
                    history.raise(told.partition_index, *number);
                    history.commits += 1;
                }
                error => failed = Some(error),
            }
        }
        drop(history);
        match failed {
            None => Some(()),
            Some(error) => self.begin_anew(OFFSET_COMMIT, error),
        }
    }
}

/// Waits until the broker has a coordinator; the first to ask makes it so.
pub(super) async fn find(client: &Client, group: &str) -> Option<()> {
    let request = FindCoordinatorRequest { key: group.into(), ..Default::default() };
    let answer: FindCoordinatorResponse = client.call(FIND_COORDINATOR, &request).await?;
    let error = code(answer.error_code);
    assert!(error.is_ok() || is_away(error), "FindCoordinator is answered by {error}");
    error.is_ok().then_some(())
}

/// The committed numbers; none may be below what anybody was told before this was asked.
pub(super) async fn fetched(
    history: &RefCell<GroupHistory>,
    client: &Client,
    group: &str,
    partitions: &[i32],
) -> Option<Vec<(i32, i64)>> {
    let floors: Vec<i64> = partitions.iter().map(|index| history.borrow().floor(*index)).collect();
    let topic =
        OffsetFetchRequestTopic { name: topic_name(TOPIC).into(), partition_indexes: partitions.to_vec() };
    let request =
        OffsetFetchRequest { group_id: group.into(), topics: Some(vec![topic]), ..Default::default() };
    let answer: OffsetFetchResponse = client.call(OFFSET_FETCH, &request).await?;
    let error = code(answer.error_code);
    if !error.is_ok() {
        assert!(is_away(error), "OffsetFetch is answered by {error}");
        return None;
    }
    let mut numbers = Vec::with_capacity(partitions.len());
    let mut history = history.borrow_mut();
    for (told, floor) in answer.topics[0].partitions.iter().zip(floors) {
        let (index, number) = (told.partition_index, told.committed_offset);
        assert!(number >= floor, "partition {index} of {group}: {floor} was told, then {number}");
        history.raise(index, number);
        numbers.push((index, number));
    }
    Some(numbers)
}

/// Asks for all offsets at the end.
pub(super) async fn judge(run: &Run, history: &RefCell<GroupHistory>, group: &str, partitions: i32) {
    let all: Vec<i32> = (0..partitions).collect();
    loop {
        let client = run.client().await;
        if find(&client, group).await.is_some() && fetched(history, &client, group, &all).await.is_some() {
            return;
        }
        run.exec.sleep(run.exec.micros(0, 5000)).await;
    }
}
