//! A broker on a simulated machine: a seed decides every order, delay and fault, so that a failing run can be run
//! again.
//!
//! The shards are the real ones; only their world is simulated. `exec` runs their tasks and the clients', `disk` is as
//! forgetful as `seam::files` allows, `net` and `world` carry messages. `broker` starts, kills and restarts the
//! process, `client` speaks the protocol, `groups` and `mixed` are its members, who speak by `standing`, `txns` its
//! transactional producers, `keyed` has a compacted topic, `copied` a follower's log, `workload` is one run,
//! `history` and `ledger` judge it, `seeds` says which runs there are.
#![cfg(any(test, debug_assertions))]

mod admin;
pub mod broker;
pub mod client;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod copied;
pub mod disk;
pub mod exec;
pub mod groups;
pub mod history;
pub mod keyed;
pub mod ledger;
mod mixed;
pub mod net;
mod producer;
#[cfg(test)]
mod seeds;
mod standing;
#[cfg(test)]
mod tests;
mod txns;
pub mod workload;
pub mod world;
