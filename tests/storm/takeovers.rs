//! The storm of takeovers: holders that fight over one lease, each slow at the wrong moment. Every
//! step is taken once, by whoever held the lease then, and none is left out (L4).
//!
//! In process, on a real Postgres, through the very commit that consumers use. What consumers write
//! has keys of its own, which would hide a fence that is missing; here effects have none.

use std::time::Duration;

use async_trait::async_trait;
use fraudplat::runtime::commit::{self, Effects};
use fraudplat::runtime::consumer;
use fraudplat::runtime::ground::Ground;
use fraudplat::runtime::lease::{self, LeaseKey};
use fraudplat::substrate::db::Transaction;

use crate::checks::check;
use crate::weather::Draws;
use crate::world::{World, world};

const HOLDERS: u64 = 4;
/// A holder that never wins is stuck, not unlucky.
const TURNS_MAX: u64 = 100_000;

/// One step: a row without a key.
struct Step(i64);

#[async_trait]
impl Effects for Step {
    fn group(&self) -> &'static str {
        "takeovers"
    }

    async fn write(&self, tx: &Transaction<'_>) -> Result<(), consumer::Error> {
        let sql = "INSERT INTO public.step VALUES ($1)";
        let taken = tx.execute(sql, &[&self.0]).await;
        taken.map_err(lease::Error::from)?;
        Ok(())
    }
}

/// So many steps by four holders; the seed says who is slow, and when.
pub(crate) async fn storm(steps: i64, seed: u64) {
    let world = world().await;
    let owner = world.db.owner.get().await.unwrap();
    let table = "CREATE TABLE public.step (n bigint NOT NULL);
                 GRANT SELECT, INSERT ON public.step TO fraudplat_app";
    owner.batch_execute(table).await.unwrap();
    drop(owner);
    let holders = (0..HOLDERS).map(|nth| {
        let mut ground = world.ground.clone();
        ground.holder = format!("holder {nth}");
        tokio::spawn(hold(ground, steps, Draws::new(seed.wrapping_add(nth))))
    });
    let mut n_lost = 0;
    for holder in holders.collect::<Vec<_>>() {
        n_lost += holder.await.unwrap();
    }
    let taken = steps_of(&world).await;
    let wanted: Vec<i64> = (1..=steps).collect();
    let differs = taken.iter().zip(&wanted).find(|(a, b)| a != b);
    let detail = format!("{} rows for {steps} steps, {differs:?}", taken.len());
    check("every step is taken once", taken == wanted, detail);
    check("leases were fought over", n_lost > 0, n_lost);
}

async fn steps_of(world: &World) -> Vec<i64> {
    let client = world.db.owner.get().await.unwrap();
    let rows = client
        .query("SELECT n FROM public.step ORDER BY n", &[])
        .await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Takes steps under the lease whenever it has it, until the last; how often it lost it.
async fn hold(ground: Ground, steps: i64, mut draws: Draws) -> u64 {
    let key = LeaseKey::new("takeovers", "one");
    let mut n_lost = 0;
    for _ in 0..TURNS_MAX {
        let client = ground.db.get().await.unwrap();
        let lease = key.take(&client, &ground.holder, "0").await.unwrap();
        drop(client);
        let Some(mut lease) = lease else {
            pause(&mut draws).await;
            lapse(&ground).await;
            continue;
        };
        loop {
            let next = lease.position.parse::<i64>().unwrap() + 1;
            if next > steps {
                return n_lost;
            }
            pause(&mut draws).await;
            let to = next.to_string();
            match commit::commit(&ground, &lease, &Step(next), &to, None).await {
                Ok(_) => lease.moved(to),
                Err(_) => {
                    n_lost += 1;
                    break;
                }
            }
        }
    }
    panic!("{} never came to an end", ground.holder);
}

/// Up to 3 ms, as a holder that garbage, a disk or a network stopped for longer than its lease.
async fn pause(draws: &mut Draws) {
    tokio::time::sleep(Duration::from_micros(draws.below(3_000))).await;
}

/// The lease of whoever has it is over.
async fn lapse(ground: &Ground) {
    let client = ground.db.get().await.unwrap();
    let sql = "UPDATE runtime.lease SET expires_at = now() WHERE group_name = 'takeovers'";
    client.execute(sql, &[]).await.unwrap();
}
