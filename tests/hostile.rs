//! Clients that mean harm, against the real binary: whatever they send, the broker stays alive and small, and serves
//! those who behave. `docs/TESTING.md` names the environment variables that make the attacks
//! larger.

mod attacks;
mod broker;
