//! Which APIs this broker serves, in which versions.

use super::{Context, Plan};
use crate::wire::{DecodeError, Reader};
use std::fmt::Write;

/// One API: its versions and how its requests are planned.
#[derive(Clone, Copy)]
pub struct Api {
    /// Its number.
    pub key: i16,
    /// Its name.
    pub name: &'static str,
    /// Lowest version that ApiVersions tells.
    pub min: i16,
    /// Lowest version that is served; below it the connection is closed. Differs from `min` for Produce alone
    /// (KAFKA-18659).
    pub served_min: i16,
    /// Highest version.
    pub max: i16,
    /// Plans a request of a served version.
    pub plan: fn(&Context<'_>, Reader) -> Result<Plan, DecodeError>,
}

/// All APIs, by key.
pub const API_TABLE: &[Api] = &[
    super::k00_produce::API,
    super::k01_fetch::API,
    super::k02_list_offsets::API,
    super::k03_metadata::API,
    super::group::k08_offset_commit::API,
    super::group::k09_offset_fetch::API,
    super::group::k10_find_coordinator::API,
    super::group::k11_join_group::API,
    super::group::k12_heartbeat::API,
    super::group::k13_leave_group::API,
    super::group::k14_sync_group::API,
    super::group::k15_describe_groups::API,
    super::group::k16_list_groups::API,
    super::k18_api_versions::API,
    super::admin::k19_create_topics::API,
    super::admin::k20_delete_topics::API,
    super::k21_delete_records::API,
    super::txn::k22_init_producer_id::API,
    super::k23_offset_for_leader_epoch::API,
    super::txn::k24_add_partitions_to_txn::API,
    super::txn::k25_add_offsets_to_txn::API,
    super::txn::k26_end_txn::API,
    super::txn::k27_write_txn_markers::API,
    super::txn::k28_txn_offset_commit::API,
    super::admin::k32_describe_configs::API,
    super::admin::k33_alter_configs::API,
    super::admin::k35_describe_log_dirs::API,
    super::admin::k37_create_partitions::API,
    super::group::k42_delete_groups::API,
    super::admin::k43_elect_leaders::API,
    super::admin::k44_incremental_alter_configs::API,
    super::admin::k45_alter_partition_reassignments::API,
    super::admin::k46_list_partition_reassignments::API,
    super::group::k47_offset_delete::API,
    super::admin::k55_describe_quorum::API,
    super::admin::k60_describe_cluster::API,
    super::txn::k61_describe_producers::API,
    super::admin::k64_unregister_broker::API,
    super::txn::k65_describe_transactions::API,
    super::txn::k66_list_transactions::API,
    super::group::k68_consumer_group_heartbeat::API,
    super::group::k69_consumer_group_describe::API,
    super::admin::k75_describe_topic_partitions::API,
    super::admin::k80_add_raft_voter::API,
    super::admin::k81_remove_raft_voter::API,
];

/// Plans a request. An unknown key or version ends the connection, but for ApiVersions, which says what there is
/// (rows 2, 3).
///
/// # Errors
/// The request is malformed.
pub fn plan(context: &Context<'_>, body: Reader) -> Result<Plan, DecodeError> {
    let (key, version) = (context.header.api_key, context.header.version);
    match API_TABLE.binary_search_by_key(&key, |api| api.key).map(|index| &API_TABLE[index]) {
        Ok(api) if (api.served_min..=api.max).contains(&version) => (api.plan)(context, body),
        Ok(api) if api.key == 18 => Ok(super::k18_api_versions::unsupported(context)),
        Ok(_) => Ok(Plan::Close("the API's version isn't served")),
        Err(_) => Ok(Plan::Close("the API isn't served")),
    }
}

/// The name of an API that is served, for people.
#[must_use]
pub fn name_of(key: i16) -> &'static str {
    API_TABLE.iter().find(|api| api.key == key).map_or("?", |api| api.name)
}

/// The table of `docs/PROTOCOL.md`.
#[must_use]
pub fn protocol_table() -> String {
    let mut out = String::from("| key | API | versions |\n|---|---|---|\n");
    for api in API_TABLE {
        let note = if api.min == api.served_min {
            String::new()
        } else {
            format!(" (served from {})", api.served_min)
        };
        let _ = writeln!(out, "| {} | {} | {}-{}{note} |", api.key, api.name, api.min, api.max);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::generated::SCHEMAS;

    #[test]
    fn the_table_is_sorted_and_within_the_schemas() {
        assert!(API_TABLE.windows(2).all(|pair| pair[0].key < pair[1].key));
        for api in API_TABLE {
            let schema = SCHEMAS.iter().find(|schema| schema.key == api.key).expect("the schemas have it");
            assert_eq!(api.name, schema.name);
            assert!(api.served_min >= schema.min && api.max <= schema.max, "{}", api.name);
        }
    }

    #[test]
    fn the_document_lists_what_is_served() {
        let document = include_str!("../../docs/PROTOCOL.md");
        assert!(document.contains(&protocol_table()), "docs/PROTOCOL.md must contain:\n{}", protocol_table());
    }
}
