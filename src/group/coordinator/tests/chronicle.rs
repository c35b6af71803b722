//! What a coordinator remembers of rebalances.

use super::consumer::{first, next, share, topics};
use super::*;
use crate::group::chronicle::{Rebalance, Why};
use crate::wire::generated::ConsumerGroupHeartbeatRequest;
use std::collections::BTreeSet;

impl Bench {
    fn rebalances(&self) -> Vec<Rebalance> {
        self.coordinator.rebalances(GROUP).expect("the group is known")
    }
}

#[test]
fn a_classic_rebalance_names_who_caused_it_and_how_long_it_took() {
    let mut bench = Bench::new();
    let (ids, generation) = bench.stable(2);
    let told = bench.rebalances();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].epoch, told[0].causes[0].why), (generation, Why::Joined));
    assert_eq!(told[0].took_ms, Some(6000), "the initial delay");
    bench.pass(1000);
    bench.leave(&[(&ids[1], None)]);
    let told = bench.rebalances();
    let cause = &told[1].causes[0];
    assert_eq!((cause.why, &cause.member, cause.client_id.as_str()), (Why::Left, &ids[1], "client"));
    assert_eq!(told[1].took_ms, None, "it is under way");
    assert!(bench.coordinator.rebalances("other").is_none());
}

#[test]
fn a_consumer_rebalance_tells_what_moved_and_how_long_it_stood_still() {
    let mut bench = Bench::with_topics(&["t"]);
    let all = share(&bench.consumer_beat(first("a"))).expect("a share");
    bench.consumer_beat(first("b"));
    let kept = share(&bench.consumer_beat(next("a", 2, &all))).expect("a new share");
    bench.pass(700);
    bench.consumer_beat(next("a", 2, &kept));
    bench.pass(300);
    bench.consumer_beat(next("b", 3, &BTreeSet::new()));
    let told = bench.rebalances();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((told[0].stopped, told[0].moves_total), (0, 6), "nobody had them before");
    let last = &told[1];
    assert_eq!((last.causes[0].member.as_str(), last.causes[0].why), ("b", Why::Joined));
    assert_eq!((last.moves_total, last.stopped, last.stopped_ms), (3, 3, 1000));
    assert!(last.moves.iter().all(|moved| moved.from == Some("a".into()) && moved.to == Some("b".into())));
    bench.step(Event::Topics(topics(&[])));
    bench.consumer_beat(next("a", 3, &kept));
    assert_eq!(bench.rebalances()[2].causes[0].why, Why::Topics);
    bench.consumer_beat(ConsumerGroupHeartbeatRequest { member_epoch: -1, ..first("b") });
    bench.pass(60_000);
    let why: Vec<Why> = bench.rebalances()[2].causes.iter().map(|cause| cause.why).collect();
    assert_eq!(why, [Why::Topics, Why::Left, Why::Silent]);
}
