//! All shards' metrics as text for Prometheus.

use super::histogram::Times;
use super::runtime::RuntimeMetrics;
use super::shard::ShardMetrics;
use super::stages::{STAGES, StageTimes, Stages};
use super::table::{Kind, Metric};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The media type of `Registry::text`: OpenMetrics 1.0, which Prometheus reads as well.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The tables of one shard.
#[derive(Clone, Debug, Default)]
pub struct ShardTables {
    /// What its runtime counts.
    pub runtime: Arc<RuntimeMetrics>,
    /// What it counts of clients and logs.
    pub shard: Arc<ShardMetrics>,
    /// Where its requests' time goes.
    pub stages: Arc<Stages>,
}

impl ShardTables {
    fn metrics(&self) -> Vec<Metric> {
        let mut all = self.shard.metrics();
        all.append(&mut self.runtime.metrics());
        all
    }
}

/// The tables of all shards. A clone has the same ones.
#[derive(Clone, Debug)]
pub struct Registry(Arc<[ShardTables]>);

impl Registry {
    /// Fresh tables for so many shards.
    #[must_use]
    pub fn new(shards: u16) -> Self {
        Registry((0..shards).map(|_| ShardTables::default()).collect())
    }

    /// One shard's tables.
    #[must_use]
    pub fn of(&self, shard: usize) -> &ShardTables {
        &self.0[shard]
    }

    /// Every metric of every shard, named `ringlog_NAME{shard="N"}`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::with_prefix("ringlog");
        registry.register_collector(Box::new(self.clone()));
        let mut out = String::new();
        text::encode(&mut out, &registry).expect("a String takes any text");
        out
    }
}

impl Collector for Registry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shards: Vec<Vec<Metric>> = self.0.iter().map(ShardTables::metrics).collect();
        for index in 0..shards.first().map_or(0, Vec::len) {
            let Metric { name, help, kind, .. } = shards[0][index];
            let metric_type = match kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            // The format's writer adds the ending to counters.
            let name = name.trim_end_matches("_total");
            let mut family = encoder.encode_descriptor(name, help, None, metric_type)?;
            for (shard, metrics) in shards.iter().enumerate() {
                let labels = [("shard", shard.to_string())];
                let mut metric = family.encode_family(&labels)?;
                match kind {
                    Kind::Counter => {
                        metric.encode_counter::<NoLabelSet, u64, u64>(&metrics[index].value, None)?
                    }
                    Kind::Gauge => metric.encode_gauge(&metrics[index].value)?,
                }
            }
        }
        self.encode_stages(&mut encoder)
    }
}

/// Buckets of exported histograms end at these powers of two, in ns: 1 us to 17 s.
const POWERS: RangeInclusive<u32> = 10..=34;

impl Registry {
    /// The stages of one kind of request and the whole, over all shards.
    #[must_use]
    pub fn stage_times(&self, pick: Pick) -> Vec<(&'static str, Times)> {
        let sum = |of: &dyn Fn(&StageTimes) -> Times| {
            let mut sum = Times::default();
            self.0.iter().for_each(|shard| sum.add(&of(pick(&shard.stages))));
            sum
        };
        let stages = STAGES.map(|stage| (stage.name(), sum(&|times| times.of(stage).times())));
        stages.into_iter().chain([("total", sum(&|times| times.total.times()))]).collect()
    }

    fn encode_stages(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Where the time of requests goes, of one in eight.";
        let mut family = encoder.encode_descriptor("request_seconds", help, None, MetricType::Histogram)?;
        for (api, pick) in APIS {
            for (stage, times) in self.stage_times(pick) {
                encode_times(&mut family, [("api", api), ("stage", stage)], &times)?;
            }
        }
        Ok(())
    }
}

/// Picks the stages of one kind of request.
pub type Pick = fn(&Stages) -> &StageTimes;

const APIS: [(&str, Pick); 2] = [("produce", |stages| &stages.produce), ("fetch", |stages| &stages.fetch)];

fn encode_times(family: &mut MetricEncoder<'_>, labels: [(&str, &str); 2], times: &Times) -> fmt::Result {
    let (mut below, mut buckets) = (0, Vec::new());
    for power in POWERS {
        let upto = times.below_power(power);
        buckets.push((2_f64.powi(power.cast_signed()) / 1e9, upto - below));
        below = upto;
    }
    let count = times.count();
    buckets.push((f64::INFINITY, count - below));
    let sum = std::time::Duration::from_nanos(times.sum).as_secs_f64();
    family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_every_shard_is_told() {
        let registry = Registry::new(2);
        registry.of(0).shard.request(0);
        registry.of(1).shard.request(1);
        registry.of(1).shard.request(1);
        registry.of(1).runtime.connections_open.set(7);
        let text = registry.text();
        for line in [
            "# HELP ringlog_requests Requests of any API.",
            "# TYPE ringlog_requests counter",
            "ringlog_requests_total{shard=\"0\"} 1",
            "ringlog_requests_total{shard=\"1\"} 2",
            "# TYPE ringlog_connections_open gauge",
            "ringlog_connections_open{shard=\"1\"} 7",
        ] {
            assert!(text.lines().any(|other| other == line), "no line {line:?} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        let (all, of_one) = (text.matches("{shard=").count(), ShardTables::default().metrics().len());
        assert_eq!(all, 2 * of_one);
    }
}
