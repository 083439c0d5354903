"""Recomputes every vector of identities.json from its inputs, by docs/contracts/identities.md.

It shares no code with the platform, so an error in one of the two shows as a difference. Needs the
PyPI packages cbor2 and blake3.

    python3 identities.py            check; exits 1 on a difference
    python3 identities.py --fill     give vectors without an expected value theirs; a vector that
                                     has one is never changed
"""

import json
import struct
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cbor2
from blake3 import blake3

HERE = Path(__file__).parent
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def canonical(value):
    return cbor2.dumps(value, canonical=True)


def micros(text):
    """Microseconds since 1970, in integers: a float of seconds would lose the last ones."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return (moment - EPOCH) // timedelta(microseconds=1) + int(fraction.ljust(6, "0") or "0")


def tagged(kind, *fields):
    return canonical([f"fraudplat/{kind}/v1", *fields])


def label(i):
    refs = sorted(i["evidence_refs"], key=lambda ref: (ref["ref_type"].encode(), ref["ref_id"].encode()))
    subject = i["subject"]
    return tagged(
        "label", subject["platform_run_id"], subject["event_id"], i["label_type"], i["value"],
        micros(i["effective_time"]), micros(i["observed_time"]), i["source"], i["source_ref_id"],
        i["actor_id"], [[ref["ref_type"], ref["ref_id"]] for ref in refs],
    )


def world(i):
    files = [[name, digest] for name, digest in i["files"]]
    return tagged("manifest", i["generator_or_mapping"], i["scenario_digest"], i["seed"], files, i["selection"])


def parts(i, *names):
    """Name and text of each part that is there."""
    return [field for name in names if name in i for field in (name, i[name])]


# Section of identities.json: prefix of the id, and its preimage from the inputs.
IDENTITIES = {
    "payload_hash": ("", lambda i: tagged("payload", i["event_class"], i["schema_version"], micros(i["ts_utc"]), i["payload"])),
    "envelope_hash": ("", lambda i: tagged(
        "envelope", i["payload_hash"], i["event_id"], i["platform_run_id"], i["scenario_run_id"],
        i["manifest_fingerprint"], i["tenant_id"], i["producer"], micros(i["admitted_at"]), i["batch_id"])),
    "manifest_fingerprint": ("", world),
    "manifest_fingerprint_live": ("", lambda i: tagged("manifest", "live", i["tenant_id"], i["name"])),
    "scenario_run_id": ("sr_", lambda i: tagged("scenario_run", i["manifest_fingerprint"], i["scenario"])),
    "platform_run_id": ("run_", lambda i: tagged("platform_run", i["manifest_fingerprint"], i["semantic_digest"], i["tenant_id"], i["label"])),
    "flow_id": ("flow_", lambda i: tagged("flow", i["manifest_fingerprint"], i["merchant_id"], i["arrival_seq"])),
    "decision_id": ("dec_", lambda i: tagged("decision", i["platform_run_id"], i["event_class"], i["event_id"])),
    "shadow_score_id": ("shd_", lambda i: tagged("shadow_score", i["decision_id"], i["bundle_slot"])),
    "list_entry_id": ("lst_", lambda i: tagged("list_entry", i["list"], i["entity"], i["value"], i["nth"])),
    "case_id": ("case_", lambda i: tagged("case", i["platform_run_id"], i["event_class"], i["event_id"])),
    "case_trigger_id": ("trg_", lambda i: tagged("case_trigger", i["case_id"], i["trigger_type"], i["source_ref_id"])),
    "case_timeline_event_id": ("cte_", lambda i: tagged("case_timeline_event", i["case_id"], i["timeline_event_type"], i["source_ref_id"])),
    "action_intent_id": ("act_", lambda i: tagged("action_intent", i["parent"], i["source_case_event_id"], i["intent_type"], i["subject_key"])),
    "label_assertion_id": ("lab_", lambda i: tagged("label_assertion", i["platform_run_id"], i["event_id"], i["label_type"], i["source"], i["source_ref_id"])),
    "label_payload_hash": ("", label),
    "fact_id": ("fact_", lambda i: tagged("fact", i["fact_type"], *i["natural_key"])),
    "bundle_digest": ("", lambda i: tagged("bundle", i["feature_set"], i["policy"], *parts(i, "model", "manifest"))),
    "feature_set_digest": ("", lambda i: tagged("feature_set", i["feature_set"])),
    "policy_digest": ("", lambda i: tagged("policy", i["policy"])),
    "chain_genesis": ("", lambda i: tagged("chain_genesis", i["platform_run_id"])),
    "chain_link": ("", lambda i: tagged("chain_link", i["prev"], i["seq"], i["body_hash"], i["evidence_hash"])),
    "event_key": ("", lambda i: tagged("event_key", i["platform_run_id"], i["event_class"], i["event_id"])),
    "join_frame": ("", lambda i: tagged("join_frame", i["platform_run_id"], i["merchant_id"], i["arrival_seq"])),
    "flow_key": ("", lambda i: tagged("flow_key", i["platform_run_id"], i["flow_id"])),
}


def canonical_float(bits):
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    return canonical(0.0 if value == 0.0 else value)


def expected(section, case):
    """The fields that a vector must have beside its inputs."""
    if section == "canonical":
        return {"cbor": canonical(case["input"]).hex()}
    if section == "canonical_float":
        return {"cbor": canonical_float(case["input"]).hex()}
    if section == "time":
        return {"micros": micros(case["input"])}
    if section == "record_hash":
        stored = bytes.fromhex((HERE / case["input"]).read_text().strip())
        again = canonical(cbor2.loads(stored))
        return {"id": blake3(stored).hexdigest(), "is_canonical": stored == again}
    prefix, preimage_of = IDENTITIES[section]
    preimage = preimage_of(case["input"])
    return {"preimage": preimage.hex(), "id": prefix + blake3(preimage).hexdigest()}


def main():
    fill = sys.argv[1:] == ["--fill"]
    if sys.argv[1:] and not fill:
        sys.exit(__doc__)
    path = HERE / "identities.json"
    sections = json.loads(path.read_text(encoding="utf-8"))
    missing = IDENTITIES.keys() - sections.keys()
    faults = [f"{section}: has no vector" for section in sorted(missing)]
    compared = 0
    for section, cases in sections.items():
        for case in cases:
            for key, value in expected(section, case).items():
                if fill:
                    case.setdefault(key, value)
                compared += 1
                if case.get(key) != value:
                    faults.append(f"{section} / {case['case']}: {key} is {value}, the file says {case.get(key)}")
    if fill:
        text = json.dumps(sections, ensure_ascii=False, indent=1)
        path.write_text(text + "\n", encoding="utf-8")
    if faults:
        sys.exit("\n".join(faults))
    print(f"{compared} values of {len(sections)} sections agree")


if __name__ == "__main__":
    main()
