//! Replay: recomputes bodies from the archive and the evidence, and compares them byte for byte.
//!
//! The features of a decision are a function of the records up to its basis, so one pass over a
//! run's archived traffic and labels, in order of the chain, serves any number of its decisions.

use std::collections::{BTreeMap, HashSet, VecDeque};

use serde::Serialize;

use crate::contracts::bundle::Bundle;
use crate::contracts::canonical;
use crate::contracts::decision::{DecisionBody, DecisionEvidence, InputPart, ListHit};
use crate::contracts::envelope::AdmittedEvent;
use crate::contracts::ready::Ready;
use crate::contracts::run_position::BASIS_STREAMS;
use crate::domain::digest::Digest;
use crate::domain::ids::{DecisionId, EventId, PlatformRunId};
use crate::domain::offset::{Basis, OriginOffset, Position, ShardId, ShardRef};
use crate::domain::vocabulary::Stream;
use crate::engine::bundle::FileNames;
use crate::engine::event::LabelRecord;
use crate::engine::posture;
use crate::engine::{
    CompiledBundle, ENGINE_REV, EventRecord, FeatureState, FramePart, Given, JoinFrame, decide,
};
use crate::rtdl::audit::Error;
use crate::rtdl::audit::diff::{FieldDiff, diff};
use crate::rtdl::audit::shadows::{self, ShadowReport};
use crate::runtime::archive::{ArchiveReader, Folder, Scan};
use crate::runtime::decisions::StoredDecision;
use crate::runtime::ground::Ground;
use crate::runtime::guard::{self, Guarded};
use crate::substrate::bus::BusRecord;
use crate::substrate::db;
use crate::substrate::objects::ObjectKey;

const READ_READY: &str = include_str!("sql/read_ready.sql");

/// Decisions whose shadows are read at a time.
const SHADOWS_OF: usize = 2_000;

/// What a replay saw.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReplayReport {
    pub compared: u64,
    pub mismatched: u64,
    /// Every decision that differs, field by field.
    pub mismatches: Vec<Compared>,
    /// What shadows would have decided, recomputed and compared alike; all zero without shadows.
    pub shadows: ShadowReport,
}

impl ReplayReport {
    /// Takes what another replay saw.
    pub fn extend(&mut self, other: ReplayReport) {
        self.compared += other.compared;
        self.mismatched += other.mismatched;
        self.mismatches.extend(other.mismatches);
        self.shadows.extend(other.shadows);
    }
}

/// One decision that did not come out the same.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    pub decision_id: DecisionId,
    pub seq: i64,
    /// The code that decided; another revision's replay is a diff, not corruption.
    pub engine_rev: i64,
    pub engine_rev_here: i64,
    pub fields: Vec<FieldDiff>,
}

/// Recomputes the decisions, which are all of one run and ordered by seq.
///
/// # Errors
/// [`Error::Archive`] when the archive has not come to a basis (`ARCHIVE_BEHIND`) or disagrees
/// with the evidence; [`Error::Evidence`] when something that evidence names is not there.
pub async fn replay(
    ground: &Ground,
    decisions: &[StoredDecision],
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<ReplayReport, Error> {
    let mut report = ReplayReport::default();
    let Some(first) = decisions.first() else {
        return Ok(report);
    };
    let reader = ArchiveReader::new(ground.db.clone(), ground.objects.clone());
    let opened = decisions
        .iter()
        .map(StoredDecision::open)
        .collect::<Result<Vec<_>, _>>()?;
    let mut bundles = Bundles {
        ground,
        known: BTreeMap::new(),
    };
    let begun = begun(ground, &first.run).await?;
    let mut past = Past::open(&reader, first.run, &begun, &opened).await?;
    past.expect_sets(shadows::sets(ground, decisions).await?);
    let context = fetch_context(&reader, first.run, &opened).await?;
    let mut shadows = BTreeMap::new();
    for (nth, (stored, (body, evidence))) in decisions.iter().zip(&opened).enumerate() {
        if nth.is_multiple_of(SHADOWS_OF) {
            let next = decisions[nth..].iter().take(SHADOWS_OF);
            shadows = shadows::of(ground, first.run, next.map(|it| it.seq).collect()).await?;
        }
        let bundle = bundles.get(&body.bundle_digest, &body.bundle_slot).await?;
        let (event, recomputed) = past.decide(bundle, (body, evidence), &context).await?;
        if canonical::to_bytes(&recomputed)? != stored.body {
            report
                .mismatches
                .push(compare(stored, evidence, body, &recomputed));
        }
        for shadow in shadows.remove(&stored.decision_id).unwrap_or_default() {
            let (digest, slot) = (&shadow.score.bundle_digest, &shadow.score.bundle_slot);
            let bundle = bundles.get(digest, slot).await?;
            let given = (&event, evidence, shadow.lists.as_slice());
            let recomputed = past.again(bundle, given, &context)?;
            report.shadows.compare(&shadow, evidence, &recomputed)?;
        }
        report.compared += 1;
        progress(report.compared, decisions.len() as u64);
    }
    report.mismatched = report.mismatches.len() as u64;
    Ok(report)
}

fn compare(
    stored: &StoredDecision,
    evidence: &DecisionEvidence,
    body: &DecisionBody,
    recomputed: &DecisionBody,
) -> Compared {
    let json = |body: &DecisionBody| serde_json::to_value(body).unwrap_or_default();
    Compared {
        decision_id: stored.decision_id,
        seq: stored.seq,
        engine_rev: evidence.engine_rev,
        engine_rev_here: ENGINE_REV,
        fields: diff(&json(body), &json(recomputed)),
    }
}

/// The bundles that the decisions name, compiled once each.
struct Bundles<'a> {
    ground: &'a Ground,
    /// By slot as well: a body names it.
    known: BTreeMap<(Digest, String), CompiledBundle>,
}

