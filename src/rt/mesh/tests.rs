//! Messages between shards.

use crate::base::ShardId;
use crate::base::limits::MESH_OUTBOX_MAX;
use crate::rt::testing::Scratch;
use crate::rt::{Mesh, World, run};
use crate::seam::{Mesh as _, World as _};
use std::time::Duration;

/// The scenario in which a stock executor with `Latency::Matters` hangs within seconds: a ping-pong between
/// executors, where each sleeps while it waits. Here it must not hang, with more shards than processors as well; a
/// lost wake would show as a round trip of a tick.
#[test]
fn a_long_ping_pong_never_hangs() {
    const ROUND_TRIPS: u32 = 10_000;
    for shards in [2, 4] {
        let scratch = Scratch::new(&format!("mesh-ping-pong-{shards}"));
        let main = |shard: ShardId, world: World, mesh: Mesh<u32>| async move {
            let peer = ShardId(shard.0 ^ 1);
            let (began, mut slow, mut inbox) = (world.mono(), 0, Vec::new());
            if shard.0.is_multiple_of(2) {
                mesh.send(peer, 0).unwrap();
            }
            loop {
                let sent = world.mono();
                mesh.receive(&mut inbox).await;
                let count = inbox.pop().unwrap();
                assert!(inbox.is_empty(), "one message is under way at a time");
                slow += u32::from(world.mono() - sent > Duration::from_millis(100));
                if count < ROUND_TRIPS {
                    mesh.send(peer, count + 1).unwrap();
                }
                if count + 1 >= ROUND_TRIPS {
                    break (world.mono() - began, slow);
                }
            }
        };
        for (elapsed, slow) in run(&scratch.conf(shards), main).unwrap() {
            assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
            assert!(slow < 10, "{slow} messages took over 100 ms");
        }
    }
}

#[test]
fn messages_arrive_in_order_and_once() {
    const COUNT: u32 = 20_000;
    let scratch = Scratch::new("mesh-order");
    let main = |shard: ShardId, world: World, mesh: Mesh<(u16, u32)>| async move {
        let sender = mesh.clone();
        let others = world.clone();
        world.spawn(async move {
            for number in 0..COUNT {
                for to in 0..sender.shards() {
                    let mut message = (shard.0, number);
                    while let Err(refused) = sender.send(ShardId(to), message) {
                        message = refused;
                        others.sleep(Duration::from_micros(100)).await;
                    }
                }
                if number % 100 == 0 {
                    others.yield_now().await;
                }
            }
        });
        let mut next = vec![0; usize::from(mesh.shards())];
        let mut inbox = Vec::new();
        while next.iter().any(|&count| count < COUNT) {
            mesh.receive(&mut inbox).await;
            assert!(!inbox.is_empty() && inbox.len() <= super::RECEIVE_MAX);
            for (from, number) in inbox.drain(..) {
                assert_eq!(number, next[usize::from(from)], "from {from} to {shard}");
                next[usize::from(from)] += 1;
            }
        }
        assert_eq!(mesh.this(), shard);
    };
    run(&scratch.conf(3), main).unwrap();
}

#[test]
fn a_full_outbox_gives_the_message_back() {
    let scratch = Scratch::new("mesh-full");
    let main = |shard: ShardId, world: World, mesh: Mesh<usize>| async move {
        let mut inbox = Vec::new();
        if shard.0 == 0 {
            for number in 0..MESH_OUTBOX_MAX {
                mesh.send(ShardId(1), number).unwrap();
                mesh.send(ShardId(0), number).unwrap();
            }
            assert_eq!(mesh.send(ShardId(1), 7), Err(7));
            assert_eq!(mesh.send(ShardId(0), 7), Err(7));
            world.sleep(Duration::from_millis(20)).await;
            assert_eq!(mesh.send(ShardId(1), 7), Err(7), "handed over, but not received");
            mesh.receive(&mut inbox).await;
            mesh.send(ShardId(0), 8).unwrap();
            while mesh.send(ShardId(1), usize::MAX).is_err() {
                world.sleep(Duration::from_millis(1)).await;
            }
        } else {
            world.sleep(Duration::from_millis(60)).await;
            while inbox.last() != Some(&usize::MAX) {
                mesh.receive(&mut inbox).await;
                inbox.drain(..inbox.len() - 1);
            }
        }
    };
    run(&scratch.conf(2), main).unwrap();
}
