//! What tools ask, and transactional ids that nobody uses any more (row 73).

use super::{Coordinator, Timer, record};
use crate::base::{ErrorCode, Now};
use crate::txn::call::{Filter, TxnReply};
use crate::txn::state::{State, Txn};
use crate::wire::Str;
use crate::wire::generated::describe_transactions_response::{TopicData, TransactionState as Described};
use crate::wire::generated::list_transactions_response::TransactionState as Listed;
use regex::Regex;

impl Coordinator {
    pub(super) fn describe(&self, id: &Str) -> TxnReply {
        let Some(txn) = self.txns.get(id.as_str()) else {
            let error_code = ErrorCode::TransactionalIdNotFound.code();
            return TxnReply::Described(Described {
                error_code,
                transactional_id: id.clone(),
                ..Default::default()
            });
        };
        let mut topics: Vec<TopicData> = Vec::new();
        for (topic, index) in &txn.partitions {
            match topics.last_mut().filter(|last| last.topic == *topic) {
                Some(last) => last.partitions.push(*index),
                None => topics.push(TopicData { topic: topic.clone(), partitions: vec![*index] }),
            }
        }
        TxnReply::Described(Described {
            error_code: 0,
            transactional_id: id.clone(),
            transaction_state: Str::from_static(txn.state.name()),
            transaction_timeout_ms: txn.timeout_ms,
            transaction_start_time_ms: txn.started_ms,
            producer_id: txn.producer.0,
            producer_epoch: txn.epoch.0,
            topics,
        })
    }

    pub(super) fn list(&self, filter: &Filter, now: Now) -> Result<TxnReply, ErrorCode> {
        let pattern = match filter.pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
            None => None,
            Some(pattern) => {
                let whole = Regex::new(&format!("^(?:{pattern})$"));
                Some(whole.map_err(|_| ErrorCode::InvalidRegularExpression)?)
            }
        };
        let wanted = |txn: &&Txn| {
            let states = &filter.states;
            let state = states.is_empty() || states.iter().any(|name| name.as_str() == txn.state.name());
            let ids = &filter.producer_ids;
            let producer = ids.is_empty() || ids.contains(&txn.producer.0);
            let open_ms = now.wall_ms.saturating_sub(txn.started_ms);
            let duration = filter.duration_ms < 0 || open_ms > filter.duration_ms;
            state && producer && duration && pattern.as_ref().is_none_or(|pattern| pattern.is_match(&txn.id))
        };
        let listed = self.txns.values().filter(wanted).map(|txn| Listed {
            transactional_id: txn.id.clone(),
            producer_id: txn.producer.0,
            transaction_state: Str::from_static(txn.state.name()),
        });
        Ok(TxnReply::Listed(listed.collect()))
    }

    /// Forgets transactional ids that nobody has used for long.
    pub(super) fn expire(&mut self, now: Now) {
        let expiration = self.settings.id_expiration_ms;
        let idle = |txn: &&Txn| {
            matches!(txn.state, State::Empty | State::CompleteCommit | State::CompleteAbort)
                && now.wall_ms.saturating_sub(txn.updated_ms) >= expiration
        };
        let idle: Vec<Str> = self.txns.values().filter(idle).map(|txn| txn.id.clone()).collect();
        for id in idle {
            self.take_out(&id);
            self.records.push(record::tombstone(&id));
        }
        self.timers.set(Timer::Expiration, now.mono_ms + self.settings.expiration_check_ms);
    }
}
