-- What is done is known for as long as its day stands.
DELETE FROM runtime.action AS a
WHERE a.state = 'DONE'
  AND EXISTS (SELECT FROM governance.dropped_day AS d WHERE d.group_name = 'al' AND d.day = a.day)
