//! Values of a schema's messages, drawn from a seed, and how Kafka writes them: an encoder of its own, driven by the
//! table, which the generated one is compared with.

use crate::schema::{Field, Kind, Message};
use ringlog::base::random::Random;

/// A value. Numbers are their bytes on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Fixed(Vec<u8>),
    Sized(Option<Vec<u8>>),
    Array(Option<Vec<Value>>),
    Struct(Option<Vec<Value>>),
}

/// What a field holds where a version doesn't have it.
fn default_of(field: &Field) -> Value {
    let text = field.default.as_deref();
    let null = text == Some("null");
    if field.array {
        return Value::Array((!null).then(Vec::new));
    }
    match &field.kind {
        Kind::Fixed(bytes) => Value::Fixed(number(text.unwrap_or("0"), *bytes)),
        Kind::Bool => {
            Value::Fixed(vec![u8::from(text.is_some_and(|text| text.eq_ignore_ascii_case("true")))])
        }
        Kind::Float => Value::Fixed(vec![0; 8]),
        Kind::Text | Kind::Bytes => {
            Value::Sized((!null).then(|| text.unwrap_or_default().as_bytes().to_vec()))
        }
        Kind::Records => Value::Sized(None),
        Kind::Struct(fields) => Value::Struct((!null).then(|| fields.iter().map(default_of).collect())),
    }
}

fn number(text: &str, bytes: usize) -> Vec<u8> {
    let value = match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let wide = value.expect("a default is a number").to_be_bytes();
    wide[wide.len() - bytes..].to_vec()
}

/// A message's fields for one version.
pub(crate) fn draw(message: &Message, version: i16, random: &mut Random) -> Vec<Value> {
    message.fields.iter().map(|field| draw_field(field, version, random, 0)).collect()
}

fn draw_field(field: &Field, version: i16, random: &mut Random, depth: u64) -> Value {
    let tagged = field.tag.as_ref().is_some_and(|(_, tagged)| tagged.contains(&version));
    if !field.versions.contains(&version) || tagged && random.chance(30) {
        return default_of(field);
    }
    let null = field.nullable.contains(&version) && random.chance(25);
    if field.array {
        let count = if depth < 2 { random.below(4) } else { random.below(3) };
        let mut list = || (0..count).map(|_| draw_one(&field.kind, version, random, depth + 1)).collect();
        return Value::Array((!null).then(&mut list));
    }
    match draw_one(&field.kind, version, random, depth + 1) {
        Value::Sized(_) if null => Value::Sized(None),
        Value::Struct(_) if null => Value::Struct(None),
        value => value,
    }
}

fn draw_one(kind: &Kind, version: i16, random: &mut Random, depth: u64) -> Value {
    match kind {
        Kind::Fixed(bytes) => Value::Fixed(draw_number(*bytes, random)),
        Kind::Bool => Value::Fixed(vec![u8::from(random.chance(50))]),
        Kind::Float => Value::Fixed((draw_small(random) / 8.0).to_be_bytes().to_vec()),
        Kind::Text => {
            let characters = ['a', 'Z', '7', '-', '\0', 'é', '€', '😀'];
            let draw =
                |random: &mut Random| characters[usize::try_from(random.below(8)).expect("it is small")];
            let text: String = (0..draw_length(random)).map(|_| draw(random)).collect();
            Value::Sized(Some(text.into_bytes()))
        }
        Kind::Bytes | Kind::Records => {
            let bytes = (0..draw_length(random)).map(|_| random.next_u64().to_be_bytes()[0]);
            Value::Sized(Some(bytes.collect()))
        }
        Kind::Struct(fields) => Value::Struct(Some(
            fields.iter().map(|field| draw_field(field, version, random, depth)).collect(),
        )),
    }
}

