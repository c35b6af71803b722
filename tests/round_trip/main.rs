//! Every message in every version, there and back: against an encoder driven by the schemas, against the
//! kafka-protocol crate where it knows the version, truncated, with unknown tags, with forbidden nulls, and counted.
//!
//! All draws come from `SEED`; a failure names the message, the version and the case, and running again repeats it.

#[path = "../counting/mod.rs"]
mod counting;

mod codec;
mod schema;
mod value;

use bytes::Bytes;
use codec::Codec;
use counting::{Counting, measure};
use ringlog::base::random::Random;
use ringlog::wire::DecodeError;
use ringlog::wire::generated::SCHEMAS;
use schema::{Message, Role};
use std::collections::BTreeSet;
use value::{Oddity, Refused, Value, draw, encode};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SEED: u64 = 0x52_494e_474c_4f47;
/// Values that are drawn for each message and version.
const CASES: u64 = 12;

/// One message in one version with a value for it.
struct Case<'a> {
    message: &'a Message,
    codec: Codec,
    version: i16,
    values: Vec<Value>,
    /// The value as Kafka writes it.
    bytes: Bytes,
    /// Names the case in a failure.
    name: String,
    random: Random,
}

impl Case<'_> {
    fn written(&self, oddity: Oddity) -> (Bytes, usize) {
        let (bytes, places) = encode(self.message, &self.values, self.version, oddity)
            .expect("a value is drawn so that its version can carry it");
        (bytes.into(), places)
    }
}

