//! The APIs of admin clients and tools: topics, settings, placement, the cluster.

mod config_resource;
pub(super) mod k19_create_topics;
pub(super) mod k20_delete_topics;
pub(super) mod k32_describe_configs;
pub(super) mod k33_alter_configs;
pub(super) mod k35_describe_log_dirs;
pub(super) mod k37_create_partitions;
pub(super) mod k43_elect_leaders;
pub(super) mod k44_incremental_alter_configs;
pub(super) mod k45_alter_partition_reassignments;
pub(super) mod k46_list_partition_reassignments;
pub(super) mod k55_describe_quorum;
pub(super) mod k60_describe_cluster;
pub(super) mod k64_unregister_broker;
pub(super) mod k75_describe_topic_partitions;
pub(super) mod k80_add_raft_voter;
pub(super) mod k81_remove_raft_voter;

use super::{Api, Context, Plan, k03_metadata, resolve_name};
use crate::base::ErrorCode;
use crate::cluster::Outcome;
use crate::wire::Str;

/// The error and its reason, of a request that is one command with nothing to tell but whether it was carried out.
fn result(outcomes: Vec<Outcome>) -> (ErrorCode, Option<Str>) {
    match outcomes.into_iter().next() {
        Some(Outcome::Done) => (ErrorCode::None, None),
        Some(Outcome::Refused((error, why))) => (error, Some(Str::from(why))),
        _ => (ErrorCode::UnknownServerError, None),
    }
}
