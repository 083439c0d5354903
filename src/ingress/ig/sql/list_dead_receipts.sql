-- Other gates whose leases have run out, also that of their receipts.
SELECT gate.scope FROM runtime.lease AS gate
LEFT JOIN runtime.lease AS receipts ON receipts.group_name = 'receipts' AND receipts.scope = gate.scope
WHERE gate.group_name = 'ig' AND gate.scope <> $1 AND gate.expires_at < now()
    AND (receipts.scope IS NULL OR receipts.expires_at < now())
ORDER BY gate.scope
