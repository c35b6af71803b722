//! AddRaftVoter (key 80), versions 0 and 1: has a node that follows the metadata become a voter (KIP-853).
//!
//! The acting coordinator answers, whichever broker is asked, once the node has caught up and votes. Deviations: the
//! first endpoint is taken for the node's `peer.advertised`, whatever its listener is called; the directory's id is
//! only kept, to be told and to be named when the voter is removed; and a node that isn't there is given up after 10
//! seconds, whatever the request's timeout.

use super::{Api, Context, Plan, result};
use crate::base::{ErrorCode, NodeId};
use crate::cluster::{Command, Refusal};
use crate::wire::generated::add_raft_voter_request::Listener;
use crate::wire::generated::{AddRaftVoterRequest, AddRaftVoterResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 80, name: "AddRaftVoter", min: 0, served_min: 0, max: 1, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = AddRaftVoterRequest::decode(&mut body, context.header.version)?;
    Ok(match command(context, &request) {
        Err((error, why)) => respond(context, error, Some(why.into())),
        Ok(command) => Plan::Cluster(
            vec![command],
            Box::new(|context, outcomes| {
                let (error, why) = result(outcomes);
                respond(context, error, why)
            }),
        ),
    })
}

fn command(context: &Context<'_>, request: &AddRaftVoterRequest) -> Result<Command, Refusal> {
    check_cluster(context, request.cluster_id.as_deref())?;
    let address = request.listeners.first().and_then(address);
    let (Some(peer), true) = (address, request.voter_id >= 0) else {
        let why = "Add voter request needs an id that isn't negative and an endpoint with a host and a port.";
        return Err((ErrorCode::InvalidRequest, why.to_owned()));
    };
    Ok(Command::AddVoter {
        id: NodeId(request.voter_id),
        peer,
        directory: request.voter_directory_id.0,
        waits: request.ack_when_committed,
    })
}

/// HOST:PORT of a listener; an IPv6 address stands in brackets.
fn address(listener: &Listener) -> Option<Str> {
    let Listener { host, port, .. } = listener;
    let whole = !host.is_empty() && *port > 0;
    let bare = host.contains(':') && !host.starts_with('[');
    whole.then(|| if bare { format!("[{host}]:{port}") } else { format!("{}:{port}", host.as_str()) }.into())
}

/// Whether a request means this cluster.
pub(super) fn check_cluster(context: &Context<'_>, meant: Option<&str>) -> Result<(), Refusal> {
    let ours = context.cluster.cluster_id();
    match meant.filter(|meant| *meant != ours) {
        Some(meant) => {
            let why = format!("The request's cluster id {meant} isn't that of this cluster.");
            Err((ErrorCode::InconsistentClusterId, why))
        }
        None => Ok(()),
    }
}

fn respond(context: &Context<'_>, error: ErrorCode, error_message: Option<Str>) -> Plan {
    let error_code = error.code();
    context.respond(&AddRaftVoterResponse { error_code, error_message, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Fixture;
    use crate::base::TopicId;

    fn request(voter_id: i32, host: &str, port: u16) -> AddRaftVoterRequest {
        AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: 1000,
            voter_id,
            voter_directory_id: TopicId([4; 16]),
            listeners: vec![Listener { name: "CONTROLLER".into(), host: host.into(), port }],
            ack_when_committed: true,
        }
    }

    #[test]
    fn a_node_that_follows_becomes_a_voter_once() {
        let mut fixture = Fixture::cluster(3);
        for (version, id) in [(0, 3), (1, 4)] {
            let told: AddRaftVoterResponse = fixture.ask(80, version, &request(id, "host", 9193)).message();
            assert_eq!((told.error_code, told.error_message), (0, None));
        }
        let told: AddRaftVoterResponse = fixture.ask(80, 1, &request(2, "host", 9193)).message();
        assert_eq!(told.error_code, ErrorCode::DuplicateVoter.code());
    }

    #[test]
    fn what_says_nothing_of_a_node_or_means_another_cluster_is_refused() {
        let mut fixture = Fixture::cluster(3);
        let elsewhere = AddRaftVoterRequest { cluster_id: Some("other".into()), ..request(3, "host", 1) };
        let nowhere = AddRaftVoterRequest { listeners: vec![], ..request(3, "host", 1) };
        for (request, error) in [
            (elsewhere, ErrorCode::InconsistentClusterId),
            (nowhere, ErrorCode::InvalidRequest),
            (request(3, "", 1), ErrorCode::InvalidRequest),
            (request(3, "host", 0), ErrorCode::InvalidRequest),
            (request(-1, "host", 1), ErrorCode::InvalidRequest),
        ] {
            let told: AddRaftVoterResponse = fixture.ask(80, 1, &request).message();
            assert_eq!(told.error_code, error.code(), "{request:?}");
        }
    }

    #[test]
    fn addresses_are_written_as_they_are_dialled() {
        let listener = |host: &str| Listener { name: Str::EMPTY, host: host.into(), port: 7 };
        for (host, written) in [("h", "h:7"), ("::1", "[::1]:7"), ("[::1]", "[::1]:7")] {
            assert_eq!(address(&listener(host)).as_deref(), Some(written));
        }
    }
}
