//! Simulated members of both protocols in one group: each life of a member speaks one of them, so that the group
//! changes its protocol again and again, while members stall, vanish, leave, come back, commit late, and the broker
//! crashes.
//!
//! A member commits one number after the other for each partition of its share, on from what it fetched. A commit that
//! is acknowledged although another member has gone on from there shows that a partition had two owners.

use super::client::{
    CONSUMER_HEARTBEAT, Call, Client, HEARTBEAT, JOIN_GROUP, LEAVE_GROUP, OFFSET_COMMIT_EPOCHS, SYNC_GROUP,
};
use super::groups::{self, GroupHistory, Share, code, is_away};
use super::standing::{REBALANCE_MS, Standing, TOPIC, dealt};
use super::workload::{Run, topic_name};
use crate::base::{ErrorCode, TopicId};
use crate::wire::generated::consumer_group_heartbeat_request::TopicPartitions;
use crate::wire::generated::consumer_protocol_assignment::TopicPartition;
use crate::wire::generated::leave_group_request::MemberIdentity;
use crate::wire::generated::sync_group_request::SyncGroupRequestAssignment;
use crate::wire::generated::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, ConsumerProtocolAssignment,
    ConsumerProtocolSubscription, HeartbeatResponse, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, OffsetCommitResponse, SyncGroupResponse,
};
use crate::wire::{Decode, Encode, Reader, Str, Writer};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// The group.
const GROUP: &str = "mixed";

/// How long most members agree on a protocol, in milliseconds.
const FASHION_MS: u128 = 300;

/// Epochs with which a member joins, leaves, and leaves to come back.
const JOINS: i32 = 0;
const LEAVES: i32 = -1;
const LEAVES_FOR_NOW: i32 = -2;

/// One member, through all its lives.
struct Member {
    run: Rc<Run>,
    number: u64,
    partitions: i32,
    lives: u32,
    /// A static member's name.
    instance: Option<Str>,
    id: Str,
    epoch: i32,
    /// The topic's id, once it was told.
    topic: TopicId,
    share: Share,
}

/// Whether a life is over, and how the next one begins.
enum Ended {
    /// Another connection, the same member.
    Cut,
    /// The member is gone, whatever it had.
    Dead,
}

type Step<T> = Result<T, Ended>;

/// Runs one member until the run ends.
pub(super) async fn member(run: Rc<Run>, number: u64, partitions: i32) {
    let instance = run.exec.chance(30).then(|| Str::from(format!("mixed-{number}")));
    let mut member = Member {
        run,
        number,
        partitions,
        lives: 0,
        instance,
        id: Str::EMPTY,
        epoch: JOINS,
        topic: TopicId::ZERO,
        share: Share::new(),
    };
    while !member.run.ending.get() {
        let is_classic = member.is_classic();
        member.begin(is_classic);
        while !member.run.ending.get() {
            let client = member.run.client().await;
            let ended =
                if is_classic { member.live_classic(&client).await } else { member.live(&client).await };
            member.run.exec.sleep(member.run.exec.micros(0, 5000)).await;
            if matches!(ended, Err(Ended::Dead)) {
                break;
            }
        }
    }
}

/// Asks for all offsets at the end.
pub(super) async fn judge(run: &Run, partitions: i32) {
    groups::judge(run, &run.mixed, GROUP, partitions).await;
}

impl Member {
    fn history(&self) -> &RefCell<GroupHistory> {
        &self.run.mixed
    }

