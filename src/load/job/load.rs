//! The typed form of one phase.

use super::settings::Settings;
use super::value::{parse_bytes, parse_count, parse_duration, parse_keys, parse_rate, parse_sizes};
use crate::load::arrival::Rate;
use crate::load::shape::{Keys, Sizes};
use crate::load::verify::STAMP_BYTES;
use crate::rt::Stop;
use crate::wire::batch::Codec;
use std::time::Duration;

/// Batches that an idempotent producer may have in flight: brokers remember so many for detecting duplicates.
const IDEMPOTENT_IN_FLIGHT_MAX: usize = 5;

/// How long a phase with a bound of another kind may take, unless it is told.
const BOUNDED_TIME_MAX: Duration = Duration::from_hours(24);

/// What only verification can tell.
const VERIFIED: [&str; 4] = ["loss", "duplicates", "reordered", "corrupt"];

/// Who must have a record before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nobody: there is no acknowledgement.
    None,
    /// The leader.
    Leader,
    /// All in-sync replicas.
    All,
}

impl Acks {
    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// What is looked at of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Headers of batches.
    None,
    /// Each batch's CRC.
    Crc,
    /// Each record's stamp and checksum as well.
    Records,
}

/// Where reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The first record that is there.
    Beginning,
    /// Behind the last.
    End,
}

/// When reading ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// With the duration.
    Time,
    /// At the end that the partitions had when reading began.
    End,
}

/// Whether records carry stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// Each does.
    Every,
    /// None does: batches are prepared once.
    None,
}

/// What is left out at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warmup {
    /// So long.
    Fixed(Duration),
    /// Until nothing changes any more, at most so long.
    Auto(Duration),
}

/// Everything that one phase is told.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are the keys of the table in keys.rs, which documents them")]
pub struct Load {
    pub bootstrap: Vec<String>,
    pub topic: String,
    pub topics: u32,
    pub partitions: i32,
    pub replication: i16,
    pub topic_config: Vec<(String, String)>,
    pub keep_topic: bool,
    pub client_id: String,
    pub request_timeout: Duration,
    pub rate: Rate,
    pub sizes: Sizes,
    pub keys: Keys,
    pub key_bytes: usize,
    pub ratio: f64,
    pub codec: Codec,
    pub producers: u32,
    pub batch_bytes: usize,
    pub linger: Duration,
    pub in_flight: usize,
    pub partitions_per_request: usize,
    pub request_max: usize,
    pub buffer_bytes: usize,
    pub acks: Acks,
    pub idempotent: bool,
    pub delivery_timeout: Duration,
    pub stamps: Stamps,
    pub consumers: u32,
    pub from: From,
    pub until: Until,
    pub fetch_bytes: i32,
    pub fetch_max: i32,
    pub fetch_min: i32,
    pub fetch_wait: Duration,
    pub check: Check,
    pub churn: bool,
    pub connections: u32,
    pub hold: Duration,
    pub ask: String,
    pub groups: u32,
    pub members: u32,
    pub transact: bool,
    pub transaction_batches: u32,
    pub abort_every: u32,
    pub duration: Duration,
    pub records: u64,
    pub bytes: u64,
    pub warmup: Warmup,
    pub interval: Duration,
    pub threads: u16,
    pub pin: bool,
    pub spin: Duration,
    pub seed: u64,
    pub verify: bool,
    pub gates: Vec<String>,
    pub junit: String,
    pub lag_max: Option<Duration>,
    pub allow_saturated: bool,
    pub pids: Vec<u32>,
    pub disk: String,
    pub metrics: Vec<String>,
    pub label: String,
    pub out: String,
    pub quiet: bool,
    /// Asks the run to stop; set by whoever starts it.
    pub stop: Stop,
}

/// Reads checked values; what couldn't be read is a problem already.
struct Values<'a>(&'a Settings);

impl Values<'_> {
    fn text(&self, name: &str) -> String {
        self.0.value(name).trim().to_owned()
    }

    fn list(&self, name: &str) -> Vec<String> {
        let parts = self.0.value(name).split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }

    fn is(&self, name: &str) -> bool {
        self.0.value(name) == "true"
    }

    fn count(&self, name: &str) -> f64 {
        let value = self.0.value(name);
        let (sign, digits) = value.strip_prefix('-').map_or((1.0, value), |rest| (-1.0, rest));
        parse_count(digits).unwrap_or_default() * sign
    }

    fn bytes(&self, name: &str) -> u64 {
        parse_bytes(self.0.value(name)).unwrap_or_default()
    }

    fn time(&self, name: &str) -> Duration {
        parse_duration(self.0.value(name)).unwrap_or_default()
    }

    fn int(&self, name: &str) -> i32 {
        i32::try_from(self.bytes(name)).unwrap_or(i32::MAX)
    }
}

