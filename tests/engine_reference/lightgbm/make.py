"""Trains the model of this folder and writes what LightGBM says of some rows.

    python3 make.py        needs the PyPI packages lightgbm and numpy
"""

import json
from pathlib import Path

import lightgbm
import numpy

HERE = Path(__file__).parent
draw = numpy.random.default_rng(7)


def rows(n):
    table = draw.normal(size=(n, 3))
    table[:, 1] = numpy.round(table[:, 1] * 10)
    table[draw.random((n, 3)) < 0.1] = numpy.nan
    return table


table = rows(2000)
known = numpy.nan_to_num(table)
fraud = (known[:, 0] * known[:, 1] + known[:, 2] > 1).astype(int)
options = {"objective": "binary", "num_leaves": 9, "learning_rate": 0.3, "verbose": -1, "seed": 1, "deterministic": True,
           "num_threads": 1}
data = lightgbm.Dataset(table, fraud, feature_name=["a", "b", "c"])
model = lightgbm.train(options, data, 12)
text = model.model_to_string().split("\nfeature_importances")[0] + "\n"
(HERE / "model.txt").write_text(text)
model = lightgbm.Booster(model_str=text)
asked = rows(200)
asked[:40, 1] = numpy.abs(asked[:40, 1])
cases = {
    "rows": [[None if numpy.isnan(cell) else cell for cell in row] for row in asked.tolist()],
    "raw": model.predict(asked, raw_score=True).tolist(),
    "score": model.predict(asked).tolist(),
}
(HERE / "scores.json").write_text(json.dumps(cases) + "\n")
