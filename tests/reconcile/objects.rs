//! What the small world keeps as objects: receipts, a quarantined payload, the archive.

use bytes::Bytes;
use fraudplat::contracts::groups::ARCHIVE;
use fraudplat::contracts::receipt::Receipt;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::offset::{Position, SequenceNumber, ShardRef};
use fraudplat::domain::vocabulary::{EventClass, IngestResult};
use fraudplat::runtime::archive::{self, Folder, Head, Row};
use fraudplat::substrate::bus::{BusRecord, ReadFrom, ReadLimit};
use fraudplat::substrate::db::Client;
use serde_json::json;

use crate::world::{STAMPS, Stored, World, event};

impl World {
    /// One segment of receipts, its object before its row.
    pub(crate) async fn receipts(&self, client: &Client, batch_id: i64, stored: &[Stored]) {
        let mut body = Vec::new();
        for it in stored {
            let envelope = &it.event.envelope;
            let receipt = Receipt {
                schema_version: 1,
                platform_run_id: envelope.platform_run_id,
                event_class: it.class,
                event_id: envelope.event_id.clone(),
                result: IngestResult::Admitted,
                payload_hash: it.event.payload_hash,
                eb_ref: it.at.clone(),
                batch_id,
                admitted_at: self.now,
                code: None,
                stamps: self.ground.stamps.clone(),
            };
            serde_json::to_writer(&mut body, &receipt).unwrap();
            body.push(b'\n');
        }
        let key = format!(
            "{}/ig/receipts/{}/{batch_id}.ndjson",
            self.run(),
            self.day()
        );
        let hash = self.object(&key, body.into()).await;
        let n = i32::try_from(stored.len()).unwrap();
        client
            .execute(
                "INSERT INTO ig.receipt_segment (day, platform_run_id, gate_id, first_batch_id, last_batch_id,
                     receipts_count, object_key, content_hash, written_at)
                 VALUES ($1, $2, 'gate', $3, $3, $4, $5, $6, $7)",
                &[&self.day(), &self.run(), &batch_id, &n, &key, &hash, &self.now],
            )
            .await
            .unwrap();
    }

    async fn object(&self, key: &str, body: Bytes) -> Digest {
        let hash = Digest::of_bytes(&body);
        self.ground
            .objects
            .put_new(&key.parse().unwrap(), body)
            .await
            .unwrap();
        hash
    }

    pub(crate) async fn quarantine(&self, client: &Client) {
        let refused = event(&self.pins, EventClass::Traffic, 1, 2, 999);
        let line = json!({
            "item": 2, "code": "PAYLOAD_HASH_MISMATCH", "detail": "", "payload_hash": refused.payload_hash,
            "envelope": refused.envelope,
        });
        let key = format!("{}/ig/quarantine/2.ndjson", self.run());
        self.object(&key, format!("{line}\n").into()).await;
        client
            .execute(
                "INSERT INTO ig.quarantine (day, quarantine_id, batch_id, item, platform_run_id, event_class, event_id,
                     payload_hash, code, detail, object_key, quarantined_at)
                 VALUES ($1, $2, 2, 2, $3, 'traffic', 'e1', $4, 'PAYLOAD_HASH_MISMATCH', '', $5, $6)",
                &[
                    &self.day(),
                    &Digest::of_bytes(b"quarantined"),
                    &self.run(),
                    &refused.payload_hash,
                    &key,
                    &self.now,
                ],
            )
            .await
            .unwrap();
    }

    /// One segment a shard that holds anything of the run.
    pub(crate) async fn archive(&self, client: &Client) {
        for (shard, tip) in self.tips().await {
            self.lease(client, ARCHIVE, &shard.to_string(), &tip.to_string())
                .await;
            let mut rows = Vec::new();
            for record in self.records(&shard).await {
                let (folder, head) = Head::of(shard.stream, &record.data);
                if folder == Folder::Run(self.run()) {
                    rows.push(Row { record, head });
                }
            }
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
                continue;
            };
            let number = |row: &Row| row.record.sequence_number.clone();
            let (first, last): (SequenceNumber, SequenceNumber) = (number(first), number(last));
            let content = archive::encode(&rows).unwrap();
            let hash = Digest::of_bytes(&content);
            let folder = Folder::Run(self.run());
            let key = folder
                .segment_key(&shard, &first, &last, &hash)
                .unwrap()
                .to_string();
            let (bytes, n) = (
                i64::try_from(content.len()).unwrap(),
                i32::try_from(rows.len()).unwrap(),
            );
            self.object(&key, content).await;
            client
                .execute(
                    "INSERT INTO rtdl.archive_segment (day, folder, platform_run_id, stream, shard_id, first_sequence,
                         last_sequence, records_count, object_key, object_bytes, content_hash, archived_at, stamps)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
                    &[
                        &self.day(),
                        &folder.to_string(),
                        &self.run(),
                        &shard.stream.as_str(),
                        &shard.shard_id.0,
                        &first.as_str(),
                        &last.as_str(),
                        &n,
                        &key,
                        &bytes,
                        &hash,
                        &self.now,
                        &STAMPS,
                    ],
                )
                .await
                .unwrap();
        }
    }

    async fn records(&self, shard: &ShardRef) -> Vec<BusRecord> {
        let from = ReadFrom::Position(Position::Start);
        let limit = ReadLimit {
            records_max: 1_000,
            bytes_max: 1 << 20,
            wait_max: std::time::Duration::ZERO,
        };
        let bus = &self.ground.bus;
        bus.read(shard.stream, &shard.shard_id, from, limit)
            .await
            .unwrap()
            .records
    }
}