impl Bundles<'_> {
    async fn get(&mut self, digest: &Digest, slot: &str) -> Result<&CompiledBundle, Error> {
        let key = (*digest, slot.to_owned());
        if !self.known.contains_key(&key) {
            let compiled = self.load(digest).await?.in_slot(slot);
            self.known.insert(key.clone(), compiled);
        }
        Ok(&self.known[&key])
    }

    async fn load(&self, digest: &Digest) -> Result<CompiledBundle, Error> {
        let key = format!("mpr/bundles/{digest}.json");
        let missing = || Error::Evidence {
            what: format!("bundle `{key}`"),
        };
        let key: ObjectKey = key.parse().map_err(|_| missing())?;
        let stored = self.ground.objects.get(&key).await?.ok_or_else(missing)?;
        let bundle: Bundle = serde_json::from_slice(&stored).map_err(|_| missing())?;
        if bundle.digest() != *digest {
            return Err(missing());
        }
        let files = FileNames {
            feature_set: "feature_set.yaml",
            policy: "policy.yaml",
        };
        CompiledBundle::compile(&bundle, files).map_err(|_| missing())
    }
}

/// Where a run began, as READY pinned it: nothing before is of it. What is replayed without its run, as golden
/// histories are, begins where its archive does.
pub(super) async fn begun(ground: &Ground, run: &PlatformRunId) -> Result<Basis, Error> {
    let client = ground.db.get().await?;
    let statement = client.prepare_cached(READ_READY).await?;
    let Some(row) = client.query_opt(&statement, &[run]).await? else {
        return Ok(Basis::default());
    };
    let ready: Result<Ready, _> = serde_json::from_slice(row.get(0));
    Ok(ready
        .map_err(|cause| db::Error::form("READY", &cause))?
        .tips)
}

/// A record that features are made of.
#[derive(Clone, Copy)]
enum Part<'a> {
    Event(&'a EventRecord),
    Label(&'a LabelRecord),
}

impl Part<'_> {
    fn enter(self, state: &mut FeatureState) -> Result<(), Error> {
        let entered = match self {
            Part::Event(event) => state.apply_event(event).map_err(|it| it.to_string()),
            Part::Label(label) => state.apply_label(label).map_err(|it| it.to_string()),
        };
        entered.map_err(|what| Error::Evidence { what })
    }
}

/// The traffic and the labels of a run as the archive has them, applied up to where the last decision needed
/// them.
pub(super) struct Past<'a> {
    run: PlatformRunId,
    shards: Vec<ShardPast<'a>>,
    met: HashSet<EventId>,
    /// By feature set: a run may have been decided under several.
    states: BTreeMap<Digest, FeatureState>,
    events: Vec<EventRecord>,
    labels: Vec<LabelRecord>,
    /// All that will be met: with more than one, what was applied is kept for those that come later.
    sets: HashSet<Digest>,
}

struct ShardPast<'a> {
    shard: ShardRef,
    scan: Scan<'a>,
    ahead: VecDeque<BusRecord>,
}

