# Scores a table with a text model: raw scores, microseconds a row in one batch and one by one.
import json
import sys
import time

import lightgbm
import numpy

booster = lightgbm.Booster(model_file=sys.argv[1])
rows = numpy.loadtxt(sys.argv[2], delimiter=",", ndmin=2)
kwargs = {"raw_score": True, "num_threads": 1}
booster.predict(rows[:10], **kwargs)
batch = []
for _ in range(5):
    began = time.perf_counter()
    scores = booster.predict(rows, **kwargs)
    batch.append((time.perf_counter() - began) * 1e6 / len(rows))
some = rows[:200]
began = time.perf_counter()
for row in some:
    booster.predict(row.reshape(1, -1), **kwargs)
single = (time.perf_counter() - began) * 1e6 / len(some)
print(json.dumps({"batch_us": min(batch), "single_us": single, "scores": scores.tolist()}))
