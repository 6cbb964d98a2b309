//! Calls to the store, performed: each answers with one of a closed set, whatever happens.

use super::StoreAnswer;
use crate::dcs::{Answer, Lease, MemberDocument, Store};
use regent_core::model::{StatusView, StoreCall};
use std::sync::Arc;
use std::time::Duration;

/// What calls need beside their own data.
#[derive(Debug, Default)]
pub struct Input {
    /// The lock as we hold it.
    pub lease: Option<Lease>,
    /// The member key's document.
    pub member: Option<MemberDocument>,
    /// The position and the slots that go with the lock.
    pub status: Option<StatusView>,
    /// The dynamic configuration to write.
    pub config: Option<serde_json::Value>,
}

/// Performs one call within `budget`.
pub async fn call(store: &Store, call: &StoreCall, input: Input, budget: Duration) -> StoreAnswer {
    match call {
        StoreCall::Load => match store.load(budget).await {
            Answer::Done(snapshot) => StoreAnswer::Loaded(Arc::new(snapshot)),
            other => without_value(other),
        },
        StoreCall::Acquire => held(store.acquire(input.status.as_ref(), budget).await),
        StoreCall::Renew => match input.lease {
            Some(lease) => held(store.renew(lease, input.status.as_ref(), budget).await),
            None => StoreAnswer::Refused("there is no lock to renew".to_owned()),
        },
        StoreCall::Release { .. } => match input.lease {
            Some(lease) => without_value(store.release(lease, input.status.as_ref(), budget).await),
            None => StoreAnswer::Refused("there is no lock to give back".to_owned()),
        },
        StoreCall::TouchMember => match input.member {
            Some(document) => without_value(store.touch_member(&document, budget).await),
            None => StoreAnswer::Refused("there is no document to write".to_owned()),
        },
        StoreCall::ClaimInitialize => without_value(store.claim_initialize(budget).await),
        StoreCall::SetInitialize { system_id } => without_value(store.set_initialize(system_id, budget).await),
        StoreCall::CancelInitialize => without_value(store.cancel_initialize(budget).await),
        StoreCall::RestoreConfig => match input.config {
            Some(config) => without_value(store.write_config(&config, None, budget).await),
            None => StoreAnswer::Refused("there is no configuration to write".to_owned()),
        },
        StoreCall::ClearFailover { version } => {
            without_value(store.clear_failover(Some(version.clone()), budget).await)
        }
        StoreCall::WriteSync { sync, over } => without_value(store.write_sync(sync, over.clone(), budget).await),
        StoreCall::DeleteSync { version } => without_value(store.delete_sync(version.clone(), budget).await),
        StoreCall::WriteFailsafe { members } => without_value(store.write_failsafe(members, budget).await),
        StoreCall::WriteHistory { rows } => without_value(store.write_history(rows, budget).await),
    }
}

fn held(answer: Answer<Lease>) -> StoreAnswer {
    match answer {
        Answer::Done(lease) => StoreAnswer::Held(lease),
        other => without_value(other),
    }
}

fn without_value<T>(answer: Answer<T>) -> StoreAnswer {
    match answer {
        Answer::Done(_) => StoreAnswer::Done,
        Answer::Refused(why) => StoreAnswer::Refused(why),
        Answer::Unreachable(why) => StoreAnswer::Unreachable(why),
        Answer::Unknown(why) => StoreAnswer::Unknown(why),
    }
}
