//! `fraudplat decision posture`: show, force, release.

use crate::app::cli::{PostureCommand, PostureForce};
use crate::app::commands::table::table;
use crate::app::commands::{Call, Refusal, parse_run};
use crate::app::run::DONE;
use crate::domain::ids::PlatformRunId;
use crate::domain::vocabulary::{Posture, SourceType};
use crate::rtdl::decision::force::{self, Force, Order};
use crate::rtdl::decision::http::{self, Postures};

pub(crate) async fn posture(call: &Call, command: PostureCommand) -> anyhow::Result<u8> {
    let order = match command {
        PostureCommand::Show => return show(call).await,
        PostureCommand::Force(PostureForce {
            posture,
            run,
            reason,
            expires_at,
        }) => Order {
            run: run.as_deref().map(parse_run).transpose()?,
            posture: Some(posture),
            reason,
            expires_at,
        },
        PostureCommand::Release { run, reason } => Order {
            run: run.as_deref().map(parse_run).transpose()?,
            posture: None,
            reason,
            expires_at: None,
        },
    };
    let mut ground = call.ground.acting_as("human:cli");
    ground.actor.source_type = SourceType::Human;
    let recorded = force::record(&ground, order).await;
    let recorded = recorded.map_err(|refused| match refused {
        force::Refusal::Db(error) => anyhow::Error::new(error),
        refused => Refusal::new(refused.code(), refused.to_string()).into(),
    })?;
    call.output.result(&recorded, told);
    Ok(DONE)
}

fn told(force: &Force) -> String {
    let scope = scope(force.platform_run_id);
    match force.posture {
        Some(posture) => format!("{posture} is forced on {scope} from its next decision on"),
        None => format!("{scope} is released: what the signals say stands again"),
    }
}

fn scope(run: Option<PlatformRunId>) -> String {
    run.map_or_else(|| "every run".to_owned(), |run| run.to_string())
}

async fn show(call: &Call) -> anyhow::Result<u8> {
    let client = call.ground.db.get().await?;
    let postures = http::read(&client, call.ground.clock.now()).await?;
    call.output.result(&postures, shown);
    Ok(DONE)
}

fn shown(postures: &Postures) -> String {
    let forces = postures.forces.iter().map(|it| {
        vec![
            it.posture
                .map(Posture::as_str)
                .unwrap_or_default()
                .to_owned(),
            scope(it.platform_run_id),
            it.actor.actor_id.to_string(),
            it.expires_at.map(|at| at.to_string()).unwrap_or_default(),
            it.reason.clone(),
        ]
    });
    let runs = postures.runs.iter().map(|it| {
        vec![
            it.posture.to_string(),
            it.platform_run_id.to_string(),
            it.reason.clone(),
            it.since_seq.to_string(),
            it.changed_at.to_string(),
        ]
    });
    let forced = table(&["FORCED", "ON", "BY", "UNTIL", "REASON"], forces, &[]);
    let stands = table(
        &["POSTURE", "RUN", "REASON", "SINCE SEQ", "CHANGED"],
        runs,
        &[3],
    );
    format!("{forced}\n\n{stands}\n\nA run that is not listed is NORMAL.")
}