impl Load {
    /// The typed form of checked settings.
    ///
    /// # Errors
    /// All that is wrong with them, or that doesn't fit together.
    #[expect(clippy::too_many_lines, reason = "a line a key")]
    pub fn check(settings: &Settings) -> Result<Load, Vec<String>> {
        let mut problems = settings.problems().to_vec();
        let values = Values(settings);
        let sizes = parse_sizes(values.0.value("size")).unwrap_or(Sizes::Fixed(1024));
        let (duration, verify) = (duration(&values), verify(&values));
        let rate = parse_rate(values.0.value("rate"), sizes.mean(), duration).unwrap_or_else(|why| {
            problems.push(format!("rate = {:?}: {why}", values.0.value("rate")));
            Rate::Max
        });
        let topic_config = pairs(&values.list("topic-config"), &mut problems);
        let pids = values.list("broker-pid").iter().filter_map(|text| pid(text, &mut problems)).collect();
        let warmup = warmup(settings, &rate);
        let load = Load {
            bootstrap: values.list("bootstrap"),
            topic: values.text("topic"),
            topics: values.count("topics") as u32,
            partitions: values.count("partitions") as i32,
            replication: values.count("replication") as i16,
            topic_config,
            keep_topic: values.is("keep-topic"),
            client_id: values.text("client-id"),
            request_timeout: values.time("request-timeout"),
            keys: parse_keys(values.0.value("keys")).unwrap_or(Keys::None),
            key_bytes: values.bytes("key-bytes") as usize,
            ratio: values.count("ratio"),
            codec: codec(values.0.value("compression")),
            producers: values.count("producers") as u32,
            batch_bytes: values.bytes("batch") as usize,
            linger: values.time("linger"),
            in_flight: values.count("in-flight") as usize,
            partitions_per_request: per_request(&values, &rate),
            request_max: values.bytes("request-max") as usize,
            buffer_bytes: values.bytes("buffer") as usize,
            acks: acks(values.0.value("acks")),
            idempotent: idempotent(&values),
            delivery_timeout: values.time("delivery-timeout"),
            stamps: stamps(&values),
            consumers: values.count("consumers") as u32,
            from: if values.0.value("from") == "end" { From::End } else { From::Beginning },
            until: if values.0.value("until") == "end" { Until::End } else { Until::Time },
            fetch_bytes: values.int("fetch-bytes"),
            fetch_max: values.int("fetch-max"),
            fetch_min: values.int("fetch-min"),
            fetch_wait: values.time("fetch-wait"),
            check: check(&values),
            churn: values.is("churn"),
            connections: values.count("connections") as u32,
            hold: values.time("hold"),
            ask: values.text("ask"),
            groups: values.count("groups") as u32,
            members: values.count("members") as u32,
            transact: values.is("transact"),
            transaction_batches: values.count("batches") as u32,
            abort_every: values.count("abort-every") as u32,
            records: values.count("records") as u64,
            bytes: values.bytes("bytes"),
            warmup,
            interval: values.time("interval").min(duration).max(Duration::from_millis(10)),
            threads: values.count("threads") as u16,
            pin: values.is("pin"),
            spin: values.time("spin"),
            seed: values.count("seed") as u64,
            gates: values.list("gate"),
            junit: values.text("junit"),
            lag_max: parse_duration(values.0.value("lag-max")).ok(),
            allow_saturated: values.is("allow-saturated"),
            pids,
            disk: values.text("disk"),
            metrics: values.list("broker-metrics"),
            label: values.text("label"),
            out: values.text("out"),
            quiet: values.is("quiet"),
            stop: Stop::default(),
            rate,
            sizes,
            duration,
            verify,
        };
        problems.extend(load.contradictions());
        if problems.is_empty() { Ok(load) } else { Err(problems) }
    }

    /// What doesn't fit together.
    fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.bootstrap.is_empty() {
            found.push("bootstrap is empty: name a broker as HOST:PORT".to_owned());
        }
        if self.stamps == Stamps::Every && self.sizes.smallest() < STAMP_BYTES && self.producers > 0 {
            found.push(format!(
                "size: values below {STAMP_BYTES} bytes have no room for the stamp; choose larger ones, or stamps=none"
            ));
        }
        if self.stamps == Stamps::None && (self.verify || self.check == Check::Records && self.consumers > 0)
        {
            found.push(
                "stamps=none leaves nothing to verify: drop stamps, verify or check=records".to_owned(),
            );
        }
        if self.idempotent && self.in_flight > IDEMPOTENT_IN_FLIGHT_MAX {
            found.push(format!(
                "in-flight = {}: an idempotent producer has at most {IDEMPOTENT_IN_FLIGHT_MAX}; \
                 lower it, or say idempotence=false",
                self.in_flight
            ));
        }
        if self.idempotent && self.acks != Acks::All {
            found.push("idempotence=true needs acks=all".to_owned());
        }
        if self.verify && self.acks == Acks::None {
            found.push("acks=0 acknowledges nothing that verify could look for".to_owned());
        }
        if self.sizes.largest() > 100 * 1024 * 1024 {
            found.push("size: values above 100 MiB don't fit any request".to_owned());
        }
        found
    }

    /// Whether this phase sends records.
    #[must_use]
    pub fn produces(&self) -> bool {
        self.producers > 0
    }

    /// Whether this phase reads records.
    #[must_use]
    pub fn consumes(&self) -> bool {
        self.consumers > 0
    }
}

