SELECT records FROM runtime.inflight WHERE batch_id = $1
