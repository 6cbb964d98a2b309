//! Short work on the local server, performed beside the long.

use super::Finding;
use super::deeds::Deeds;
use crate::ports;
use crate::postgres::{Connection, FollowTarget, PgError, control_data, find_running};
use regent_core::model::{Callback, ControlData, Errand, HistoryRow, Lsn, Observed, Role, SlotSpec, Source, Timeline};
use std::collections::BTreeMap;
use std::time::Duration;

/// The first checkpoint of a new primary may be a big one.
const CHECKPOINT_LIMIT: Duration = Duration::from_secs(3600);

/// Does one errand; `role` is the member's.
pub(super) async fn perform(deeds: &Deeds, errand: Errand, role: Role) -> Result<Finding, PgError> {
    match errand {
        // Members are asked by the loop itself, which knows where they are.
        Errand::Probe { .. } | Errand::AskFailsafe { .. } => {}
        Errand::SyncSlots { create, unwanted, advance, .. } => {
            return sync_slots(deeds, &create, &unwanted, &advance).await;
        }
        Errand::CheckpointAfterPromote => deeds.server().checkpoint(CHECKPOINT_LIMIT).await?,
        Errand::ApplyConfiguration { follow } => apply_configuration(deeds, role, follow).await?,
        Errand::SetStandbyNames { .. } => return set_standby_names(deeds).await,
        Errand::Callback(event, role) => callback(deeds, event, role),
        Errand::ReadControl => return control(deeds).await.map(Finding::Control),
        Errand::WakeReceiver => deeds.server().wake_receiver(&mut deeds.connection()).await?,
        Errand::ReadHistory => return history(deeds).await.map(Finding::History),
    }
    Ok(Finding::Nothing)
}

/// Brings the slots in order: one that does not let itself be brought in order does not hold up the others.
async fn sync_slots(
    deeds: &Deeds,
    create: &[SlotSpec],
    unwanted: &[String],
    advance: &[(SlotSpec, Lsn)],
) -> Result<Finding, PgError> {
    let mut connections = SlotConnections { deeds, main: deeds.connection(), others: BTreeMap::new() };
    let mut failure = None;
    for name in unwanted {
        match connections.main.drop_slot(name).await {
            Ok(true) => {}
            Ok(false) => tracing::info!("the slot {name} is in use and stays"),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    for slot in create {
        if let Err(error) = connections.of(slot).create_slot(slot).await {
            failure = failure.or(Some(error));
        }
    }
    let mut broken = Vec::new();
    for (slot, to) in advance {
        match connections.of(slot).advance_slot(&slot.name, *to).await {
            Ok(()) => {}
            Err(error) if slot.logical.is_some() && error.says_log_is_gone() => {
                tracing::warn!("the slot {slot} can not be moved: {error}");
                broken.push(slot.name.clone());
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) if broken.is_empty() => Err(error),
        Some(error) => {
            tracing::warn!("not all slots are in order: {error}");
            Ok(Finding::BrokenSlots(broken))
        }
        None => Ok(Finding::BrokenSlots(broken)),
    }
}

/// A logical slot is made and moved in its own database.
struct SlotConnections<'a> {
    deeds: &'a Deeds,
    main: Connection,
    others: BTreeMap<String, Connection>,
}

impl SlotConnections<'_> {
    fn of(&mut self, slot: &SlotSpec) -> &mut Connection {
        match &slot.logical {
            None => &mut self.main,
            Some(logical) => self
                .others
                .entry(logical.database.clone())
                .or_insert_with(|| self.deeds.connection().to_database(&logical.database)),
        }
    }
}

fn callback(deeds: &Deeds, event: Callback, role: Role) {
    let settings = &deeds.server().settings;
    if let Some(command) = settings.callbacks.get(event.as_str()) {
        deeds.callbacks.call(command, event.as_str(), role.as_str(), &settings.scope);
    }
}

/// Writes what the running server should be configured as, lets it read that, and sees what waits for a restart.
async fn apply_configuration(deeds: &Deeds, role: Role, follow: Option<Source>) -> Result<(), PgError> {
    let server = deeds.server();
    let mut connection = deeds.connection();
    let wanted = match role {
        Role::Primary | Role::Promoted => deeds.wanted_primary(),
        _ => deeds.wanted_replica(follow.map_or(FollowTarget::None, FollowTarget::Source)),
    };
    let written = server.configure(&wanted).await?;
    server.reload(&mut connection).await?;
    let mut pending = server.pending_restart(&mut connection).await?;
    pending.extend(written.held_back);
    deeds.set_pending(pending);
    Ok(())
}

/// Lets the running primary wait for the standbys that the deeds were given.
async fn set_standby_names(deeds: &Deeds) -> Result<Finding, PgError> {
    let server = deeds.server();
    let changed = server.configure(&deeds.wanted_primary()).await?.changed();
    if changed || deeds.names().is_some() {
        server.reload(&mut deeds.connection()).await?;
    }
    Ok(if changed { Finding::Reloaded } else { Finding::Nothing })
}

async fn control(deeds: &Deeds) -> Result<Observed<ControlData>, PgError> {
    let server = deeds.server();
    let at = ports::now();
    let value = control_data(&server.binaries, &server.settings.data_dir).await?;
    Ok(Observed::Seen { value, at })
}

/// The history of timelines from the local files; the newest row says when it was and that we lead.
async fn history(deeds: &Deeds) -> Result<Vec<HistoryRow>, PgError> {
    let server = deeds.server();
    let data_dir = &server.settings.data_dir;
    if find_running(data_dir).is_none() {
        return Err(PgError::NotRunning);
    }
    let timeline = server.replicate_locally(Duration::from_secs(3)).await?.identify(Duration::from_secs(3)).await?;
    let rows = server.local_history(timeline.timeline).await?.unwrap_or_default();
    let count = rows.len();
    let at = jiff::Timestamp::from_microsecond(ports::wall_now().0).unwrap_or_default();
    let at = at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S.%6f%:z").to_string();
    let rows = rows.into_iter().enumerate().map(|(index, row)| HistoryRow {
        timeline: Timeline(row.timeline.0),
        switch_lsn: row.switchpoint,
        reason: row.reason,
        timestamp: (index + 1 == count).then(|| at.clone()),
        new_leader: (index + 1 == count).then(|| server.settings.name.clone()),
    });
    Ok(rows.collect())
}
