//! ListPartitionReassignments (key 46), version 0. Reassignment comes with replication: there never is one under way,
//! and tools that ask (`kafka-topics --describe`) get an empty list (row 29).

use super::{Api, Context, Plan};
use crate::wire::generated::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 46, name: "ListPartitionReassignments", min: 0, served_min: 0, max: 0, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    ListPartitionReassignmentsRequest::decode(&mut body, context.header.version)?;
    Ok(context.respond(&ListPartitionReassignmentsResponse { error_message: None, ..Default::default() }))
}