fn pairs(list: &[String], problems: &mut Vec<String>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for item in list {
        match item.split_once('=') {
            Some((key, value)) => found.push((key.trim().to_owned(), value.trim().to_owned())),
            None => problems.push(format!("topic-config = {item:?}: write KEY=VALUE")),
        }
    }
    found
}

fn pid(text: &str, problems: &mut Vec<String>) -> Option<u32> {
    let number = text.parse().ok();
    if number.is_none() {
        problems.push(format!("broker-pid = {text:?}: must be the number of a process"));
    }
    number
}

/// A ramp has no steady state to wait for, and an end by count may come before one.
fn warmup(settings: &Settings, rate: &Rate) -> Warmup {
    let values = Values(settings);
    match parse_duration(settings.value("warmup")) {
        Ok(fixed) => Warmup::Fixed(fixed),
        Err(_) if matches!(rate, Rate::Ramp { .. }) => Warmup::Fixed(Duration::ZERO),
        Err(_) if is_bounded(&values) => Warmup::Fixed(Duration::ZERO),
        Err(_) => Warmup::Auto(values.time("warmup-max")),
    }
}

/// Whether something besides the duration ends the phase.
fn is_bounded(values: &Values) -> bool {
    values.count("records") > 0.0 || values.bytes("bytes") > 0 || values.0.value("until") == "end"
}

/// A bound is meant to be reached: without a word about the time it has a long one.
fn duration(values: &Values) -> Duration {
    if is_bounded(values) && !values.0.is_set("duration") {
        BOUNDED_TIME_MAX
    } else {
        values.time("duration")
    }
}

/// A gate on what verification finds needs it.
fn verify(values: &Values) -> bool {
    let needs = |gate: &String| VERIFIED.iter().any(|name| gate.contains(name));
    values.is("verify") || values.list("gate").iter().any(needs)
}

fn acks(word: &str) -> Acks {
    match word {
        "0" => Acks::None,
        "1" => Acks::Leader,
        _ => Acks::All,
    }
}

fn codec(word: &str) -> Codec {
    match word {
        "gzip" => Codec::Gzip,
        "snappy" => Codec::Snappy,
        "lz4" => Codec::Lz4,
        "zstd" => Codec::Zstd,
        _ => Codec::None,
    }
}

fn idempotent(values: &Values) -> bool {
    match values.0.value("idempotence") {
        "auto" => {
            let few = values.count("in-flight") as usize <= IDEMPOTENT_IN_FLIGHT_MAX;
            values.0.value("acks") == "all" && few
        }
        word => word == "true",
    }
}

fn per_request(values: &Values, rate: &Rate) -> usize {
    match values.count("partitions-per-request") as usize {
        0 if rate.is_open() || values.0.value("keys") != "none" => usize::MAX,
        0 => 1,
        some => some,
    }
}

fn stamps(values: &Values) -> Stamps {
    let read = verify(values) || values.count("consumers") > 0.0;
    match values.0.value("stamps") {
        "none" => Stamps::None,
        "auto" if values.0.value("compression") != "none" && !read => Stamps::None,
        _ => Stamps::Every,
    }
}

fn check(values: &Values) -> Check {
    let produces = values.count("producers") > 0.0;
    match values.0.value("check") {
        "none" => Check::None,
        "crc" => Check::Crc,
        "auto" if !(verify(values) || produces && stamps(values) == Stamps::Every) => Check::None,
        _ => Check::Records,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Load, String> {
        let mut settings = Settings::default();
        settings.toml(&text.parse().unwrap(), "test");
        Load::check(&settings).map_err(|problems| problems.join("\n"))
    }

    #[test]
    fn defaults_are_those_of_kafkas_client() {
        let load = load("").unwrap();
        assert_eq!((load.in_flight, load.batch_bytes, load.acks), (5, 16 * 1024, Acks::All));
        assert!(load.idempotent && load.rate == Rate::Max);
        assert_eq!(load.partitions_per_request, 1);
    }

    #[test]
    fn what_depends_on_other_keys_follows_them() {
        assert!(!load("in-flight = 100").unwrap().idempotent);
        assert_eq!(load("rate = 5000").unwrap().partitions_per_request, usize::MAX);
        assert_eq!(load("compression = \"lz4\"").unwrap().stamps, Stamps::None);
        assert_eq!(load("compression = \"lz4\"\nconsumers = 1").unwrap().stamps, Stamps::Every);
        assert_eq!(load("consumers = 1").unwrap().check, Check::Records);
        assert_eq!(load("consumers = 1\nproducers = 0").unwrap().check, Check::None);
        assert_eq!(load("rate = \"ramp 1k..2k\"").unwrap().warmup, Warmup::Fixed(Duration::ZERO));
    }

    #[test]
    fn contradictions_are_told_all_at_once() {
        let told = load("size = 10\nidempotence = true\nin-flight = 9\nacks = 0\nverify = true").unwrap_err();
        for part in ["28 bytes", "at most 5", "needs acks=all", "acks=0"] {
            assert!(told.contains(part), "{told}");
        }
    }
}
