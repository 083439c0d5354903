-- The next day that has admitted events, of whatever run.
SELECT min(day) FROM ig.event WHERE day > $1
