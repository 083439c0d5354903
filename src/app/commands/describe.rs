//! `fraudplat sr describe`: what a world looks like, in a table and in charts, beside another. The
//! world is made in a directory that is gone afterwards; no platform is needed.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use crate::app::cli::SrDescribe;
use crate::app::commands::Refusal;
use crate::app::commands::describe_charts::charts;
use crate::app::commands::sr::{n_threads, read_mapping, read_scenario};
use crate::app::commands::table::{grouped, table};
use crate::app::output::Output;
use crate::app::report::round;
use crate::app::run::DONE;
use crate::ingress::world::portrait::{Campaign, Portrait, portray, quantile};
use crate::ingress::world::{self, Selection, World, materialise, materialise_scenario};
use crate::substrate::objects::local::LocalObjects;

/// A world with its name.
pub(crate) struct Sitter {
    pub(crate) name: String,
    pub(crate) portrait: Portrait,
}

/// What `sr describe --json` prints of a world.
#[derive(Debug, Serialize)]
struct Described {
    name: String,
    arrivals: u64,
    payments: u64,
    customers: u64,
    merchants: u64,
    /// Minor units.
    amount: Quantiles<i64>,
    /// Hours between a customer's payments.
    gap_hours: Quantiles<f64>,
    frauds: u64,
    fraud_share: f64,
    false_alarms: u64,
    cleared: u64,
    mistaken: u64,
    campaigns: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Quantiles<T> {
    p50: Option<T>,
    p95: Option<T>,
    p99: Option<T>,
}

#[derive(Debug, Serialize)]
struct Line {
    campaign: String,
    frauds: u64,
    amount_minor: i64,
    blocked: u64,
    never: u64,
    wrong: u64,
    delay_days_p50: Option<f64>,
    delay_days_p95: Option<f64>,
}

pub(crate) async fn run(asked: &SrDescribe, output: &Output) -> anyhow::Result<u8> {
    let mut sitters = vec![Box::pin(sitter(asked, output)).await?];
    if let (Some(dataset), Some(mapping)) = (&asked.against_dataset, &asked.against_mapping) {
        sitters.push(Box::pin(of_dataset(dataset, mapping, output)).await?);
    }
    if let Some(out) = &asked.out {
        std::fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
        for (name, svg) in charts(&sitters) {
            let file = out.join(format!("{name}.svg"));
            std::fs::write(&file, svg).with_context(|| format!("writing {}", file.display()))?;
            output.note(format!("drawn: {}", file.display()));
        }
    }
    let described: Vec<Described> = sitters.iter().map(described).collect();
    output.result(&described, |described| text(described));
    Ok(DONE)
}

async fn sitter(asked: &SrDescribe, output: &Output) -> anyhow::Result<Sitter> {
    if let (Some(dataset), Some(mapping)) = (&asked.world.dataset, &asked.world.mapping) {
        return Box::pin(of_dataset(dataset, mapping, output)).await;
    }
    let named = asked.world.scenario.as_deref().unwrap_or_default();
    let plan = read_scenario(Path::new(named), named, asked.world.seed)?;
    let (shelf, objects) = shelf()?;
    let progress = progress(output, "making the world");
    let made = Box::pin(materialise_scenario(
        objects.as_ref(),
        &plan,
        n_threads(),
        progress,
    ));
    let world = made.await.map_err(refused)?;
    let portrait = of_world(objects, &world).await?;
    drop(shelf);
    Ok(Sitter {
        name: plan.name().to_owned(),
        portrait,
    })
}

async fn of_dataset(dataset: &Path, mapping: &str, output: &Output) -> anyhow::Result<Sitter> {
    let plan = read_mapping(
        Path::new(mapping),
        mapping,
        dataset,
        Selection { limit: None },
    )?;
    let name = plan.name().to_owned();
    let (shelf, objects) = shelf()?;
    let progress = progress(output, "reading the data set");
    let made = Box::pin(materialise(objects.as_ref(), plan, progress));
    let world = made.await.map_err(refused)?;
    let portrait = of_world(objects, &world).await?;
    drop(shelf);
    Ok(Sitter { name, portrait })
}

async fn of_world(objects: Arc<LocalObjects>, world: &World) -> anyhow::Result<Portrait> {
    portray(objects, &world.facts).await.map_err(refused)
}

/// Where the world stands while it is looked at.
fn shelf() -> anyhow::Result<(tempfile::TempDir, Arc<LocalObjects>)> {
    let shelf = tempfile::tempdir().context("making a directory for the world")?;
    let objects = LocalObjects::open(shelf.path())?;
    Ok((shelf, Arc::new(objects)))
}

fn progress(output: &Output, label: &'static str) -> impl FnMut(u64, u64) + Send + 'static {
    let output = output.clone();
    move |done, total| output.progress(label, done, total)
}

fn refused(error: world::Error) -> anyhow::Error {
    Refusal::new(error.code(), error.to_string()).into()
}

fn described(sitter: &Sitter) -> Described {
    let it = &sitter.portrait;
    let hours = |share| quantile(&it.gaps_s, share).map(|gap| round(gap / 3_600.0));
    Described {
        name: sitter.name.clone(),
        arrivals: it.arrivals,
        payments: it.payments,
        customers: it.customers,
        merchants: it.merchants,
        amount: Quantiles {
            p50: quantile(&it.amounts, 0.5),
            p95: quantile(&it.amounts, 0.95),
            p99: quantile(&it.amounts, 0.99),
        },
        gap_hours: Quantiles {
            p50: hours(0.5),
            p95: hours(0.95),
            p99: hours(0.99),
        },
        frauds: it.frauds(),
        fraud_share: it.frauds() as f64 / it.payments.max(1) as f64,
        false_alarms: it.false_alarms,
        cleared: it.cleared,
        mistaken: it.mistaken,
        campaigns: it.campaigns.iter().map(line).collect(),
    }
}

fn line((name, it): (&String, &Campaign)) -> Line {
    Line {
        campaign: name.clone(),
        frauds: it.frauds,
        amount_minor: it.amount_minor,
        blocked: it.blocked,
        never: it.never,
        wrong: it.wrong,
        delay_days_p50: quantile(&it.delays_days, 0.5).map(round),
        delay_days_p95: quantile(&it.delays_days, 0.95).map(round),
    }
}

fn text(described: &[Described]) -> String {
    let count = |it: u64| grouped(it.cast_signed());
    let minor = |it: Option<i64>| {
        it.map_or_else(String::new, |it| {
            format!("{}.{:02}", grouped(it / 100), it % 100)
        })
    };
    let number = |it: Option<f64>| it.map_or_else(String::new, |it| it.to_string());
    type Cell<'c> = (&'static str, &'c dyn Fn(&Described) -> String);
    let cells: [Cell<'_>; 15] = [
        ("arrivals", &|it| count(it.arrivals)),
        ("payments", &|it| count(it.payments)),
        ("customers", &|it| count(it.customers)),
        ("merchants", &|it| count(it.merchants)),
        ("amount p50", &|it| minor(it.amount.p50)),
        ("amount p95", &|it| minor(it.amount.p95)),
        ("amount p99", &|it| minor(it.amount.p99)),
        ("hours between a customer's payments p50", &|it| {
            number(it.gap_hours.p50)
        }),
        ("hours between a customer's payments p95", &|it| {
            number(it.gap_hours.p95)
        }),
        ("hours between a customer's payments p99", &|it| {
            number(it.gap_hours.p99)
        }),
        ("frauds", &|it| count(it.frauds)),
        ("fraud share", &|it| {
            format!("{} %", round(it.fraud_share * 100.0))
        }),
        ("genuine, stopped", &|it| count(it.false_alarms)),
        ("genuine, cleared", &|it| count(it.cleared)),
        ("genuine, labelled fraud", &|it| count(it.mistaken)),
    ];
    let rows = cells.iter().map(|(name, cell)| {
        let mut row = vec![(*name).to_owned()];
        row.extend(described.iter().map(cell));
        row
    });
    let mut head = vec![""];
    head.extend(described.iter().map(|it| it.name.as_str()));
    let mut parts = vec![table(&head, rows, &[1, 2])];
    for it in described {
        let rows = it.campaigns.iter().map(|line| {
            vec![
                match line.campaign.as_str() {
                    "" => "(no campaign)".to_owned(),
                    name => name.to_owned(),
                },
                count(line.frauds),
                minor(Some(line.amount_minor)),
                count(line.blocked),
                count(line.never),
                count(line.wrong),
                number(line.delay_days_p50),
                number(line.delay_days_p95),
            ]
        });
        let head = [
            it.name.as_str(),
            "frauds",
            "amount",
            "stopped",
            "never learnt",
            "label wrong",
            "delay d p50",
            "p95",
        ];
        parts.push(table(&head, rows, &[1, 2, 3, 4, 5, 6, 7]));
    }
    parts.join("\n\n")
}
