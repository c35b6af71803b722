//! Commands and outcomes as bytes. Encoding as in records: a type byte, then the fields; a changed shape gets a new
//! type byte. They come from nodes of the same cluster, but over a socket: nothing that they say is trusted.

use super::{
    Command, Elected, IsrChange, NewTopic, Outcome, QuorumFacts, Reassignment, Refusal, Registration,
    VoterFacts,
};
use crate::base::{LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, TopicId};
use crate::cluster::codec::{
    Decoded, broker_epoch, error, key, list, map, node, nodes, option, put_error, put_key, put_list, put_map,
    put_node, put_nodes, put_option, put_topic, text, topic,
};
use crate::cluster::{Edit, Target};
use crate::wire::{DecodeError, Reader, Str, Writer};
use std::collections::BTreeMap;

impl Command {
    /// Appends the command.
    #[expect(clippy::too_many_lines, reason = "an arm a command")]
    pub fn encode(&self, w: &mut Writer) {
        match self {
            Command::RegisterBroker(registration) => {
                w.i8(1);
                put_registration(w, registration);
            }
            Command::SetBrokerState { broker, epoch, fenced, shutting_down } => {
                w.i8(2);
                put_node(w, broker);
                w.i64(epoch.0);
                w.bool(*fenced);
                w.bool(*shutting_down);
            }
            Command::UnregisterBroker { id } => {
                w.i8(3);
                put_node(w, id);
            }
            Command::AlterIsr { broker, broker_epoch, changes } => {
                w.i8(4);
                put_node(w, broker);
                w.i64(broker_epoch.0);
                put_list(w, changes, put_isr_change);
            }
            Command::ElectLeaders { partitions, unclean } => {
                w.i8(5);
                put_option(w, partitions.as_ref(), |w, all| put_list(w, all, put_name));
                w.bool(*unclean);
            }
            Command::BalanceLeaders => w.i8(6),
            Command::Reassign { moves, factor_may_change } => {
                w.i8(7);
                put_list(w, moves, put_move);
                w.bool(*factor_may_change);
            }
            Command::CreateTopic { topic, validate_only } => {
                w.i8(8);
                put_new_topic(w, topic);
                w.bool(*validate_only);
            }
            Command::DeleteTopic { topic } => {
                w.i8(9);
                w.uuid(&topic.0);
            }
            Command::AddPartitions { name, count, assignment, validate_only } => {
                w.i8(10);
                w.string(name, true);
                w.i32(*count);
                put_option(w, assignment.as_ref(), |w, all| put_list(w, all, |w, nodes| put_nodes(w, nodes)));
                w.bool(*validate_only);
            }
            Command::SetConfigs { target, configs } => {
                w.i8(11);
                put_target(w, *target);
                put_map(w, configs);
            }
            Command::EditConfigs { target, edits } => {
                w.i8(12);
                put_target(w, *target);
                put_list(w, edits, put_edit);
            }
            Command::AllocateProducerIds { count } => {
                w.i8(13);
                w.i64(*count);
            }
            Command::DescribeQuorum => w.i8(14),
            Command::AddVoter { id, peer, directory, waits } => {
                w.i8(15);
                put_node(w, id);
                w.string(peer, true);
                w.uuid(directory);
                w.bool(*waits);
            }
            Command::RemoveVoter { id, directory } => {
                w.i8(16);
                put_node(w, id);
                w.uuid(directory);
            }
            Command::GiveUpReplica { broker, broker_epoch, partition } => {
                w.i8(17);
                put_node(w, broker);
                w.i64(broker_epoch.0);
                put_key(w, partition);
            }
        }
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// The bytes are no command that this build knows.
    pub fn decode(r: &mut Reader) -> Decoded<Self> {
        Ok(match r.i8()? {
            1 => Command::RegisterBroker(registration(r)?),
            2 => Command::SetBrokerState {
                broker: node(r)?,
                epoch: broker_epoch(r)?,
                fenced: r.bool()?,
                shutting_down: r.bool()?,
            },
            3 => Command::UnregisterBroker { id: node(r)? },
            4 => Command::AlterIsr {
                broker: node(r)?,
                broker_epoch: broker_epoch(r)?,
                changes: list(r, isr_change)?,
            },
            5 => Command::ElectLeaders { partitions: option(r, |r| list(r, name))?, unclean: r.bool()? },
            6 => Command::BalanceLeaders,
            7 => Command::Reassign { moves: list(r, a_move)?, factor_may_change: r.bool()? },
            8 => Command::CreateTopic { topic: new_topic(r)?, validate_only: r.bool()? },
            9 => Command::DeleteTopic { topic: TopicId(r.uuid()?) },
            10 => Command::AddPartitions {
                name: text(r)?,
                count: r.i32()?,
                assignment: option(r, |r| list(r, nodes))?,
                validate_only: r.bool()?,
            },
            11 => Command::SetConfigs { target: target(r)?, configs: map(r)? },
            12 => Command::EditConfigs { target: target(r)?, edits: list(r, edit)? },
            13 => Command::AllocateProducerIds { count: r.i64()? },
            14 => Command::DescribeQuorum,
            15 => Command::AddVoter { id: node(r)?, peer: text(r)?, directory: r.uuid()?, waits: r.bool()? },
            16 => Command::RemoveVoter { id: node(r)?, directory: r.uuid()? },
            17 => Command::GiveUpReplica {
                broker: node(r)?,
                broker_epoch: broker_epoch(r)?,
                partition: key(r)?,
            },
            _ => return Err(DecodeError::Value),
        })
    }
}

impl Outcome {
    /// Appends the outcome.
    pub fn encode(&self, w: &mut Writer) {
        match self {
            Outcome::Done => w.i8(1),
            Outcome::Registered { epoch } => {
                w.i8(2);
                w.i64(epoch.0);
            }
            Outcome::Isr(results) => {
                w.i8(3);
                put_list(w, results, |w, result| match result {
                    Ok(epoch) => {
                        w.bool(true);
                        w.i32(epoch.0);
                    }
                    Err(error) => {
                        w.bool(false);
                        put_error(w, *error);
                    }
                });
            }
            Outcome::Elected(all) => {
                w.i8(4);
                put_list(w, all, put_elected);
            }
            Outcome::Reassigned(results) => {
                w.i8(5);
                put_list(w, results, |w, result| put_option(w, result.as_ref().err(), put_refusal));
            }
            Outcome::Created(topic) => {
                w.i8(6);
                put_topic(w, topic);
            }
            Outcome::ProducerIds { first, count } => {
                w.i8(7);
                w.i64(*first);
                w.i64(*count);
            }
            Outcome::Quorum(facts) => {
                w.i8(10);
                put_quorum(w, facts);
            }
            Outcome::Refused(refusal) => {
                w.i8(9);
                put_refusal(w, refusal);
            }
        }
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// The bytes are no outcome that this build knows.
    pub fn decode(r: &mut Reader) -> Decoded<Self> {
        Ok(match r.i8()? {
            1 => Outcome::Done,
            2 => Outcome::Registered { epoch: broker_epoch(r)? },
            3 => Outcome::Isr(list(r, |r| {
                Ok(if r.bool()? { Ok(PartitionEpoch(r.i32()?)) } else { Err(error(r)?) })
            })?),
            4 => Outcome::Elected(list(r, elected)?),
            5 => Outcome::Reassigned(list(r, |r| Ok(option(r, refusal)?.map_or(Ok(()), Err)))?),
            6 => Outcome::Created(topic(r)?),
            7 => Outcome::ProducerIds { first: r.i64()?, count: r.i64()? },
            8 => Outcome::Quorum(quorum(r, true)?),
            10 => Outcome::Quorum(quorum(r, false)?),
            9 => Outcome::Refused(refusal(r)?),
            _ => return Err(DecodeError::Value),
        })
    }
}

fn put_registration(w: &mut Writer, it: &Registration) {
    put_node(w, &it.id);
    w.uuid(&it.incarnation);
    w.string(&it.host, true);
    w.u16(it.port);
    w.string(&it.peer, true);
    w.nullable_string(it.rack.as_deref(), true);
    w.u16(it.shards);
    put_option(w, it.clean_epoch.as_ref(), |w, epoch| w.i64(epoch.0));
}

fn registration(r: &mut Reader) -> Decoded<Registration> {
    Ok(Registration {
        id: node(r)?,
        incarnation: r.uuid()?,
        host: text(r)?,
        port: r.u16()?,
        peer: text(r)?,
        rack: r.nullable_string(true)?.map(|rack| rack.detached()),
        shards: r.u16()?,
        clean_epoch: option(r, broker_epoch)?,
    })
}

fn put_isr_change(w: &mut Writer, change: &IsrChange) {
    put_key(w, &change.partition);
    w.i32(change.leader_epoch.0);
    w.i32(change.partition_epoch.0);
    put_list(w, &change.isr, |w, (node, epoch)| {
        put_node(w, node);
        w.i64(epoch.0);
    });
}

fn isr_change(r: &mut Reader) -> Decoded<IsrChange> {
    Ok(IsrChange {
        partition: key(r)?,
        leader_epoch: LeaderEpoch(r.i32()?),
        partition_epoch: PartitionEpoch(r.i32()?),
        isr: list(r, |r| Ok((node(r)?, broker_epoch(r)?)))?,
    })
}

fn put_name(w: &mut Writer, (topic, partition): &(Str, PartitionIndex)) {
    w.string(topic, true);
    w.i32(partition.0);
}

fn name(r: &mut Reader) -> Decoded<(Str, PartitionIndex)> {
    Ok((text(r)?, PartitionIndex(r.i32()?)))
}

fn put_move(w: &mut Writer, it: &Reassignment) {
    w.string(&it.topic, true);
    w.i32(it.partition.0);
    put_option(w, it.replicas.as_ref(), |w, nodes: &Vec<NodeId>| put_nodes(w, nodes));
}

fn a_move(r: &mut Reader) -> Decoded<Reassignment> {
    let (topic, partition) = name(r)?;
    Ok(Reassignment { topic, partition, replicas: option(r, nodes)? })
}

fn put_new_topic(w: &mut Writer, topic: &NewTopic) {
    w.string(&topic.name, true);
    w.uuid(&topic.id.0);
    w.i32(topic.partitions);
    w.i16(topic.replication_factor);
    w.array_len(Some(topic.assignment.len()), true);
    for (index, replicas) in &topic.assignment {
        w.i32(*index);
        put_nodes(w, replicas);
    }
    put_map(w, &topic.configs);
}

fn new_topic(r: &mut Reader) -> Decoded<NewTopic> {
    Ok(NewTopic {
        name: text(r)?,
        id: TopicId(r.uuid()?),
        partitions: r.i32()?,
        replication_factor: r.i16()?,
        assignment: BTreeMap::from_iter(list(r, |r| Ok((r.i32()?, nodes(r)?)))?),
        configs: map(r)?,
    })
}

fn put_target(w: &mut Writer, target: Target) {
    match target {
        Target::Topic(id) => {
            w.i8(1);
            w.uuid(&id.0);
        }
        Target::Brokers => w.i8(2),
        Target::Broker(id) => {
            w.i8(3);
            put_node(w, &id);
        }
    }
}

fn target(r: &mut Reader) -> Decoded<Target> {
    Ok(match r.i8()? {
        1 => Target::Topic(TopicId(r.uuid()?)),
        2 => Target::Brokers,
        3 => Target::Broker(node(r)?),
        _ => return Err(DecodeError::Value),
    })
}

fn put_edit(w: &mut Writer, (name, edit): &(String, Edit)) {
    w.string(name, true);
    match edit {
        Edit::Set(value) => {
            w.i8(1);
            w.string(value, true);
        }
        Edit::Remove => w.i8(2),
        Edit::Append { words, otherwise } => {
            w.i8(3);
            w.string(words, true);
            w.string(otherwise, true);
        }
        Edit::Subtract { words, otherwise } => {
            w.i8(4);
            w.string(words, true);
            w.string(otherwise, true);
        }
    }
}

fn edit(r: &mut Reader) -> Decoded<(String, Edit)> {
    let owned = |r: &mut Reader| r.string(true).map(|text| text.to_string());
    let name = owned(r)?;
    let edit = match r.i8()? {
        1 => Edit::Set(owned(r)?),
        2 => Edit::Remove,
        3 => Edit::Append { words: owned(r)?, otherwise: owned(r)? },
        4 => Edit::Subtract { words: owned(r)?, otherwise: owned(r)? },
        _ => return Err(DecodeError::Value),
    };
    Ok((name, edit))
}

fn put_refusal(w: &mut Writer, (error, why): &Refusal) {
    put_error(w, *error);
    w.string(why, true);
}

fn refusal(r: &mut Reader) -> Decoded<Refusal> {
    Ok((error(r)?, r.string(true)?.to_string()))
}

fn put_elected(w: &mut Writer, elected: &Elected) {
    w.string(&elected.topic, true);
    w.i32(elected.partition.0);
    match &elected.result {
        Ok(unclean) => w.i8(i8::from(*unclean)),
        Err(refusal) => {
            w.i8(2);
            put_refusal(w, refusal);
        }
    }
}

fn elected(r: &mut Reader) -> Decoded<Elected> {
    let (topic, partition) = name(r)?;
    let result = match r.i8()? {
        0 => Ok(false),
        1 => Ok(true),
        2 => Err(refusal(r)?),
        _ => return Err(DecodeError::Value),
    };
    Ok(Elected { topic, partition, result })
}

fn put_quorum(w: &mut Writer, facts: &QuorumFacts) {
    put_node(w, &facts.leader);
    w.i32(facts.term);
    w.i64(facts.committed.cast_signed());
    for all in [&facts.voters, &facts.observers] {
        put_list(w, all, |w, it| {
            put_node(w, &it.id);
            w.string(&it.host, true);
            w.u16(it.port);
            w.i64(it.end.cast_signed());
            w.i64(it.heard_ms);
            w.i64(it.caught_up_ms);
            w.uuid(&it.directory);
        });
    }
}

/// Reads how the quorum fares. Older builds knew no directories.
fn quorum(r: &mut Reader, old: bool) -> Decoded<QuorumFacts> {
    let voter = |r: &mut Reader| {
        Ok(VoterFacts {
            id: node(r)?,
            host: text(r)?,
            port: r.u16()?,
            end: r.i64()?.cast_unsigned(),
            heard_ms: r.i64()?,
            caught_up_ms: r.i64()?,
            directory: if old { [0; 16] } else { r.uuid()? },
        })
    };
    Ok(QuorumFacts {
        leader: node(r)?,
        term: r.i32()?,
        committed: r.i64()?.cast_unsigned(),
        voters: list(r, voter)?,
        observers: list(r, voter)?,
    })
}
