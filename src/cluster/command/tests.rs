use super::*;
use crate::base::limits::STRING_BYTES_MAX;
use crate::cluster::PartitionEntry;
use crate::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;

fn configs() -> BTreeMap<String, String> {
    BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())])
}

fn new_topic() -> NewTopic {
    NewTopic {
        name: "t".into(),
        id: TopicId([7; 16]),
        partitions: 3,
        replication_factor: 2,
        assignment: BTreeMap::from([(0, vec![NodeId(1), NodeId(2)]), (1, vec![])]),
        configs: configs(),
    }
}

fn registration(clean_epoch: Option<BrokerEpoch>) -> Registration {
    Registration {
        id: NodeId(3),
        incarnation: [9; 16],
        host: "h".into(),
        port: 9092,
        peer: "h:9192".into(),
        rack: clean_epoch.map(|_| "r".into()),
        shards: 2,
        clean_epoch,
    }
}

fn edits() -> Vec<(String, Edit)> {
    let (words, otherwise) = ("w".to_owned(), "o".to_owned());
    let edits = [
        Edit::Set("v".to_owned()),
        Edit::Remove,
        Edit::Append { words: words.clone(), otherwise: otherwise.clone() },
        Edit::Subtract { words, otherwise },
    ];
    edits.into_iter().map(|edit| ("name".to_owned(), edit)).collect()
}

fn commands() -> Vec<Command> {
    let (topic, partition) = (TopicId([7; 16]), PartitionIndex(4));
    let change = IsrChange {
        partition: TopicPartition { topic, partition },
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(6),
        isr: vec![(NodeId(1), BrokerEpoch(10)), (NodeId(2), BrokerEpoch(-1))],
    };
    let moves = [Some(vec![NodeId(1)]), None];
    let moves = moves.map(|replicas| Reassignment { topic: "t".into(), partition, replicas }).to_vec();
    let validate_only = true;
    vec![
        Command::RegisterBroker(registration(None)),
        Command::RegisterBroker(registration(Some(BrokerEpoch(4)))),
        Command::SetBrokerState {
            broker: NodeId(1),
            epoch: BrokerEpoch(2),
            fenced: true,
            shutting_down: false,
        },
        Command::UnregisterBroker { id: NodeId(2) },
        Command::AlterIsr { broker: NodeId(1), broker_epoch: BrokerEpoch(10), changes: vec![change] },
        Command::ElectLeaders { partitions: None, unclean: false },
        Command::ElectLeaders { partitions: Some(vec![("t".into(), partition)]), unclean: true },
        Command::BalanceLeaders,
        Command::Reassign { moves, factor_may_change: true },
        Command::CreateTopic { topic: new_topic(), validate_only },
        Command::DeleteTopic { topic },
        Command::AddPartitions { name: "t".into(), count: 7, assignment: None, validate_only },
        Command::AddPartitions { name: "t".into(), count: 7, assignment: Some(vec![vec![]]), validate_only },
        Command::SetConfigs { target: Target::Topic(topic), configs: configs() },
        Command::EditConfigs { target: Target::Brokers, edits: edits() },
        Command::EditConfigs { target: Target::Broker(NodeId(1)), edits: vec![] },
        Command::AllocateProducerIds { count: 1000 },
        Command::DescribeQuorum,
        Command::AddVoter { id: NodeId(4), peer: "h:1".into(), directory: [3; 16], waits: true },
        Command::RemoveVoter { id: NodeId(4), directory: [0; 16] },
        Command::GiveUpReplica {
            broker: NodeId(3),
            broker_epoch: BrokerEpoch(9),
            partition: TopicPartition { topic, partition },
        },
    ]
}

fn outcomes() -> Vec<Outcome> {
    let refusal = || (ErrorCode::InvalidRequest, "why".to_owned());
    let elected = [Ok(false), Ok(true), Err(refusal())];
    let elected =
        elected.map(|result| Elected { topic: "t".into(), partition: PartitionIndex(1), result }).to_vec();
    let entry = PartitionEntry::new(vec![NodeId(1), NodeId(2)], vec![NodeId(2)]);
    let topic = Topic { name: "t".into(), id: TopicId([7; 16]), configs: configs(), partitions: vec![entry] };
    let voter = VoterFacts {
        id: NodeId(1),
        host: "h".into(),
        port: 1,
        directory: [8; 16],
        end: 9,
        heard_ms: -1,
        caught_up_ms: 77,
    };
    let quorum = QuorumFacts {
        leader: NodeId(1),
        term: 3,
        committed: 8,
        voters: vec![voter.clone()],
        observers: vec![voter],
    };
    vec![
        Outcome::Done,
        Outcome::Registered { epoch: BrokerEpoch(12) },
        Outcome::Isr(vec![Ok(PartitionEpoch(4)), Err(ErrorCode::FencedLeaderEpoch)]),
        Outcome::Elected(elected),
        Outcome::Reassigned(vec![Ok(()), Err(refusal())]),
        Outcome::Created(topic),
        Outcome::ProducerIds { first: 1, count: 2 },
        Outcome::Quorum(quorum),
        Outcome::Refused(refusal()),
    ]
}

fn check<T: PartialEq + std::fmt::Debug>(
    values: Vec<T>,
    encode: fn(&T, &mut Writer),
    decode: fn(&mut Reader) -> Result<T, DecodeError>,
) {
    for value in values {
        let mut writer = Writer::new();
        encode(&value, &mut writer);
        let bytes: Bytes = writer.into_pieces().concat().into();
        let mut reader = Reader::new(bytes.clone());
        assert_eq!(decode(&mut reader), Ok(value));
        assert_eq!(reader.finish(), Ok(()));
        for end in 0..bytes.len() {
            assert!(decode(&mut Reader::new(bytes.slice(..end))).is_err());
        }
    }
    assert!(decode(&mut Reader::new(Bytes::from_static(&[99]))).is_err(), "an unknown type");
}

#[test]
fn commands_and_outcomes_round_trip_and_every_truncation_is_refused() {
    check(commands(), Command::encode, Command::decode);
    check(outcomes(), Outcome::encode, Outcome::decode);
}

#[test]
fn a_list_that_claims_more_than_there_is_takes_no_memory() {
    let mut writer = Writer::new();
    writer.i8(7);
    writer.array_len(Some(1 << 30), true);
    let reader = &mut Reader::new(writer.into_pieces().concat().into());
    assert_eq!(Command::decode(reader), Err(DecodeError::Length));
}

#[test]
fn the_longest_text_still_goes() {
    let refused = Outcome::Refused((ErrorCode::InvalidRequest, "x".repeat(STRING_BYTES_MAX)));
    check(vec![refused], Outcome::encode, Outcome::decode);
}