impl<'a> Past<'a> {
    pub(super) async fn open(
        reader: &'a ArchiveReader,
        run: PlatformRunId,
        begun: &Basis,
        opened: &[(DecisionBody, DecisionEvidence)],
    ) -> Result<Past<'a>, Error> {
        let mut shards = Vec::new();
        for shard in basis_shards(opened) {
            // Bases grow along the chain, so the furthest is in the last decision.
            let last = opened
                .last()
                .map(|(_, evidence)| evidence.basis.position(&shard).clone());
            let up_to = last.unwrap_or(Position::Start);
            let scan = reader
                .scan(Folder::Run(run), &shard, begun.position(&shard), &up_to)
                .await?;
            shards.push(ShardPast {
                shard,
                scan,
                ahead: VecDeque::new(),
            });
        }
        let sets: HashSet<Digest> = opened
            .iter()
            .map(|(body, _)| body.feature_set_digest)
            .collect();
        Ok(Past {
            run,
            shards,
            met: HashSet::new(),
            states: BTreeMap::new(),
            events: Vec::new(),
            labels: Vec::new(),
            sets,
        })
    }

    /// Decides again by a bundle, from what the evidence of a decision names and says: its event, and the body.
    pub(super) async fn decide(
        &mut self,
        bundle: &CompiledBundle,
        (body, evidence): (&DecisionBody, &DecisionEvidence),
        context: &Context,
    ) -> Result<(EventRecord, DecisionBody), Error> {
        let event = self.up_to(bundle, body, evidence).await?;
        let given = (&event, evidence, evidence.lists.as_slice());
        let decided = self.again(bundle, given, context)?;
        Ok((event, decided))
    }

    /// Decides the event that this has come to by a bundle, from its evidence and what lists said.
    pub(super) fn again(
        &mut self,
        bundle: &CompiledBundle,
        (event, evidence, lists): (&EventRecord, &DecisionEvidence, &[ListHit]),
        context: &Context,
    ) -> Result<DecisionBody, Error> {
        self.warm(bundle)?;
        let capabilities = evidence.switched_on();
        let (set, state) = (&bundle.feature_set, self.features(bundle));
        let features = posture::features(set, state, event, &capabilities);
        let features = features.map_err(|lost| Error::Evidence {
            what: lost.to_string(),
        })?;
        let given = Given {
            event,
            frame: &frame(evidence, context)?,
            features: &features,
            lists,
            posture: evidence.posture,
            capabilities: &capabilities,
        };
        Ok(decide(bundle, &given))
    }

    /// Says of which feature sets bundles will come beside those of the decisions.
    fn expect_sets(&mut self, sets: Vec<Digest>) {
        self.sets.extend(sets);
    }

    fn features(&mut self, bundle: &CompiledBundle) -> &mut FeatureState {
        let fresh = || FeatureState::new(bundle.feature_set.clone());
        self.states
            .entry(bundle.feature_set_digest)
            .or_insert_with(fresh)
    }

    /// Applies every record up to the decision's basis and returns the decided event.
    async fn up_to(
        &mut self,
        bundle: &CompiledBundle,
        body: &DecisionBody,
        evidence: &DecisionEvidence,
    ) -> Result<EventRecord, Error> {
        let missing = || Error::Evidence {
            what: format!("the traffic record of {}", body.event_id),
        };
        let origin = &evidence
            .inputs
            .get(&InputPart::Traffic)
            .ok_or_else(missing)?
            .origin_offset;
        self.warm(bundle)?;
        let mut decided = None;
        for at in 0..self.shards.len() {
            let basis = evidence.basis.position(&self.shards[at].shard).clone();
            while let Some(record) = self.shards[at].next(&basis).await? {
                let shard = &self.shards[at].shard;
                if shard.stream == Stream::Labels {
                    self.apply_label(&record)?;
                    continue;
                }
                let Ok(guarded) = guard::guard(shard, &record) else {
                    continue;
                };
                let is_origin = guarded.origin_offset == *origin;
                let Some(event) = self.apply(guarded)? else {
                    continue;
                };
                if is_origin {
                    decided = Some(event);
                }
            }
        }
        decided.ok_or_else(missing)
    }

    /// A feature set met for the first time catches up with what was applied before.
    fn warm(&mut self, bundle: &CompiledBundle) -> Result<(), Error> {
        if self.states.contains_key(&bundle.feature_set_digest) {
            return Ok(());
        }
        let mut state = FeatureState::new(bundle.feature_set.clone());
        let labels = self.labels.iter().map(Part::Label);
        for part in self.events.iter().map(Part::Event).chain(labels) {
            part.enter(&mut state)?;
        }
        self.states.insert(bundle.feature_set_digest, state);
        Ok(())
    }

    fn apply(&mut self, guarded: Guarded) -> Result<Option<EventRecord>, Error> {
        if guarded.event.envelope.platform_run_id != self.run {
            return Ok(None);
        }
        let Ok(event) = EventRecord::parse(&guarded.event) else {
            return Ok(None);
        };
        if !self.met.insert(event.event_id.clone()) {
            return Ok(None);
        }
        self.enter(Part::Event(&event))?;
        if self.sets.len() > 1 {
            self.events.push(event.clone());
        }
        Ok(Some(event))
    }

    fn apply_label(&mut self, record: &BusRecord) -> Result<(), Error> {
        let read = LabelRecord::read(&record.data).filter(|(of, _)| *of == self.run);
        let Some((_, label)) = read else {
            return Ok(());
        };
        self.enter(Part::Label(&label))?;
        if self.sets.len() > 1 {
            self.labels.push(label);
        }
        Ok(())
    }

    fn enter(&mut self, part: Part<'_>) -> Result<(), Error> {
        let mut states = self.states.values_mut();
        states.try_for_each(|state| part.enter(state))
    }
}

