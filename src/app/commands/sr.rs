//! `fraudplat sr run`.

use serde::Serialize;

use crate::app::bundles::{shipped, shipped_names};
use crate::app::cli::{Sr, SrRun};
use crate::app::commands::table::grouped;
use crate::app::commands::{Call, Refusal};
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::contracts::ready::WorldFacts;
use crate::domain::ids::{ManifestFingerprint, PlatformRunId};
use crate::domain::vocabulary::SourceType;
use crate::ingress::sr::{NewRun, Pinned, create};
use crate::ingress::world::{
    self, Plan, ScenarioPlan, Selection, World, materialise, materialise_scenario,
};
use crate::runtime::ground::Ground;

/// What `sr run --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Created {
    pub(crate) platform_run_id: PlatformRunId,
    pub(crate) scenario_run_id: String,
    pub(crate) manifest_fingerprint: ManifestFingerprint,
    pub(crate) run_facts_ref: String,
    pub(crate) run_facts_digest: String,
    pub(crate) existed: bool,
    pub(crate) world: Option<WorldFacts>,
}

pub(crate) async fn run(call: &Call, command: &Sr) -> anyhow::Result<u8> {
    let Sr::Run(asked) = command else {
        // Carried out before there is a platform.
        return Ok(DONE);
    };
    let created = Box::pin(pin(call, asked)).await?;
    call.output.result(&created, |created| {
        let world = created.world.as_ref().map_or_else(
            || "  live: events come from outside, without end".to_owned(),
            |world| {
                format!(
                    "  {} payments, {} arrivals, {} … {}",
                    grouped(world.payments_count),
                    grouped(world.arrivals_count),
                    world.first_ts,
                    world.last_ts
                )
            },
        );
        let next = match &created.world {
            Some(_) => format!(
                "next: {} wsp stream --run {}",
                call.program(),
                created.platform_run_id
            ),
            None => "next: POST its events to /v1/events; docs/http.md shows how".to_owned(),
        };
        let state = if created.existed {
            "READY before"
        } else {
            "READY"
        };
        format!(
            "{}\n{world}\n  {state}; facts in {}\n{next}",
            created.platform_run_id, created.run_facts_ref
        )
    });
    Ok(DONE)
}

/// Pins the run that was asked for.
pub(crate) async fn pin(call: &Call, asked: &SrRun) -> anyhow::Result<Created> {
    let (manifest_fingerprint, name, world) = match (&asked.live, &asked.world.dataset) {
        (Some(name), _) => {
            let tenant = call.profile.semantics.tenant_id.as_ref();
            (
                ManifestFingerprint::of_live(tenant, name),
                name.clone(),
                None,
            )
        }
        (None, Some(dataset)) => {
            let plan = plan(call, asked, dataset)?;
            let name = plan.name().to_owned();
            let world = Box::pin(build(call, plan)).await?;
            (world.manifest_fingerprint, name, Some(world.facts))
        }
        (None, None) => {
            let plan = scenario(call, asked)?;
            let name = plan.name().to_owned();
            let world = Box::pin(make(call, &plan)).await?;
            (world.manifest_fingerprint, name, Some(world.facts))
        }
    };
    let new = NewRun {
        manifest_fingerprint,
        name,
        label: asked.label.clone(),
        tenant_id: call.profile.semantics.tenant_id.clone(),
        semantic_digest: call.profile.semantic_digest(),
        world,
    };
    Ok(created(create(&by_hand(call), &new).await?))
}

/// The ground of whoever typed the command (L10).
pub(crate) fn by_hand(call: &Call) -> Ground {
    let mut ground = call.ground.acting_as("human:cli");
    ground.actor.source_type = SourceType::Human;
    ground
}

fn plan(call: &Call, asked: &SrRun, dataset: &std::path::Path) -> anyhow::Result<Plan> {
    let mapping = asked.world.mapping.as_deref().unwrap_or_default();
    let selection = Selection {
        limit: asked.limit.map(i64::unsigned_abs),
    };
    let path = call.path(std::path::Path::new(mapping));
    read_mapping(&path, mapping, &call.path(dataset), selection)
}

/// A mapping file, or the shipped one of this name, over a data set.
pub(crate) fn read_mapping(
    path: &std::path::Path,
    mapping: &str,
    dataset: &std::path::Path,
    selection: Selection,
) -> anyhow::Result<Plan> {
    let plan = if path.exists() {
        Plan::read(path, dataset, selection)
    } else {
        let (text, name) = shipped(&format!("mappings/{mapping}.yaml")).map_err(|_| {
            let detail = format!(
                "there is no file `{mapping}` and no shipped mapping of this name; shipped are {}",
                shipped_names("mappings").join(", ")
            );
            Refusal::new(Code::MappingInvalid, detail)
        })?;
        Plan::parse(&name, text, dataset, selection)
    };
    plan.map_err(refusal)
}

/// With its cause: that a file is not there is not said by its name alone.
fn refusal(error: world::Error) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    Refusal::new(Code::MappingInvalid, format!("{error:#}")).into()
}

fn scenario(call: &Call, asked: &SrRun) -> anyhow::Result<ScenarioPlan> {
    let Some(named) = asked.world.scenario.as_deref() else {
        anyhow::bail!("give --scenario, or --dataset and --mapping, or --live");
    };
    read_scenario(
        &call.path(std::path::Path::new(named)),
        named,
        asked.world.seed,
    )
}

/// A scenario file, or the shipped one of this name.
pub(crate) fn read_scenario(
    path: &std::path::Path,
    named: &str,
    seed: Option<i64>,
) -> anyhow::Result<ScenarioPlan> {
    let plan = if path.is_file() {
        ScenarioPlan::read(path, seed)
    } else {
        let (text, file) = shipped(&format!("scenarios/{named}.yaml")).map_err(|_| {
            let detail = format!(
                "there is no file `{named}` and no shipped scenario of this name; there are: {}",
                shipped_names("scenarios").join(", ")
            );
            Refusal::new(Code::ScenarioInvalid, detail)
        })?;
        ScenarioPlan::parse(&file, text, seed)
    };
    plan.map_err(|error| Refusal::new(Code::ScenarioInvalid, error.to_string()).into())
}

/// Threads for work that is nothing but computing.
pub(crate) fn n_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

async fn make(call: &Call, plan: &ScenarioPlan) -> anyhow::Result<World> {
    let output = call.output.clone();
    let progress = move |done, total| output.progress("making the world", done, total);
    let objects = call.ground.objects.as_ref();
    let made = Box::pin(materialise_scenario(objects, plan, n_threads(), progress)).await;
    // The scenario was read and checked: what fails now is the store, or other bytes stand there.
    made.map_err(|error| Refusal::new(error.code(), error.to_string()).into())
}

async fn build(call: &Call, plan: Plan) -> anyhow::Result<World> {
    let output = call.output.clone();
    let progress = move |done, total| output.progress("building the world", done, total);
    let built = Box::pin(materialise(call.ground.objects.as_ref(), plan, progress)).await;
    built.map_err(refusal)
}

fn created(pinned: Pinned) -> Created {
    let pins = pinned.facts.pins;
    Created {
        platform_run_id: pins.platform_run_id,
        scenario_run_id: pins.scenario_run_id.to_string(),
        manifest_fingerprint: pins.manifest_fingerprint,
        run_facts_ref: pinned.ready.run_facts_ref,
        run_facts_digest: pinned.ready.run_facts_digest.to_string(),
        existed: pinned.existed,
        world: pinned.facts.world,
    }
}
