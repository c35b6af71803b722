//! RemoveRaftVoter (key 81), version 0: has a voter of the metadata be none (KIP-853).
//!
//! The acting coordinator answers, whichever broker is asked, once that is committed; if it removes itself it goes
//! after that. Deviation: a directory's id of zeros stands for whichever the voter has.

use super::k80_add_raft_voter::check_cluster;
use super::{Api, Context, Plan, result};
use crate::base::{ErrorCode, NodeId};
use crate::cluster::Command;
use crate::wire::generated::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 81, name: "RemoveRaftVoter", min: 0, served_min: 0, max: 0, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = RemoveRaftVoterRequest::decode(&mut body, context.header.version)?;
    if let Err((error, why)) = check_cluster(context, request.cluster_id.as_deref()) {
        return Ok(respond(context, error, Some(why.into())));
    }
    let (id, directory) = (NodeId(request.voter_id), request.voter_directory_id.0);
    Ok(Plan::Cluster(
        vec![Command::RemoveVoter { id, directory }],
        Box::new(|context, outcomes| {
            let (error, why) = result(outcomes);
            respond(context, error, why)
        }),
    ))
}

fn respond(context: &Context<'_>, error: ErrorCode, error_message: Option<Str>) -> Plan {
    let error_code = error.code();
    context.respond(&RemoveRaftVoterResponse { error_code, error_message, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Fixture;
    use crate::base::TopicId;

    #[test]
    fn a_voter_is_removed_and_nobody_else() {
        let mut fixture = Fixture::cluster(3);
        let mut remove = |cluster_id: Option<&str>, voter_id| {
            let cluster_id = cluster_id.map(Str::from);
            let voter_directory_id = TopicId([6; 16]);
            let request = RemoveRaftVoterRequest { cluster_id, voter_id, voter_directory_id };
            let told: RemoveRaftVoterResponse = fixture.ask(81, 0, &request).message();
            told.error_code
        };
        assert_eq!(remove(Some("other"), 2), ErrorCode::InconsistentClusterId.code());
        assert_eq!(remove(None, 3), ErrorCode::VoterNotFound.code());
        assert_eq!(remove(None, 2), 0);
    }
}
