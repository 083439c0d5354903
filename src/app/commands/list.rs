//! `fraudplat list`: puts entities on lists, takes them off, shows who stands there.

use std::str::FromStr as _;

use crate::app::cli::{ListAdd, ListCommand, ListPlace};
use crate::app::commands::table::table;
use crate::app::commands::{Call, Refusal};
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::contracts::feature_set::{Entity, Span};
use crate::contracts::policy::ListChange;
use crate::domain::time::Time;
use crate::domain::vocabulary::SourceType;
use crate::engine::policy::is_list_name;
use crate::learning::mpr::lists::{self, Changed, Outcome, Place};

/// A sentence or two.
const REASON_CHARS_MAX: usize = 500;
/// As long as an id of an event may be.
const VALUE_BYTES_MAX: usize = 128;

pub(crate) async fn run(call: &Call, command: &ListCommand) -> anyhow::Result<u8> {
    match command {
        ListCommand::Add(asked) => {
            let until = until(call, asked)?;
            change(call, &asked.place, ListChange::Added, until).await
        }
        ListCommand::Remove { place } => change(call, place, ListChange::Removed, None).await,
        ListCommand::Show { list, limit } => show(call, list.as_deref(), *limit).await,
    }
}

fn refused(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::QueryInvalid, detail)
}

fn until(call: &Call, asked: &ListAdd) -> Result<Option<Time>, Refusal> {
    let now = call.ground.clock.now();
    let until = match (&asked.until, &asked.for_time) {
        (Some(text), _) => Some(Time::from_str(text).map_err(|it| refused(it.to_string()))?),
        (None, Some(text)) => {
            let span = Span::from_str(text).map_err(|it| refused(it.to_string()))?;
            Some(Time::from_micros(
                now.micros().saturating_add(span.micros()),
            ))
        }
        (None, None) => None,
    };
    match until {
        Some(until) if until <= now => Err(refused(format!("{until} has passed"))),
        until => Ok(until),
    }
}

fn place(asked: &ListPlace) -> Result<Place, Refusal> {
    if !is_list_name(&asked.list) {
        let detail = format!(
            "`{}` is no list's name: lowercase letters, digits, `_`",
            asked.list
        );
        return Err(refused(detail));
    }
    let entity = Entity::ALL
        .into_iter()
        .find(|it| it.as_str() == asked.entity);
    let Some(entity) = entity else {
        let names = Entity::ALL.map(Entity::as_str).join(" ");
        let detail = format!("`{}` is no entity; one of {names}", asked.entity);
        return Err(refused(detail));
    };
    if !(1..=VALUE_BYTES_MAX).contains(&asked.value.len()) {
        return Err(refused(format!("a value is 1 to {VALUE_BYTES_MAX} bytes")));
    }
    Ok(Place {
        list: asked.list.clone(),
        entity,
        value: asked.value.clone(),
    })
}

async fn change(
    call: &Call,
    asked: &ListPlace,
    change: ListChange,
    until: Option<Time>,
) -> anyhow::Result<u8> {
    let reason = asked.reason.trim();
    if !(1..=REASON_CHARS_MAX).contains(&reason.chars().count()) {
        let detail = format!("--reason is 1 to {REASON_CHARS_MAX} characters");
        return Err(refused(detail).into());
    }
    let place = place(asked)?;
    let actor_id = asked.actor.parse();
    let mut ground = call.ground.clone();
    ground.actor.actor_id = actor_id.map_err(|_| refused("--actor is 1 to 128 characters"))?;
    ground.actor.source_type = SourceType::Human;
    let changed = lists::change(&ground, &place, change, until, reason).await?;
    call.output.result(&changed, |it| said(it, &place, change));
    Ok(DONE)
}

fn said(changed: &Changed, place: &Place, change: ListChange) -> String {
    let Place { list, value, .. } = place;
    match (changed.outcome, change) {
        (Outcome::Done, ListChange::Added) => format!("{value} stands on {list}"),
        (Outcome::Done, ListChange::Removed) => format!("{value} is off {list}"),
        (Outcome::AsItWas, ListChange::Added) => format!("{value} stands on {list} already"),
        (Outcome::AsItWas, ListChange::Removed) => format!("{value} does not stand on {list}"),
    }
}

async fn show(call: &Call, list: Option<&str>, limit: i64) -> anyhow::Result<u8> {
    let client = call.ground.db.get().await?;
    let entries = lists::entries(&client, list, limit).await?;
    let now = call.ground.clock.now();
    call.output.result(&entries, |entries| {
        let rows = entries.iter().map(|it| {
            let until = it
                .expires_at
                .map_or_else(String::new, |until| match until > now {
                    true => until.to_string(),
                    false => format!("expired {until}"),
                });
            let (list, entity) = (it.list.clone(), it.entity.clone());
            let (value, reason) = (it.value.clone(), it.reason.clone());
            let (actor, since) = (it.actor_id.clone(), it.changed_at.to_string());
            vec![list, entity, value, since, until, actor, reason]
        });
        let head = ["LIST", "ENTITY", "VALUE", "SINCE", "UNTIL", "BY", "REASON"];
        table(&head, rows, &[])
    });
    Ok(DONE)
}
