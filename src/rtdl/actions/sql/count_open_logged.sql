SELECT count(*) FROM runtime.action WHERE state = 'OPEN' AND intent_type <> ALL($1)
