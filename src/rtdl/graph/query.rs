//! The questions: each is answered from one snapshot of links and positions.

use crate::contracts::graph::{
    Component, EntityKind, EntityRef, GraphState, Labelled, LabelledCustomer, Member, Neighbour,
    Neighbours, Path, Shared, SharedBy, SharedEntity, Step,
};
use crate::domain::digest::Tagged;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::Basis;
use crate::domain::time::Time;
use crate::engine::graph::{HUB_LINKS_MAX, Reached, Walk, Way};
use crate::rtdl::graph::Error;
use crate::rtdl::graph::store::{self, Found};
use crate::runtime::ground::Ground;
use crate::substrate::db::{Day, IsolationLevel, Transaction};

/// Entities that the search of a path meets at most.
const PATH_ENTITIES_MAX: usize = 10_000;

/// Of what a question is asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub run: PlatformRunId,
    pub as_of: Time,
}

/// What an entity is linked with, a page at a time.
///
/// # Errors
/// Those of the database; an unknown run, one that is being rebuilt.
pub async fn neighbours(
    ground: &Ground,
    asked: Asked,
    entity: EntityRef,
    (kind, after): (Option<EntityKind>, Option<EntityRef>),
    limit: usize,
) -> Result<Neighbours, Error> {
    let mut client = ground.db.get().await?;
    let tx = snapshot(&mut client).await?;
    let graph = state(&tx, asked).await?;
    let of = (&asked.run, asked.as_of);
    // One more than is given, so that the last page is known as such.
    let found = store::neighbours(&tx, of, &entity, after.as_ref(), (kind, more(limit))).await?;
    let has_more = found.len() > limit;
    let neighbours = found
        .into_iter()
        .take(limit)
        .map(|it| told(it, asked.as_of));
    let neighbours: Vec<Neighbour> = neighbours.collect();
    let last = neighbours.last().map(|it| it.entity.clone());
    Ok(Neighbours {
        graph,
        entity,
        neighbours,
        next: last.filter(|_| has_more),
    })
}

/// Entities of a kind that several customers use, a page at a time.
///
/// # Errors
/// As [`neighbours`].
pub async fn shared(
    ground: &Ground,
    asked: Asked,
    kind: EntityKind,
    (least, after): (i64, &str),
    limit: usize,
) -> Result<Shared, Error> {
    let mut client = ground.db.get().await?;
    let tx = snapshot(&mut client).await?;
    let graph = state(&tx, asked).await?;
    let of = (&asked.run, asked.as_of);
    let found = store::shared(&tx, of, kind, after, (least, more(limit))).await?;
    let has_more = found.len() > limit;
    let last = found.iter().take(limit).next_back().map(|it| it.0.clone());
    let shared = found.into_iter().take(limit);
    let shared = shared.map(|(id, customers_count, customers)| SharedEntity {
        entity: EntityRef { kind, id },
        customers_count,
        customers: customers
            .into_iter()
            .map(|(customer_id, first_seen)| SharedBy {
                customer_id,
                first_seen,
            })
            .collect(),
    });
    Ok(Shared {
        graph,
        shared: shared.collect(),
        next: last.filter(|_| has_more),
    })
}

/// What hangs together with an entity, at most `limit` of it.
///
/// # Errors
/// As [`neighbours`].
pub async fn component(
    ground: &Ground,
    asked: Asked,
    entity: EntityRef,
    limit: usize,
) -> Result<Component, Error> {
    let mut client = ground.db.get().await?;
    let tx = snapshot(&mut client).await?;
    let graph = state(&tx, asked).await?;
    let mut walk = Walk::from(entity.clone(), limit);
    while walk.goes_on() {
        let links = store::frontier(&tx, (&asked.run, asked.as_of), walk.frontier()).await?;
        walk.advance(|node| reached(links.get(node)));
    }
    let members = walk.members().into_iter().map(|(it, hops, from)| Member {
        entity: it.clone(),
        hops,
        from: from.cloned(),
    });
    Ok(Component {
        graph,
        entity,
        members: members.collect(),
        hubs: walk.hubs().cloned().collect(),
        is_whole: walk.is_whole(),
    })
}

