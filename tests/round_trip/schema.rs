//! Kafka's message schemas as `schemas.txt` has them.

use std::ops::RangeInclusive;

/// Versions; for none, one that no message has.
pub(crate) type Versions = RangeInclusive<i16>;

/// Request, response or something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Request,
    Response,
    Other,
}

/// One message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) role: Role,
    /// Its API's key; -1 for what is neither request nor response.
    pub(crate) key: i16,
    pub(crate) name: String,
    pub(crate) versions: Versions,
    pub(crate) flexible: Versions,
    pub(crate) fields: Vec<Field>,
}

/// What a field holds, or each of its elements.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A number of so many bytes.
    Fixed(usize),
    Bool,
    Float,
    Text,
    Bytes,
    Records,
    Struct(Vec<Field>),
}

/// One field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) kind: Kind,
    pub(crate) array: bool,
    pub(crate) versions: Versions,
    pub(crate) nullable: Versions,
    /// Its tag, in the versions in which it has one.
    pub(crate) tag: Option<(u32, Versions)>,
    pub(crate) default: Option<String>,
    pub(crate) ignorable: bool,
    /// Written in the old way in flexible versions too.
    pub(crate) inflexible: bool,
}

fn versions(text: &str) -> Versions {
    let number = |text: &str| text.parse::<i16>().expect("a version");
    match (text, text.strip_suffix('+'), text.split_once('-')) {
        ("none", ..) => i16::MIN..=i16::MIN,
        (_, Some(low), _) => number(low)..=i16::MAX,
        (_, _, Some((low, high))) => number(low)..=number(high),
        _ => number(text)..=number(text),
    }
}

fn kind(text: &str) -> Kind {
    match text {
        "int8" => Kind::Fixed(1),
        "int16" | "uint16" => Kind::Fixed(2),
        "int32" | "uint32" => Kind::Fixed(4),
        "int64" => Kind::Fixed(8),
        "uuid" => Kind::Fixed(16),
        "float64" => Kind::Float,
        "bool" => Kind::Bool,
        "string" => Kind::Text,
        "bytes" => Kind::Bytes,
        "records" => Kind::Records,
        "struct" => Kind::Struct(Vec::new()),
        other => panic!("schemas.txt has a type that this test doesn't know: {other}"),
    }
}

fn field(line: &str) -> Field {
    let mut words = line.split_whitespace();
    let mut word = || words.next().expect("a field has a name, a type and versions");
    let (_name, written, present) = (word(), word(), versions(word()));
    let element = written.strip_prefix("[]");
    let mut field = Field {
        kind: kind(element.unwrap_or(written)),
        array: element.is_some(),
        versions: present,
        nullable: versions("none"),
        tag: None,
        default: None,
        ignorable: false,
        inflexible: false,
    };
    for word in words {
        match word.split_once('=') {
            Some(("null", text)) => field.nullable = versions(text),
            Some(("default", text)) => field.default = Some(text.to_owned()),
            Some(("tag", text)) => {
                let (tag, range) = text.split_once(':').expect("a tag has its versions");
                field.tag = Some((tag.parse().expect("a tag is a number"), versions(range)));
            }
            None if word == "ignorable" => field.ignorable = true,
            None if word == "inflexible" => field.inflexible = true,
            _ => panic!("schemas.txt has a word that this test doesn't know: {word}"),
        }
    }
    field
}

/// Adds a field `depth` levels below the message.
fn add(fields: &mut Vec<Field>, depth: usize, new: Field) {
    if depth == 1 {
        fields.push(new);
        return;
    }
    match &mut fields.last_mut().expect("an inner field follows its struct").kind {
        Kind::Struct(inner) => add(inner, depth - 1, new),
        _ => panic!("only structs have inner fields"),
    }
}

fn message(line: &str) -> Message {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [role, key, name, range, flexible] = words[..] else { panic!("no message: {line}") };
    Message {
        role: match role {
            "request" => Role::Request,
            "response" => Role::Response,
            _ => Role::Other,
        },
        key: if key == "-" { -1 } else { key.parse().expect("a key is a number") },
        name: name.to_owned(),
        versions: versions(range),
        flexible: versions(flexible.strip_prefix("flexible=").expect("the flexible versions")),
        fields: Vec::new(),
    }
}

/// All messages, in the table's order.
pub(crate) fn messages() -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    for line in include_str!("schemas.txt").lines().filter(|line| !line.starts_with('#')) {
        match line.len() - line.trim_start().len() {
            0 => all.push(message(line)),
            depth => add(&mut all.last_mut().expect("a message comes first").fields, depth, field(line)),
        }
    }
    all
}
