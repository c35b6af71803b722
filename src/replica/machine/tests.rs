//! A replica as its events drive it.

use super::*;
use crate::base::ShardId;
use crate::replica::Durability;
use crate::wire::batch::{BatchBuilder, ClientRules, Codec, Demands, Valid, validate_client_batch};

mod followers;
mod following;
mod transactions;

const NOW: i64 = 1_000_000;

const RULES: Rules = Rules {
    max_message_bytes: 1000,
    segment_bytes: 1 << 20,
    append_time: false,
    before_max_ms: i64::MAX,
    after_max_ms: 1000,
    compacted: false,
    compact_only: false,
    min_insync_replicas: 1,
    durability: Durability::Accepted,
    producer_expiry_ms: 86_400_000,
    replica_lag_max_ms: 30_000,
};

/// The only replica of a partition.
fn leader(rules: Rules) -> Replica {
    let mut replica = Replica::new(NodeId(1), rules, Recovered::default());
    let assignment = Box::new(Assignment::alone(NodeId(1), LeaderEpoch(0)));
    replica.step(Event::Assigned { assignment, now_ms: NOW }, &mut Effects::default());
    replica
}

/// What the leader answers to a batch at once, and what it appends.
fn produce(leader: &mut Replica, batch: &BatchBuilder) -> (Produced, Option<Append>) {
    let bytes = batch.build();
    let Valid { meta, contents } =
        validate_client_batch(&bytes, &ClientRules { zstd_allowed: true }).unwrap();
    let waiter = Waiter { shard: ShardId(0), set: 1, index: 0 };
    let (acks, deadline_ms, source) = (-1, NOW + 1000, Source::Client);
    let bytes = bytes.len();
    let event = Event::Produce { waiter, source, acks, meta, bytes, contents, now_ms: NOW, deadline_ms };
    let mut out = Effects::default();
    leader.step(event, &mut out);
    (out.replies.pop().expect("accepted is enough here").1, out.append)
}

fn at(timestamps: &[i64]) -> BatchBuilder {
    timestamps
        .iter()
        .fold(BatchBuilder::new(Codec::None, timestamps[0]), |b, &t| b.record(t, Some(b"k"), Some(b"v")))
}

#[test]
fn a_timestamp_inside_the_batch_is_held_against_the_topics_bounds() {
    let mut leader = leader(RULES);
    let (refused, append) = produce(&mut leader, &at(&[NOW, NOW + 5000]));
    assert_eq!((refused.error, append), (ErrorCode::InvalidTimestamp, None));
    assert_eq!((refused.base_offset, refused.log_start_offset), (-1, 0));
    let demands = Demands { keyed: false, within: Some((NOW - i64::MAX, NOW + 1000)) };
    assert_eq!(refused.unmet.unwrap().demands, demands);
    assert_eq!(produce(&mut leader, &at(&[NOW, -1])).0.error, ErrorCode::None);
}

#[test]
fn a_keyless_record_is_refused_where_the_topic_is_compacted() {
    let keyless = at(&[NOW]).record(NOW, None, Some(b"v"));
    assert_eq!(produce(&mut leader(RULES), &keyless).0.error, ErrorCode::None);
    let compacted = Rules { compacted: true, ..RULES };
    let (refused, _) = produce(&mut leader(compacted), &keyless);
    assert_eq!(refused.error, ErrorCode::InvalidRecord);
    assert!(refused.unmet.unwrap().demands.keyed);
    assert_eq!(produce(&mut leader(compacted), &at(&[NOW])).0.error, ErrorCode::None);
}

#[test]
fn a_batch_that_is_too_large_names_no_log_start() {
    let large = BatchBuilder::new(Codec::None, NOW).record(NOW, None, Some(&[0; 2000]));
    let (refused, _) = produce(&mut leader(RULES), &large);
    assert_eq!((refused.error, refused.log_start_offset), (ErrorCode::MessageTooLarge, -1));
    let small_segments = Rules { max_message_bytes: 1 << 30, segment_bytes: 1000, ..RULES };
    let (refused, _) = produce(&mut leader(small_segments), &large);
    assert_eq!((refused.error, refused.log_start_offset), (ErrorCode::RecordListTooLarge, -1));
}

#[test]
fn the_leader_says_what_the_timestamps_are_where_the_client_did_not() {
    let mut leader = leader(RULES);
    assert_eq!(produce(&mut leader, &at(&[NOW, NOW + 5])).1.unwrap().stamp, None);
    let claims = at(&[NOW, NOW + 5]).attributes(1 << 3);
    let stamp = Stamp { append_time: false, max_timestamp: NOW + 5 };
    assert_eq!(produce(&mut leader, &claims).1.unwrap().stamp, Some(stamp));
    leader.set_rules(Rules { append_time: true, ..RULES });
    let (produced, append) = produce(&mut leader, &at(&[5]));
    assert_eq!(produced.log_append_time_ms, NOW);
    assert_eq!(append.unwrap().stamp, Some(Stamp { append_time: true, max_timestamp: NOW }));
}