/// Customers known for fraud within so many links of an entity, itself included; at most `limit`
/// entities are looked at.
///
/// # Errors
/// As [`neighbours`].
pub async fn labelled(
    ground: &Ground,
    asked: Asked,
    entity: EntityRef,
    hops: u32,
    limit: usize,
) -> Result<Labelled, Error> {
    let mut client = ground.db.get().await?;
    let tx = snapshot(&mut client).await?;
    let graph = state(&tx, asked).await?;
    let of = (&asked.run, asked.as_of);
    let mut walk = Walk::from(entity.clone(), limit);
    for _ in 0..hops {
        if !walk.goes_on() {
            break;
        }
        let links = store::frontier(&tx, of, walk.frontier()).await?;
        walk.advance(|node| reached(links.get(node)));
    }
    let members = walk.members();
    let is_customer = |it: &&(&EntityRef, u32, _)| it.0.kind == EntityKind::Customer;
    let customers = members.iter().filter(is_customer);
    let ids: Vec<&str> = customers.clone().map(|it| it.0.id.as_str()).collect();
    let known = store::labelled(&tx, of, &ids).await?;
    let labelled = customers.filter_map(|(entity, hops, _)| {
        let (payments_count, observed_time) = *known.get(&entity.id)?;
        Some(LabelledCustomer {
            entity: (*entity).clone(),
            hops: *hops,
            payments_count,
            observed_time,
        })
    });
    Ok(Labelled {
        graph,
        entity,
        hops,
        labelled: labelled.collect(),
        entities_count: i64::try_from(members.len()).unwrap_or(i64::MAX),
        is_whole: !walk.is_cut(),
    })
}

/// A shortest way from one entity to the other.
///
/// # Errors
/// As [`neighbours`].
pub async fn path(
    ground: &Ground,
    asked: Asked,
    from: EntityRef,
    to: EntityRef,
) -> Result<Path, Error> {
    let mut client = ground.db.get().await?;
    let tx = snapshot(&mut client).await?;
    let graph = state(&tx, asked).await?;
    let of = (&asked.run, asked.as_of);
    let mut way = Way::between(from.clone(), to.clone(), PATH_ENTITIES_MAX);
    while way.goes_on() {
        let links = store::frontier(&tx, of, way.frontier()).await?;
        way.advance(|node| reached(links.get(node)));
    }
    let mut steps: Vec<Step> = Vec::new();
    for entity in way.steps() {
        let first_seen = match steps.last() {
            None => None,
            Some(before) => first_seen(&tx, asked, &before.entity, &entity).await?,
        };
        steps.push(Step { entity, first_seen });
    }
    Ok(Path {
        graph,
        from,
        to,
        steps,
        is_whole: way.is_whole(),
    })
}

/// When two neighbours were first linked. A hub may be one of them: the page begins at the other.
async fn first_seen(
    tx: &Transaction<'_>,
    asked: Asked,
    one: &EntityRef,
    other: &EntityRef,
) -> Result<Option<Time>, Error> {
    let of = (&asked.run, asked.as_of);
    for (of_entity, wanted) in [(one, other), (other, one)] {
        let links = store::frontier(tx, of, std::slice::from_ref(of_entity)).await?;
        let links = links.get(of_entity).map_or(&[][..], Vec::as_slice);
        if let Some((_, at)) = links.iter().find(|(it, _)| it == wanted) {
            return Ok(Some(*at));
        }
    }
    Ok(None)
}

async fn snapshot(client: &mut crate::substrate::db::Client) -> Result<Transaction<'_>, Error> {
    let building = client.build_transaction();
    let building = building.isolation_level(IsolationLevel::RepeatableRead);
    Ok(building.read_only(true).start().await?)
}

/// Of which state of the projection the snapshot is.
async fn state(tx: &Transaction<'_>, asked: Asked) -> Result<GraphState, Error> {
    let run = asked.run;
    match store::run(tx, &run).await? {
        (false, _) => return Err(Error::RunUnknown { run }),
        (true, true) => return Err(Error::Rebuilding { run }),
        (true, false) => {}
    }
    let basis = store::positions(tx, false).await?;
    Ok(GraphState {
        platform_run_id: run,
        as_of: asked.as_of,
        graph_version: version(&basis),
        basis,
    })
}

fn version(basis: &Basis) -> crate::domain::digest::Digest {
    let tagged = Tagged::new("graph_version");
    let shards = basis.0.iter();
    shards
        .fold(tagged, |it, (shard, position)| {
            it.text(shard).display(position)
        })
        .digest()
}

fn told(found: Found, as_of: Time) -> Neighbour {
    let is_past = found.last_day <= Day::of(as_of);
    Neighbour {
        entity: found.entity,
        first_seen: found.first_seen,
        last_day: is_past.then(|| found.last_day.to_string()),
    }
}

fn reached(links: Option<&Vec<(EntityRef, Time)>>) -> Reached<EntityRef> {
    match links {
        Some(links) if links.len() > HUB_LINKS_MAX => Reached::Hub,
        Some(links) => Reached::These(links.iter().map(|(it, _)| it.clone()).collect()),
        None => Reached::These(Vec::new()),
    }
}

fn more(limit: usize) -> i64 {
    i64::try_from(limit).map_or(i64::MAX, |it| it.saturating_add(1))
}
