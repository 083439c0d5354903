//! `fraudplat actions`: what was asked for, what became of it, what an operator does with a dead letter.

use serde::Serialize;

use crate::app::cli::ActionsCommand;
use crate::app::commands::table::table;
use crate::app::commands::{Call, Refusal};
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::domain::digest::ParseError;
use crate::domain::ids::ActionIntentId;
use crate::domain::vocabulary::SourceType;
use crate::rtdl::actions::{self, ActionPage, Wanted};
use crate::runtime::ground::Ground;

/// A sentence or two.
const REASON_CHARS_MAX: usize = 500;

/// What an operator did with a dead letter.
#[derive(Debug, Serialize)]
struct Done {
    action_intent_id: ActionIntentId,
    state: &'static str,
}

pub(crate) async fn run(call: &Call, command: &ActionsCommand) -> anyhow::Result<u8> {
    match command {
        ActionsCommand::List {
            run,
            state,
            intent_type,
            after,
            limit,
        } => {
            let wanted = Wanted {
                run: parsed(run.as_deref())?,
                state: parsed(state.as_deref())?,
                intent_type: parsed(intent_type.as_deref())?,
                after: parsed(after.as_deref())?,
                limit: usize::try_from(*limit).unwrap_or(usize::MAX),
            };
            let client = call.ground.db.get().await?;
            let page = actions::list(&client, &wanted).await.map_err(refusal)?;
            print(call, page);
            Ok(DONE)
        }
        ActionsCommand::Show { id } => {
            let client = call.ground.db.get().await?;
            let view = actions::show(&client, id_of(id)?).await.map_err(refusal)?;
            call.output.line(serde_json::to_string_pretty(&view)?);
            Ok(DONE)
        }
        ActionsCommand::Requeue { id, reason } => {
            let (id, reason, ground) = (id_of(id)?, given(reason)?, operator(call));
            let done = actions::requeue(&ground, id, reason).await;
            done.map_err(refusal)?;
            say(call, id, "OPEN", "is tried again");
            Ok(DONE)
        }
        ActionsCommand::Abandon { id, reason } => {
            let (id, reason, ground) = (id_of(id)?, given(reason)?, operator(call));
            let done = actions::abandon(&ground, id, reason).await;
            done.map_err(refusal)?;
            say(call, id, "FAILED", "is given up");
            Ok(DONE)
        }
    }
}

fn parsed<T: std::str::FromStr<Err = ParseError>>(
    text: Option<&str>,
) -> Result<Option<T>, Refusal> {
    let refused = |cause: ParseError| Refusal::new(Code::QueryInvalid, cause.to_string());
    text.map(|it| it.parse::<T>().map_err(refused)).transpose()
}

fn id_of(text: &str) -> Result<ActionIntentId, Refusal> {
    let refused = |cause: ParseError| Refusal::new(Code::NotFound, cause.to_string());
    text.parse().map_err(refused)
}

fn given(reason: &str) -> Result<&str, Refusal> {
    let reason = reason.trim();
    match (1..=REASON_CHARS_MAX).contains(&reason.chars().count()) && !reason.contains('\0') {
        true => Ok(reason),
        false => {
            let detail = format!("--reason is 1 to {REASON_CHARS_MAX} characters");
            Err(Refusal::new(Code::QueryInvalid, detail))
        }
    }
}

/// L10: whoever types the command.
fn operator(call: &Call) -> Ground {
    let mut ground = call.ground.acting_as("human:cli");
    ground.actor.source_type = SourceType::Human;
    ground
}

fn refusal(error: actions::Error) -> anyhow::Error {
    match error.code() {
        code @ (Code::NotFound | Code::ActionNotDead) => {
            Refusal::new(code, error.to_string()).into()
        }
        _ => error.into(),
    }
}

fn say(call: &Call, id: ActionIntentId, state: &'static str, what: &str) {
    let done = Done {
        action_intent_id: id,
        state,
    };
    call.output
        .result(&done, |it| format!("{} {what}", it.action_intent_id));
}

fn print(call: &Call, page: ActionPage) {
    call.output.result(&page, |page| {
        let cells = page.results.iter().map(|row| {
            vec![
                row.action_intent_id.to_string(),
                row.requested_at.to_string(),
                row.intent_type.to_string(),
                row.subject.key(),
                row.state.to_string(),
                row.attempt_no.to_string(),
            ]
        });
        let head = [
            "ACTION_INTENT_ID",
            "AT",
            "TYPE",
            "SUBJECT",
            "STATE",
            "ATTEMPTS",
        ];
        table(&head, cells, &[5])
    });
    if let Some(next) = page.next {
        call.output.note(format!("more follow: --after {next}"));
    }
}
