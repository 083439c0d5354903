DELETE FROM runtime.pruned_day WHERE $1 = 'ig' AND day = $2