fn draw_number(bytes: usize, random: &mut Random) -> Vec<u8> {
    let (head, rest) = match random.below(6) {
        0 => (0, 0),
        1 => (0xff, 0xff),
        2 => (0x7f, 0xff),
        3 => (0x80, 0),
        _ => return (0..bytes).map(|_| random.next_u64().to_be_bytes()[0]).collect(),
    };
    let mut out = vec![rest; bytes];
    out[0] = head;
    out
}

fn draw_small(random: &mut Random) -> f64 {
    f64::from(i16::from_be_bytes([random.next_u64().to_be_bytes()[0], random.next_u64().to_be_bytes()[0]]))
}

/// Mostly short; now and then around and beyond what one byte of a compact length can say.
fn draw_length(random: &mut Random) -> u64 {
    match random.below(20) {
        0..=3 => 0,
        4 => 126 + random.below(4),
        5 => 300,
        _ => 1 + random.below(9),
    }
}

/// A field that a version can't carry as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// How a message is written besides as it should be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Oddity {
    /// A tagged field that no schema knows, in every place that has tagged fields.
    pub(crate) unknown_tag: bool,
    /// Null in the so-manieth place that can't hold it.
    pub(crate) null_at: Option<usize>,
}

struct Encoder {
    version: i16,
    flexible: bool,
    oddity: Oddity,
    /// Places so far that can be written as null and may not be.
    places: usize,
    out: Vec<u8>,
}

/// Writes a message as Kafka does, and says how many places in it could hold a forbidden null.
pub(crate) fn encode(
    message: &Message,
    values: &[Value],
    version: i16,
    oddity: Oddity,
) -> Result<(Vec<u8>, usize), Refused> {
    let flexible = message.flexible.contains(&version);
    let mut encoder = Encoder { version, flexible, oddity, places: 0, out: Vec::new() };
    encoder.structure(&message.fields, values)?;
    Ok((encoder.out, encoder.places))
}

impl Encoder {
    fn structure(&mut self, fields: &[Field], values: &[Value]) -> Result<(), Refused> {
        let mut tagged = Vec::new();
        for (field, value) in fields.iter().zip(values) {
            let is_default = *value == default_of(field);
            let tag = field.tag.as_ref().filter(|(_, versions)| versions.contains(&self.version));
            match tag {
                _ if !field.versions.contains(&self.version) => {
                    if !field.ignorable && !is_default {
                        return Err(Refused);
                    }
                }
                Some(_) if is_default => {}
                Some((tag, _)) => tagged.push((*tag, field, value)),
                None => self.field(field, value)?,
            }
        }
        if self.flexible { self.tagged(tagged) } else { Ok(()) }
    }