impl ShardPast<'_> {
    /// The next record that `basis` covers.
    async fn next(&mut self, basis: &Position) -> Result<Option<BusRecord>, Error> {
        while self.ahead.is_empty() {
            match self.scan.next().await? {
                Some(records) => self.ahead.extend(records),
                None => return Ok(None),
            }
        }
        let is_due = self
            .ahead
            .front()
            .is_some_and(|it| basis.covers(&it.sequence_number));
        Ok(if is_due { self.ahead.pop_front() } else { None })
    }
}

/// The shards that any basis names.
pub(super) fn basis_shards(opened: &[(DecisionBody, DecisionEvidence)]) -> Vec<ShardRef> {
    let bases = opened.iter().map(|(_, evidence)| &evidence.basis);
    let mut names: Vec<&String> = bases.flat_map(|it| it.0.keys()).collect();
    names.sort();
    names.dedup();
    let named = names.into_iter().filter_map(|name| {
        let (stream, shard_id) = name.split_once('/')?;
        let stream = stream.parse().ok()?;
        let shard_id = ShardId(shard_id.to_owned());
        BASIS_STREAMS
            .contains(&stream)
            .then_some(ShardRef { stream, shard_id })
    });
    named.collect()
}

pub(super) type Context = BTreeMap<OriginOffset, BusRecord>;

/// The context records that the evidence of any decision names.
pub(super) async fn fetch_context(
    reader: &ArchiveReader,
    run: PlatformRunId,
    opened: &[(DecisionBody, DecisionEvidence)],
) -> Result<Context, Error> {
    let inputs = opened.iter().flat_map(|(_, evidence)| &evidence.inputs);
    let context = inputs.filter(|(part, _)| **part != InputPart::Traffic);
    let offsets: Vec<OriginOffset> = context
        .map(|(_, input)| input.origin_offset.clone())
        .collect();
    Ok(reader.fetch(Folder::Run(run), &offsets).await?)
}

/// The frame that the decision saw: the parts that its evidence names, verified by their hashes.
pub(super) fn frame(evidence: &DecisionEvidence, context: &Context) -> Result<JoinFrame, Error> {
    let mut frame = JoinFrame::default();
    for (part, input) in &evidence.inputs {
        if *part == InputPart::Traffic {
            continue;
        }
        let offset = &input.origin_offset;
        let missing = || Error::Evidence {
            what: format!("{} of {}", part.as_str(), evidence.decision_id),
        };
        let shard = ShardRef {
            stream: offset.stream,
            shard_id: offset.shard_id.clone(),
        };
        let record = context.get(offset).ok_or_else(missing)?;
        let guarded = guard::guard(&shard, record).map_err(|_| missing())?;
        if guarded.event.payload_hash != input.payload_hash {
            return Err(missing());
        }
        match part {
            InputPart::ArrivalEvent => frame.arrival_event = Some(typed(&guarded.event, missing)?),
            InputPart::ArrivalEntities => {
                frame.arrival_entities = Some(typed(&guarded.event, missing)?)
            }
            InputPart::FlowAnchor => frame.flow_anchor = Some(typed(&guarded.event, missing)?),
            InputPart::Traffic => {}
        }
    }
    Ok(frame)
}

fn typed<T: serde::de::DeserializeOwned>(
    event: &AdmittedEvent,
    missing: impl Fn() -> Error,
) -> Result<FramePart<T>, Error> {
    let payload = T::deserialize(&event.envelope.payload).map_err(|_| missing())?;
    Ok(FramePart {
        payload_hash: event.payload_hash,
        payload,
    })
}
