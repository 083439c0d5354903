SELECT code, detail FROM governance.day_obstacles($1, $2, $3, $4)
