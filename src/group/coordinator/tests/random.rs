//! Random histories: clients that join, share out, commit, leave, fall silent and come back, over a log that may lose
//! what wasn't flushed. Whatever happens, what clients were told holds.

use super::*;
use crate::base::random::Random;

/// What one client believes.
#[derive(Clone, Debug, Default)]
struct Member {
    id: Str,
    generation: i32,
    share: Option<Bytes>,
    /// Its JoinGroup or SyncGroup under way.
    waits: Option<u64>,
}

struct Run {
    bench: Bench,
    random: Random,
    members: Vec<Member>,
    /// Records that are durable for sure.
    durable: usize,
    /// Commits under way, and the highest that was acknowledged.
    commits: Vec<(u64, i64)>,
    acknowledged: i64,
    next: i64,
    /// Who holds which share, by generation.
    shares: BTreeMap<i32, BTreeMap<Bytes, Str>>,
    crashes: usize,
    generations: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut bench = Bench::new();
        bench.flushes = false;
        Run {
            bench,
            random: Random::new(seed),
            members: vec![Member::default(); 4],
            durable: 0,
            commits: Vec::new(),
            acknowledged: -1,
            next: 0,
            shares: BTreeMap::new(),
            crashes: 0,
            generations: 0,
        }
    }

    fn act(&mut self) {
        let nth = usize::try_from(self.random.below(4)).expect("small");
        match self.random.below(20) {
            0..=7 => self.go_on(nth),
            8..=10 => self.flush(),
            11..=13 => self.commit(nth),
            14 => self.bench.pass(self.random.below(4000)),
            15 if self.random.chance(30) => self.bench.pass(self.random.below(40_000)),
            16 if self.random.chance(30) => self.leave(nth),
            17 if self.random.chance(30) => self.members[nth] = Member::default(),
            18 if self.random.chance(20) => self.crash(),
            _ => self.beat(nth),
        }
        self.listen();
    }

    /// A client does what comes next for it.
    fn go_on(&mut self, nth: usize) {
        let member = self.members[nth].clone();
        if member.waits.is_some() {
            return;
        }
        let question = if member.generation == 0 {
            self.bench.join_with(9, join(&member.id))
        } else if member.share.is_none() {
            // Whoever leads knows all; here every member offers shares, and only the leader's are taken.
            let ids: Vec<Str> = self.members.iter().map(|member| member.id.clone()).collect();
            let all: [&'static [u8]; 4] = [b"0", b"1", b"2", b"3"];
            let shares: Vec<_> = ids.iter().map(Str::as_str).zip(all).collect();
            self.bench.sync(&member.id, member.generation, &shares)
        } else {
            return self.beat(nth);
        };
        self.members[nth].waits = Some(question);
    }

    fn beat(&mut self, nth: usize) {
        let Member { id, generation, waits, .. } = self.members[nth].clone();
        if generation == 0 || waits.is_some() {
            return;
        }
        let request = HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: generation,
            member_id: id,
            ..Default::default()
        };
        self.members[nth].waits = Some(self.bench.ask(GroupOp::Heartbeat(request)));
    }

    fn commit(&mut self, nth: usize) {
        let Member { id, generation, share, .. } = self.members[nth].clone();
        if share.is_some() {
            self.next += 1;
            let request = commit(&id, generation, self.next);
            let question = self.bench.ask(GroupOp::Commit { request, version: 9 });
            self.commits.push((question, self.next));
        }
    }

    fn leave(&mut self, nth: usize) {
        let id = std::mem::take(&mut self.members[nth]).id;
        if !id.is_empty() {
            let members = vec![MemberIdentity { member_id: id, ..Default::default() }];
            let request = LeaveGroupRequest { group_id: GROUP.into(), members, ..Default::default() };
            self.bench.ask(GroupOp::Leave(request));
        }
    }

    fn flush(&mut self) {
        self.durable = self.bench.log.len();
        self.bench.flush();
    }

    /// The process dies and the disk keeps what was flushed, and maybe more.
    fn crash(&mut self) {
        let lost = self.bench.log.len() - self.durable;
        let kept = usize::try_from(self.random.below(lost as u64 + 1)).expect("small");
        self.bench.log.truncate(self.durable + kept);
        self.durable = self.bench.log.len();
        self.bench.replies.clear();
        self.bench.restart();
        self.commits.clear();
        self.members.iter_mut().for_each(|member| member.waits = None);
        self.crashes += 1;
        let kept = self.bench.coordinator.offsets.get(GROUP, "t", 0).map_or(-1, |committed| committed.offset);
        assert!(kept >= self.acknowledged, "an acknowledged commit went: {kept} of {}", self.acknowledged);
    }

    /// Clients read their answers.
    fn listen(&mut self) {
        let bench = &mut self.bench;
        self.commits.retain(|(question, offset)| match bench.reply(*question) {
            None => true,
            Some(GroupReply::Commit(response)) => {
                if response.topics[0].partitions[0].error_code == 0 {
                    self.acknowledged = self.acknowledged.max(*offset);
                }
                false
            }
            Some(other) => panic!("not an answer to a commit: {other:?}"),
        });
        for nth in 0..self.members.len() {
            let Some(question) = self.members[nth].waits else { continue };
            let Some(reply) = self.bench.reply(question) else { continue };
            self.members[nth].waits = None;
            self.hear(nth, reply);
        }
    }

    fn hear(&mut self, nth: usize, reply: GroupReply) {
        let member = &mut self.members[nth];
        let error = match &reply {
            GroupReply::Join(response) => code(response.error_code),
            GroupReply::Sync(response) => code(response.error_code),
            GroupReply::Heartbeat(response) => code(response.error_code),
            other => panic!("not an answer to a member: {other:?}"),
        };
        match (error, reply) {
            (ErrorCode::MemberIdRequired, GroupReply::Join(response)) => member.id = response.member_id,
            (ErrorCode::None, GroupReply::Join(response)) => {
                (member.id, member.generation, member.share) =
                    (response.member_id, response.generation_id, None);
                self.generations += 1;
            }
            (ErrorCode::None, GroupReply::Sync(response)) => {
                let holder = (member.id.clone(), response.assignment.clone());
                member.share = Some(response.assignment);
                let shares = self.shares.entry(member.generation).or_default();
                if !holder.1.is_empty() {
                    let other = shares.insert(holder.1, holder.0.clone());
                    assert!(other.is_none_or(|other| other == holder.0), "two members hold one share");
                }
            }
            (ErrorCode::None, _) => {}
            (ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId, _) => *member = Member::default(),
            _ => (member.generation, member.share) = (0, None),
        }
    }
}

#[test]
fn what_clients_were_told_holds() {
    let (mut crashes, mut generations, mut acknowledged) = (0, 0, 0);
    for seed in 0..300 {
        let mut run = Run::new(seed);
        for _ in 0..400 {
            run.act();
            let recounted: usize = run.bench.coordinator.groups.values().map(ClassicGroup::bytes).sum();
            assert_eq!(run.bench.coordinator.bytes, recounted, "seed {seed}");
        }
        crashes += run.crashes;
        generations += run.generations;
        acknowledged += i64::from(run.acknowledged > 0);
    }
    assert!(
        crashes > 200 && generations > 2000 && acknowledged > 150,
        "{crashes} {generations} {acknowledged}"
    );
}