    fn tagged(&mut self, mut tagged: Vec<(u32, &Field, &Value)>) -> Result<(), Refused> {
        tagged.sort_by_key(|(tag, ..)| *tag);
        self.varint(tagged.len() + usize::from(self.oddity.unknown_tag));
        for (tag, field, value) in tagged {
            self.varint(usize::try_from(tag).expect("it is small"));
            let before = std::mem::take(&mut self.out);
            self.field(field, value)?;
            let inner = std::mem::replace(&mut self.out, before);
            self.varint(inner.len());
            self.out.extend(inner);
        }
        if self.oddity.unknown_tag {
            self.out.extend([0xc0, 0x3e, 3, 1, 2, 3]);
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, value: &Value) -> Result<(), Refused> {
        let nullable = field.nullable.contains(&self.version);
        let compact = self.flexible && !field.inflexible;
        let text = matches!(field.kind, Kind::Text);
        match value {
            Value::Fixed(bytes) => self.out.extend(bytes),
            Value::Sized(bytes) => self.sized(bytes.as_deref(), text, compact, nullable)?,
            Value::Array(list) => {
                let present = self.length(list.as_ref().map(Vec::len), false, compact, nullable)?;
                for one in list.iter().flatten().filter(|_| present) {
                    self.element(&field.kind, one)?;
                }
            }
            Value::Struct(None) if nullable => self.out.push(0xff),
            Value::Struct(None) => return Err(Refused),
            Value::Struct(Some(_)) => {
                self.out.extend(nullable.then_some(1));
                self.element(&field.kind, value)?;
            }
        }
        Ok(())
    }

    fn element(&mut self, kind: &Kind, value: &Value) -> Result<(), Refused> {
        match (kind, value) {
            (Kind::Struct(fields), Value::Struct(Some(values))) => self.structure(fields, values),
            (_, Value::Fixed(bytes)) => {
                self.out.extend(bytes);
                Ok(())
            }
            (_, Value::Sized(bytes)) => {
                self.sized(bytes.as_deref(), matches!(kind, Kind::Text), self.flexible, false)
            }
            _ => panic!("an element is a struct, a number or sized"),
        }
    }

    fn sized(
        &mut self,
        bytes: Option<&[u8]>,
        text: bool,
        compact: bool,
        nullable: bool,
    ) -> Result<(), Refused> {
        let present = self.length(bytes.map(<[u8]>::len), text, compact, nullable)?;
        self.out.extend(bytes.unwrap_or_default().iter().filter(|_| present));
        Ok(())
    }

    /// Writes a length; false if the oddity made it null.
    fn length(
        &mut self,
        length: Option<usize>,
        short: bool,
        compact: bool,
        nullable: bool,
    ) -> Result<bool, Refused> {
        let mut length = length;
        if !nullable {
            let Some(_) = length else { return Err(Refused) };
            if self.oddity.null_at == Some(self.places) {
                length = None;
            }
            self.places += 1;
        }
        match length {
            _ if compact => self.varint(length.map_or(0, |length| length + 1)),
            _ if short => {
                self.out.extend(length.map_or(-1, |n| i16::try_from(n).expect("it is small")).to_be_bytes())
            }
            _ => self.out.extend(length.map_or(-1, |n| i32::try_from(n).expect("it is small")).to_be_bytes()),
        }
        Ok(length.is_some())
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 128 {
            self.out.push(u8::try_from(value % 128 + 128).expect("it is small"));
            value /= 128;
        }
        self.out.push(u8::try_from(value).expect("it is small"));
    }
}

/// The smallest message in which the so-manieth array that the version has holds `count` elements, each as small as may
/// be; `None` if there are fewer arrays.
pub(crate) fn swollen(message: &Message, version: i16, nth: usize, count: usize) -> Option<Vec<Value>> {
    let mut swelling = Swelling { version, ahead: Some(nth), count };
    let values = swelling.structure(&message.fields);
    swelling.ahead.is_none().then_some(values)
}

struct Swelling {
    version: i16,
    /// Arrays ahead of the one that swells; `None` after it.
    ahead: Option<usize>,
    count: usize,
}

impl Swelling {
    fn structure(&mut self, fields: &[Field]) -> Vec<Value> {
        fields.iter().map(|field| self.field(field)).collect()
    }

    fn field(&mut self, field: &Field) -> Value {
        if !field.versions.contains(&self.version) {
            return default_of(field);
        }
        if !field.array {
            return self.least(&field.kind);
        }
        let swells = self.ahead == Some(0);
        self.ahead = self.ahead.and_then(|ahead| ahead.checked_sub(1));
        let was_ahead = self.ahead.is_some();
        let one = self.least(&field.kind);
        let leads_there = was_ahead && self.ahead.is_none();
        let count = if swells { self.count } else { usize::from(leads_there) };
        Value::Array(Some(vec![one; count]))
    }

    /// What takes least room on the wire.
    fn least(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Fixed(bytes) => Value::Fixed(vec![0; *bytes]),
            Kind::Bool => Value::Fixed(vec![0]),
            Kind::Float => Value::Fixed(vec![0; 8]),
            Kind::Text | Kind::Bytes | Kind::Records => Value::Sized(Some(Vec::new())),
            Kind::Struct(fields) => Value::Struct(Some(self.structure(fields))),
        }
    }
}
