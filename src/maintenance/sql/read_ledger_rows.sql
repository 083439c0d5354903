SELECT parent, line FROM governance.ledger_rows($1, $2)
