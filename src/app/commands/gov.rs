//! `fraudplat gov facts`: what happened, to what, by whom.

use std::str::FromStr;

use crate::app::cli::Gov;
use crate::app::commands::table::table;
use crate::app::commands::{Call, parse_run};
use crate::app::run::DONE;
use crate::contracts::fact::Fact;
use crate::domain::vocabulary::FactType;
use crate::governance::facts;

pub(crate) async fn run(call: &Call, command: &Gov) -> anyhow::Result<u8> {
    let Gov::Facts {
        run,
        fact_type,
        limit,
    } = command;
    let run = run.as_deref().map(parse_run).transpose()?;
    let fact_type = fact_type.as_deref().map(FactType::from_str).transpose()?;
    let client = call.ground.db.get().await?;
    let found = facts::list(&client, run, fact_type, *limit).await?;
    call.output.result(&found, |found| {
        table(
            &["OBSERVED", "FACT", "ABOUT", "ACTOR"],
            found.iter().map(row),
            &[],
        )
    });
    Ok(DONE)
}

fn row(fact: &Fact) -> Vec<String> {
    vec![
        fact.observed_time.to_string(),
        fact.fact_type.to_string(),
        fact.natural_key.join(" "),
        fact.actor.actor_id.to_string(),
    ]
}
