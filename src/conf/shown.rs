//! Apache Kafka's names for what this broker calls otherwise, and Kafka settings that have but one value here. Tools
//! look for them in DescribeConfigs; nobody can set them.

/// Where a shown setting's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// It is always this.
    Fixed(&'static str),
    /// It has none.
    None,
    /// The value of one of this broker's keys.
    Of(&'static str),
    /// The first of these keys that has a value, as a listener of Kafka's.
    Listener(&'static [&'static str]),
}

/// One name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) name: &'static str,
    /// Kafka's number of its type.
    pub(super) kind: i8,
    pub(super) value: Value,
    pub(super) doc: &'static str,
}

const fn shown(name: &'static str, kind: i8, value: Value, doc: &'static str) -> Shown {
    Shown { name, kind, value, doc }
}

const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const LIST: i8 = 7;

/// All of them, by name.
pub(super) const SHOWN: &[Shown] = &[
    shown("advertised.listeners", LIST, Value::Listener(&["advertise", "listen"]), "See advertise."),
    shown("broker.id", INT, Value::Of("node.id"), "See node.id."),
    shown("delete.topic.enable", BOOLEAN, Value::Fixed("true"), "Topics can be deleted."),
    shown(
        "listener.security.protocol.map",
        STRING,
        Value::Fixed("PLAINTEXT:PLAINTEXT"),
        "There is one listener.",
    ),
    shown("listeners", LIST, Value::Listener(&["listen"]), "See listen."),
    shown("log.dir", LIST, Value::Of("data.dir"), "See data.dir."),
    shown("log.dirs", LIST, Value::Of("data.dir"), "See data.dir."),
    shown("log.retention.minutes", INT, Value::None, "See log.retention.ms."),
    shown("log.roll.jitter.hours", INT, Value::Fixed("0"), "Segments are closed at their age exactly."),
    shown("log.roll.jitter.ms", LONG, Value::None, "Segments are closed at their age exactly."),
    shown(
        "max.request.partition.size.limit",
        INT,
        Value::Fixed("2000"),
        "Partitions in a page of a topic's description.",
    ),
    shown("security.inter.broker.protocol", STRING, Value::Fixed("PLAINTEXT"), "There is one listener."),
];
