-- The keys begin with what is asked for. With the day in front, a decision by its id, or a page of a
-- run's chain, read every row of every day.
ALTER TABLE dla.decision DROP CONSTRAINT decision_pkey;
ALTER TABLE dla.decision DROP CONSTRAINT decision_day_decision_id_key;
ALTER TABLE dla.decision ADD PRIMARY KEY (platform_run_id, seq, day);
ALTER TABLE dla.decision ADD UNIQUE (decision_id, day);