/// Calls `check` for every case, and sees to it that no message and no version of the codec was left out.
fn for_each_case(mut check: impl FnMut(&mut Case<'_>)) {
    let mut seen = BTreeSet::new();
    for (nth, message) in schema::messages().iter().enumerate() {
        let codec = codec::generated(message);
        for version in message.versions.clone() {
            seen.insert((message.role, message.key, version));
            for number in 0..CASES {
                let salt = (nth as u64) << 32 | (version.unsigned_abs() as u64) << 16 | number;
                let mut random = Random::stream(SEED, salt);
                let values = draw(message, version, &mut random);
                let name = format!("{:?} {} version {version}, case {number}", message.role, message.name);
                let mut case = Case { message, codec, version, values, bytes: Bytes::new(), name, random };
                case.bytes = case.written(Oddity::default()).0;
                check(&mut case);
            }
        }
    }
    for schema in SCHEMAS {
        for version in schema.min..=schema.max {
            for role in [Role::Request, Role::Response] {
                assert!(
                    seen.remove(&(role, schema.key, version)),
                    "{} {version} wasn't visited",
                    schema.name
                );
            }
        }
    }
    assert!(seen.iter().all(|(role, ..)| *role == Role::Other), "beyond the codec's schemas: {seen:?}");
}

#[test]
fn every_message_is_written_as_its_schema_says() {
    for_each_case(|case| {
        let recoded = (case.codec.recode)(&case.bytes, case.version, case.version);
        let name = &case.name;
        let recoded = recoded.unwrap_or_else(|error| panic!("{name}: {error}: {:02x?}", case.bytes));
        assert_eq!(recoded.as_deref(), Ok(&case.bytes[..]), "{name}");
        assert_eq!((case.codec.same)(&case.bytes, &case.bytes, case.version), Ok(true), "{name}");
    });
}

/// What the kafka-protocol crate lacks: key, versions of the request, versions of the response.
const LACKING: &[(i16, &[i16], &[i16])] = &[
    (2, &[11], &[11]),
    (8, &[10], &[]),
    (9, &[10], &[]),
    (18, &[5], &[5]),
    (22, &[6], &[]),
    (27, &[2], &[2]),
    (28, &[6], &[6]),
    (35, &[5], &[5]),
    (42, &[3], &[3]),
    (63, &[2], &[2]),
    (78, &[2], &[2]),
    (79, &[2], &[2]),
    (80, &[1], &[1]),
    (85, &[1], &[1]),
    (87, &[1], &[1]),
    (88, &[0, 1], &[0, 1]),
    (89, &[0, 1], &[0, 1]),
    (90, &[1], &[1]),
    (93, &[0], &[0]),
    (94, &[0], &[0]),
];

#[test]
fn another_implementation_reads_and_writes_the_same_bytes() {
    let mut lacking = BTreeSet::new();
    for_each_case(|case| {
        let Case { message, version, name, .. } = &*case;
        if message.role == Role::Other {
            return;
        }
        match codec::recode_elsewhere(message, &case.bytes, *version) {
            None => drop(lacking.insert((message.role, message.key, *version))),
            Some(recoded) => assert_eq!(recoded.as_deref(), Ok(&case.bytes[..]), "{name}"),
        }
    });
    let listed = LACKING.iter().flat_map(|(key, requests, responses)| {
        let requests = requests.iter().map(|version| (Role::Request, *key, *version));
        requests.chain(responses.iter().map(|version| (Role::Response, *key, *version)))
    });
    assert_eq!(lacking, listed.collect(), "what is compared with nothing is listed, and nothing else is");
}

#[test]
fn what_another_version_lacks_is_dropped_or_refused_as_its_schema_says() {
    let (mut written, mut refused) = (0, 0);
    for_each_case(|case| {
        for other in case.message.versions.clone() {
            let ours = (case.codec.recode)(&case.bytes, case.version, other).expect("the bytes decode");
            match encode(case.message, &case.values, other, Oddity::default()) {
                Ok((bytes, _)) => {
                    assert_eq!(ours.as_deref(), Ok(&bytes[..]), "{}, written as {other}", case.name);
                    written += 1;
                }
                Err(Refused) => {
                    assert!(ours.is_err(), "{}, written as {other}: {ours:02x?}", case.name);
                    refused += 1;
                }
            }
        }
    });
    assert!(written > 1000 && refused > 1000, "both happen: {written} written, {refused} refused");
}

#[test]
fn unknown_tagged_fields_are_skipped() {
    for_each_case(|case| {
        let (bytes, _) = case.written(Oddity { unknown_tag: true, ..Oddity::default() });
        assert_eq!(
            bytes != case.bytes,
            case.message.flexible.contains(&case.version),
            "flexible versions have a place for tagged fields: {}",
            case.name
        );
        assert_eq!((case.codec.same)(&bytes, &case.bytes, case.version), Ok(true), "{}", case.name);
    });
}

#[test]
fn every_truncation_is_refused_and_so_is_a_byte_too_many() {
    for_each_case(|case| {
        for end in 0..case.bytes.len() {
            let cut = (case.codec.check)(&case.bytes.slice(..end), case.version);
            assert!(cut.is_err(), "{}, cut at {end} of {}: {:02x?}", case.name, case.bytes.len(), case.bytes);
        }
        let more = [&case.bytes[..], &[0]].concat().into();
        assert_eq!((case.codec.check)(&more, case.version), Err(DecodeError::Trailing), "{}", case.name);
    });
}

#[test]
fn a_null_where_none_may_be_is_refused() {
    for_each_case(|case| {
        let (_, places) = case.written(Oddity::default());
        for place in 0..places {
            let (bytes, _) = case.written(Oddity { null_at: Some(place), ..Oddity::default() });
            let outcome = (case.codec.check)(&bytes, case.version);
            assert_eq!(outcome, Err(DecodeError::Length), "{}, place {place}: {bytes:02x?}", case.name);
        }
    });
}

#[test]
fn versions_that_no_schema_knows_are_refused() {
    for_each_case(|case| {
        let (low, high) = (case.message.versions.start() - 1, case.message.versions.end() + 1);
        for version in [low, high, i16::MIN, i16::MAX] {
            assert_eq!((case.codec.check)(&case.bytes, version), Err(DecodeError::Version), "{}", case.name);
        }
    });
}

/// Bytes of memory that decoding may hold for each byte of a message, and for a message of any length. An empty string
/// is one byte on the wire and 32 in memory, and a list that grows holds its old and its new place at once.
const MEMORY_PER_BYTE: usize = 72;
const MEMORY_AT_LEAST: usize = 20 * 1024;

fn check_memory(codec: Codec, bytes: &Bytes, version: i16, name: &str) {
    let (_, taken) = measure(|| (codec.check)(bytes, version));
    let bound = MEMORY_AT_LEAST + MEMORY_PER_BYTE * bytes.len();
    assert!(taken.peak_bytes <= bound, "{name}: {taken:?} for {} bytes {bytes:02x?}", bytes.len());
}

#[test]
fn damaged_messages_never_panic_nor_hold_much_memory() {
    for_each_case(|case| {
        check_memory(case.codec, &case.bytes, case.version, &case.name);
        for _ in 0..20 * case.bytes.len().min(1) {
            let mut bytes = case.bytes.to_vec();
            for _ in 0..=case.random.below(2) {
                let at = usize::try_from(case.random.below(bytes.len() as u64)).expect("an index");
                bytes[at] =
                    [0, 0xff, 0x7f, 0x80, 1][usize::try_from(case.random.below(5)).expect("an index")];
            }
            check_memory(case.codec, &bytes.into(), case.version, &case.name);
        }
    });
}

#[test]
fn lists_of_the_smallest_elements_hold_a_small_multiple_of_their_bytes() {
    let mut lists = 0;
    for message in &schema::messages() {
        let codec = codec::generated(message);
        for version in message.versions.clone() {
            for nth in 0.. {
                let Some(values) = value::swollen(message, version, nth, 2000) else { break };
                let name = format!("{:?} {} version {version}, list {nth}", message.role, message.name);
                let (bytes, _) = encode(message, &values, version, Oddity::default()).expect("it fits");
                let bytes = Bytes::from(bytes);
                assert_eq!((codec.check)(&bytes, version), Ok(()), "{name}");
                for end in [bytes.len(), bytes.len() - 1, bytes.len() / 2 + 1] {
                    check_memory(codec, &bytes.slice(..end), version, &name);
                }
                lists += 1;
            }
        }
    }
    assert!(lists > 1000, "{lists} lists were swollen");
}
