//! The places that decisions name as evidence, to be met while the streams are scanned (L6).

use std::collections::BTreeMap;

use crate::contracts::canonical;
use crate::contracts::decision::{DecisionBody, DecisionEvidence, InputPart};
use crate::domain::vocabulary::Stream;
use crate::reconcile::check::{Examples, Findings, int};
use crate::reconcile::index::{Short, head, place};

/// One input of one decision.
#[derive(Debug)]
struct Wanted {
    place: u64,
    payload: u64,
    /// The traffic event that was decided; a context's event is named by its hash alone.
    key: Option<Short>,
    seq: i64,
    part: InputPart,
    is_found: bool,
}

#[derive(Debug, Default)]
pub(super) struct References {
    /// By stream, sorted by place once sealed.
    wanted: BTreeMap<Stream, Vec<Wanted>>,
    n_audited: i64,
    n_agreeing: i64,
    agreeing: Examples,
}

impl References {
    /// Takes up what a decision names, and holds its evidence against its body.
    pub(super) fn add(&mut self, seq: i64, key: Short, body: &[u8], evidence: &[u8]) {
        self.n_audited += 1;
        let body = canonical::from_bytes::<DecisionBody>("decision body", body);
        let evidence = canonical::from_bytes::<DecisionEvidence>("decision evidence", evidence);
        let (Ok(body), Ok(evidence)) = (body, evidence) else {
            self.agreeing.add(|| format!("seq {seq}"));
            return;
        };
        let of_body = body.inputs.iter();
        let of_evidence = evidence
            .inputs
            .iter()
            .map(|(part, input)| (part, &input.payload_hash));
        let agree = of_body.eq(of_evidence)
            && evidence.inputs.contains_key(&InputPart::Traffic)
            && body.decision_id == evidence.decision_id;
        if agree {
            self.n_agreeing += 1;
        } else {
            self.agreeing.add(|| format!("seq {seq}"));
        }
        for (part, input) in &evidence.inputs {
            let at = &input.origin_offset;
            self.wanted.entry(at.stream).or_default().push(Wanted {
                // What stands on the stream of another part is never met.
                place: match at.stream == stream_of(*part) {
                    true => place(&at.shard_id.0, at.sequence_number.as_str()),
                    false => u64::MAX,
                },
                payload: head(&input.payload_hash),
                key: (*part == InputPart::Traffic).then_some(key),
                seq,
                part: *part,
                is_found: false,
            });
        }
    }

    /// No more will be added.
    pub(super) fn seal(&mut self) {
        for wanted in self.wanted.values_mut() {
            wanted.sort_unstable_by_key(|it| it.place);
        }
    }

    /// A record of the run stands here.
    pub(super) fn meet(&mut self, stream: Stream, place: u64, payload: u64, key: &Short) {
        let Some(wanted) = self.wanted.get_mut(&stream) else {
            return;
        };
        let from = wanted.partition_point(|it| it.place < place);
        for it in wanted[from..].iter_mut().take_while(|it| it.place == place) {
            it.is_found = it.payload == payload && it.key.is_none_or(|wanted| wanted == *key);
        }
    }

    pub(super) fn report(self, findings: &mut Findings) {
        findings.check(
            "evidence_agrees_with_body",
            self.n_audited,
            self.n_agreeing,
            self.agreeing,
        );
        let all = || self.wanted.values().flatten();
        let lost = all().filter(|it| !it.is_found);
        let mut examples = Examples::default();
        examples.extend(lost.map(|it| format!("{} of seq {}", it.part.as_str(), it.seq)));
        let n_found = all().filter(|it| it.is_found).count();
        findings.check(
            "evidence_names_bus_records",
            int(all().count()),
            int(n_found),
            examples,
        );
    }
}

fn stream_of(part: InputPart) -> Stream {
    match part {
        InputPart::ArrivalEntities => Stream::ArrivalEntities,
        InputPart::ArrivalEvent => Stream::ArrivalEvents,
        InputPart::FlowAnchor => Stream::FlowAnchor,
        InputPart::Traffic => Stream::Traffic,
    }
}