    fn standing(&self) -> Standing<'_> {
        Standing { group: GROUP, id: &self.id, instance: &self.instance, epoch: self.epoch }
    }

    /// A static member is itself under any id.
    fn owner(&self) -> Str {
        self.instance.clone().unwrap_or_else(|| self.id.clone())
    }

    /// Which protocol a life speaks. Most members agree on it for a while: a group of the classic protocol that has
    /// shared out its partitions is what the first member of the other one is to find now and then.
    fn is_classic(&self) -> bool {
        let exec = &self.run.exec;
        let fashion = (exec.now().as_millis() / FASHION_MS).is_multiple_of(2);
        if exec.chance(85) { fashion } else { !fashion }
    }

    fn begin(&mut self, is_classic: bool) {
        self.lives += 1;
        self.id = if is_classic { Str::EMPTY } else { format!("{}-{}", self.number, self.lives).into() };
        (self.epoch, self.share) = (JOINS, Share::new());
    }

    /// Takes note of an error.
    fn stumble(&mut self, what: Call, error: ErrorCode) -> Ended {
        match error {
            _ if is_away(error) => Ended::Cut,
            ErrorCode::RebalanceInProgress
            | ErrorCode::IllegalGeneration
            | ErrorCode::StaleMemberEpoch
            | ErrorCode::FencedMemberEpoch => {
                (self.epoch, self.share) = (JOINS, Share::new());
                Ended::Cut
            }
            ErrorCode::UnknownMemberId
            | ErrorCode::FencedInstanceId
            | ErrorCode::UnreleasedInstanceId
            // The group speaks the other protocol by now.
            | ErrorCode::GroupIdNotFound => Ended::Dead,
            error => panic!("a mixed member's {what:?} is answered by {error}"),
        }
    }

    /// A while of a member of the consumer protocol.
    async fn live(&mut self, client: &Client) -> Step<()> {
        groups::find(client, GROUP).await.ok_or(Ended::Cut)?;
        for _ in 0..self.run.exec.below(80) {
            if self.run.ending.get() {
                break;
            }
            let exec = self.run.exec.clone();
            match exec.below(40) {
                0 if self.epoch != JOINS => return self.leave(client).await,
                1 => return Err(Ended::Dead),
                2 => exec.sleep(exec.micros(50_000, 400_000)).await,
                3..20 if !self.share.is_empty() => self.commit(client, self.share.clone()).await?,
                _ => self.beat(client).await?,
            }
            exec.sleep(exec.micros(0, 8000)).await;
        }
        Ok(())
    }

    fn heartbeat(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        let joins = epoch == JOINS;
        let own = TopicPartitions { topic_id: self.topic, partitions: self.share.keys().copied().collect() };
        ConsumerGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: self.id.clone(),
            member_epoch: epoch,
            instance_id: self.instance.clone(),
            rebalance_timeout_ms: if joins { REBALANCE_MS } else { -1 },
            subscribed_topic_names: joins.then(|| vec![topic_name(TOPIC).into()]),
            topic_partitions: Some(if self.share.is_empty() { Vec::new() } else { vec![own] }),
            ..Default::default()
        }
    }

    async fn beat(&mut self, client: &Client) -> Step<()> {
        let request = self.heartbeat(self.epoch);
        let answer: ConsumerGroupHeartbeatResponse =
            client.call(CONSUMER_HEARTBEAT, &request).await.ok_or(Ended::Cut)?;
        match code(answer.error_code) {
            ErrorCode::None => {}
            error => return Err(self.stumble(CONSUMER_HEARTBEAT, error)),
        }
        assert!(answer.member_epoch >= self.epoch, "a member's epoch never goes back");
        self.epoch = answer.member_epoch;
        if let Some(assignment) = answer.assignment {
            let told: BTreeSet<i32> =
                assignment.topic_partitions.iter().flat_map(|own| own.partitions.iter().copied()).collect();
            self.topic = assignment.topic_partitions.first().map_or(self.topic, |own| own.topic_id);
            self.take(client, told).await?;
        }
        self.note();
        Ok(())
    }

    /// Gives up what isn't its own any more and goes on with what is new from where the last owner was.
    async fn take(&mut self, client: &Client, told: BTreeSet<i32>) -> Step<()> {
        let (kept, gone): (Share, Share) =
            std::mem::take(&mut self.share).into_iter().partition(|(partition, _)| told.contains(partition));
        self.share = kept;
        if !gone.is_empty() && self.run.exec.chance(30) {
            self.commit_late(gone);
        }
        let new: Vec<i32> =
            told.into_iter().filter(|partition| !self.share.contains_key(partition)).collect();
        if !new.is_empty() {
            let found = groups::fetched(self.history(), client, GROUP, &new).await;
            self.share.extend(found.ok_or(Ended::Cut)?);
        }
        Ok(())
    }

    /// Sends a commit after the partitions were given up, as a client does whose commit was under way.
    fn commit_late(&self, gone: Share) {
        let late = Member {
            run: self.run.clone(),
            instance: self.instance.clone(),
            id: self.id.clone(),
            share: Share::new(),
            ..*self
        };
        self.run.spawn(async move {
            let mut late = late;
            let exec = late.run.exec.clone();
            exec.sleep(exec.micros(0, 60_000)).await;
            if let Some(end) = late.run.node.connect() {
                let client = Client::new(&exec, end);
                let _ = late.commit(&client, gone).await;
            }
        });
    }

    /// Notes what it has in its epoch. A group that was empty counts its epochs anew, so an epoch that is below one
    /// that was seen ends what was noted.
    fn note(&self) {
        let owner = self.owner();
        let mut history = self.history().borrow_mut();
        history.begin_anew_below(self.epoch);
        self.share.keys().for_each(|partition| history.owns(self.epoch, *partition, &owner));
    }

    /// Commits the next number of each partition.
    async fn commit(&mut self, client: &Client, share: Share) -> Step<()> {
        let request = self.standing().commit(&share);
        let floors: Share =
            share.keys().map(|index| (*index, self.history().borrow().floor(*index))).collect();
        let answer: OffsetCommitResponse =
            client.call(OFFSET_COMMIT_EPOCHS, &request).await.ok_or(Ended::Cut)?;
        let mut failed = None;
        for told in &answer.topics[0].partitions {
            let index = told.partition_index;
            match code(told.error_code) {
                ErrorCode::None => {
                    let number = share[&index] + 1;
                    assert!(
                        floors[&index] <= number,
                        "{} commits {number} for partition {index}, and {} was told before",
                        self.id,
                        floors[&index]
                    );
                    if let Some(mine) = self.share.get_mut(&index) {
                        *mine = number;
                    }
                    let mut history = self.run.mixed.borrow_mut();
                    history.raise(index, number);
                    history.commits += 1;
                }
                error => failed = Some(error),
            }
        }
        match failed {
            None => Ok(()),
            Some(error) => Err(self.stumble(OFFSET_COMMIT_EPOCHS, error)),
        }
    }

    async fn leave(&mut self, client: &Client) -> Step<()> {
        let for_now = self.instance.is_some() && self.run.exec.chance(60);
        let request = self.heartbeat(if for_now { LEAVES_FOR_NOW } else { LEAVES });
        let answer: ConsumerGroupHeartbeatResponse =
            client.call(CONSUMER_HEARTBEAT, &request).await.ok_or(Ended::Dead)?;
        match code(answer.error_code) {
            ErrorCode::None => Err(Ended::Dead),
            error => Err(self.stumble(CONSUMER_HEARTBEAT, error)),
        }
    }

    /// A while of a member of the classic protocol, which gives up everything before it joins.
    async fn live_classic(&mut self, client: &Client) -> Step<()> {
        self.share.clear();
        groups::find(client, GROUP).await.ok_or(Ended::Cut)?;
        let members = self.join(client).await?;
        self.sync(client, &members).await?;
        for _ in 0..self.run.exec.below(60) {
            if self.run.ending.get() {
                break;
            }
            let exec = self.run.exec.clone();
            match exec.below(40) {
                0 => return self.leave_classic(client).await,
                1 => return Err(Ended::Dead),
                2 => exec.sleep(exec.micros(50_000, 400_000)).await,
                3..20 if !self.share.is_empty() => self.commit(client, self.share.clone()).await?,
                _ => self.beat_classic(client).await?,
            }
            exec.sleep(exec.micros(0, 8000)).await;
        }
        Ok(())
    }

    /// Everybody's ids, for a leader.
    async fn join(&mut self, client: &Client) -> Step<Vec<Str>> {
        let says = ConsumerProtocolSubscription {
            topics: vec![topic_name(TOPIC).into()],
            generation_id: -1,
            ..Default::default()
        };
        for _ in 0..2 {
            let request = self.standing().join("consumer", versioned(&says));
            let answer: JoinGroupResponse = client.call(JOIN_GROUP, &request).await.ok_or(Ended::Cut)?;
            match code(answer.error_code) {
                ErrorCode::None => {
                    (self.id, self.epoch) = (answer.member_id, answer.generation_id);
                    return Ok(answer.members.into_iter().map(|member| member.member_id).collect());
                }
                ErrorCode::MemberIdRequired => self.id = answer.member_id,
                error => return Err(self.stumble(JOIN_GROUP, error)),
            }
        }
        Err(Ended::Cut)
    }

    async fn sync(&mut self, client: &Client, members: &[Str]) -> Step<()> {
        let share = |(nth, member): (usize, &Str)| {
            let own = dealt(self.partitions, nth, members.len());
            let own = TopicPartition { topic: topic_name(TOPIC).into(), partitions: own.collect() };
            let message = ConsumerProtocolAssignment { assigned_partitions: vec![own], user_data: None };
            SyncGroupRequestAssignment { member_id: member.clone(), assignment: versioned(&message) }
        };
        let request = self.standing().sync(members.iter().enumerate().map(share).collect());
        let answer: SyncGroupResponse = client.call(SYNC_GROUP, &request).await.ok_or(Ended::Cut)?;
        match code(answer.error_code) {
            ErrorCode::None => {}
            error => return Err(self.stumble(SYNC_GROUP, error)),
        }
        let mut reader = Reader::new(answer.assignment);
        let version = reader.i16().expect("an assignment has a version");
        let told = ConsumerProtocolAssignment::decode(&mut reader, version).expect("an assignment");
        let told = told.assigned_partitions.into_iter().flat_map(|own| own.partitions).collect();
        self.take(client, told).await?;
        self.note();
        Ok(())
    }

    async fn beat_classic(&mut self, client: &Client) -> Step<()> {
        let answer: HeartbeatResponse =
            client.call(HEARTBEAT, &self.standing().heartbeat()).await.ok_or(Ended::Cut)?;
        match code(answer.error_code) {
            ErrorCode::None => Ok(()),
            error => Err(self.stumble(HEARTBEAT, error)),
        }
    }

    async fn leave_classic(&mut self, client: &Client) -> Step<()> {
        let member = MemberIdentity {
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            ..Default::default()
        };
        let request =
            LeaveGroupRequest { group_id: GROUP.into(), members: vec![member], ..Default::default() };
        let _: LeaveGroupResponse = client.call(LEAVE_GROUP, &request).await.ok_or(Ended::Dead)?;
        Err(Ended::Dead)
    }
}

/// What consumers tell each other, in version 1.
fn versioned(message: &impl Encode) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(1);
    message.encode(&mut writer, 1).expect("version 1 has every field that is set");
    writer.into_pieces().concat().into()
}
