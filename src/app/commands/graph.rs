//! `fraudplat graph`: neighbours, shared, component, labelled, path, rebuild.

use crate::app::cli::{GraphCommand, GraphOf};
use crate::app::commands::table::{grouped, table};
use crate::app::commands::{Call, Refusal, parse_run};
use crate::app::run::{DONE, FAILED};
use crate::contracts::code::Code;
use crate::contracts::graph::{
    Component, EntityKind, EntityRef, GraphState, Labelled, Neighbours, Path, Shared,
};
use crate::rtdl::graph::{self, Asked, Error};

/// Customers of a shared entity in one line of a table.
const NAMED_MAX: usize = 5;

pub(crate) async fn run(call: &Call, command: GraphCommand) -> anyhow::Result<u8> {
    match command {
        GraphCommand::Neighbours {
            of,
            entity,
            kind,
            after,
            limit,
        } => {
            let asked = asked(call, &of)?;
            let limit = usize::try_from(limit)?;
            let found = graph::neighbours(&call.ground, asked, entity, (kind, after), limit).await;
            call.output.result(&found.map_err(refusal)?, neighbours);
        }
        GraphCommand::Shared {
            of,
            kind,
            min,
            after,
            limit,
        } => {
            anyhow::ensure!(
                kind != EntityKind::Customer,
                "customers are who shares, not what is shared"
            );
            let asked = asked(call, &of)?;
            let limit = usize::try_from(limit)?;
            let found = graph::shared(&call.ground, asked, kind, (min, &after), limit).await;
            call.output.result(&found.map_err(refusal)?, shared);
        }
        GraphCommand::Component { of, entity, limit } => {
            let limit = usize::try_from(limit)?;
            let asked = asked(call, &of)?;
            let found = graph::component(&call.ground, asked, entity, limit).await;
            call.output.result(&found.map_err(refusal)?, component);
        }
        GraphCommand::Labelled {
            of,
            entity,
            hops,
            limit,
        } => {
            let (asked, limit) = (asked(call, &of)?, usize::try_from(limit)?);
            let found = graph::labelled(&call.ground, asked, entity, hops, limit).await;
            call.output.result(&found.map_err(refusal)?, labelled);
        }
        GraphCommand::Path { of, from, to } => {
            let found = graph::path(&call.ground, asked(call, &of)?, from, to).await;
            let found = found.map_err(refusal)?;
            call.output.result(&found, path);
            if found.steps.is_empty() {
                return Ok(FAILED);
            }
        }
        GraphCommand::Rebuild { run } => rebuild(call, &run).await?,
    }
    Ok(DONE)
}

async fn rebuild(call: &Call, run: &str) -> anyhow::Result<()> {
    if !call.profile.archive.enabled {
        let detail = "this profile keeps no archive, and a rebuild reads nothing else";
        return Err(Refusal::new(Code::ArchiveRequired, detail).into());
    }
    let run = parse_run(run)?;
    let flush = call.bells.as_ref().map(|it| it.flush.clone());
    let output = call.output.clone();
    let said = move |done: u64| output.progress("rebuilding", done, 0);
    let flush = flush.unwrap_or_default();
    let rebuilt = graph::rebuild(&call.ground, &run, &flush, &said, &call.stop).await;
    call.output.result(&rebuilt.map_err(refusal)?, |it| {
        format!(
            "{} records of the archive give {} links; there were {}",
            grouped(it.records_read.cast_signed()),
            grouped(it.links_after),
            grouped(it.links_before)
        )
    });
    Ok(())
}

fn asked(call: &Call, of: &GraphOf) -> anyhow::Result<Asked> {
    Ok(Asked {
        run: parse_run(&of.run)?,
        as_of: of.as_of.unwrap_or_else(|| call.ground.clock.now()),
    })
}

fn refusal(error: Error) -> anyhow::Error {
    match error.code() {
        Code::SubstrateUnavailable => error.into(),
        code => Refusal::new(code, error.to_string()).into(),
    }
}

fn neighbours(found: &Neighbours) -> String {
    let rows = found.neighbours.iter().map(|it| {
        let last_day = it.last_day.clone().unwrap_or_default();
        vec![it.entity.to_string(), it.first_seen.to_string(), last_day]
    });
    let rows = table(&["ENTITY", "FIRST SEEN", "LAST DAY"], rows, &[]);
    whole(rows, found.next.as_ref(), &found.graph)
}

fn shared(found: &Shared) -> String {
    let rows = found.shared.iter().map(|it| {
        let named = it.customers.iter().take(NAMED_MAX);
        let mut named: Vec<&str> = named.map(|it| it.customer_id.as_str()).collect();
        if it.customers.len() > NAMED_MAX {
            named.push("…");
        }
        vec![
            it.entity.to_string(),
            grouped(it.customers_count),
            named.join(" "),
        ]
    });
    let rows = table(&["ENTITY", "CUSTOMERS", "WHO"], rows, &[1]);
    whole(rows, found.next.as_ref(), &found.graph)
}

fn component(found: &Component) -> String {
    let is_hub = |it: &EntityRef| if found.hubs.contains(it) { "hub" } else { "" };
    let rows = found.members.iter().map(|it| {
        let from = it.from.as_ref().map(ToString::to_string);
        vec![
            it.hops.to_string(),
            it.entity.to_string(),
            from.unwrap_or_default(),
            is_hub(&it.entity).to_owned(),
        ]
    });
    let mut text = table(&["HOPS", "ENTITY", "FROM", ""], rows, &[0]);
    if !found.is_whole {
        text.push_str("\nthere is more: raise --limit");
    }
    whole(text, None::<&str>, &found.graph)
}

fn labelled(found: &Labelled) -> String {
    let rows = found.labelled.iter().map(|it| {
        vec![
            it.hops.to_string(),
            it.entity.to_string(),
            grouped(it.payments_count),
            it.observed_time.to_string(),
        ]
    });
    let mut text = match found.labelled.is_empty() {
        true => "none is known for fraud".to_owned(),
        false => table(
            &["HOPS", "CUSTOMER", "FRAUDS", "KNOWN SINCE"],
            rows,
            &[0, 2],
        ),
    };
    let looked_at = grouped(found.entities_count);
    text.push_str(&format!(
        "\n{looked_at} entities within {} links",
        found.hops
    ));
    if !found.is_whole {
        text.push_str("; there are more: raise --limit");
    }
    whole(text, None::<&str>, &found.graph)
}

fn path(found: &Path) -> String {
    let rows = found.steps.iter().map(|it| {
        let since = it.first_seen.map(|it| it.to_string());
        vec![it.entity.to_string(), since.unwrap_or_default()]
    });
    let text = match (found.steps.is_empty(), found.is_whole) {
        (false, _) => table(&["ENTITY", "LINKED SINCE"], rows, &[]),
        (true, true) => "there is no way between them".to_owned(),
        (true, false) => "no way was found; not all was looked at".to_owned(),
    };
    whole(text, None::<&str>, &found.graph)
}

fn whole(mut text: String, next: Option<impl std::fmt::Display>, graph: &GraphState) -> String {
    if let Some(next) = next {
        text.push_str(&format!("\nthere is more: --after {next}"));
    }
    let version = graph.graph_version.to_string();
    text.push_str(&format!(
        "\nas of {}, graph version {}",
        graph.as_of,
        &version[..12]
    ));
    text
}
