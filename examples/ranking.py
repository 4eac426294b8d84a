"""Two stages: recall, then a machine that knows what was in fashion lately; beside recall alone."""

import numpy as np
import pyarrow as pa

from crossfm import Recommender
from crossfm.recommender.defaults import default_ranker
from crossfm.recommender.evaluate import evaluate

rng = np.random.default_rng(0)
n, stretch = 8_000, np.arange(8_000) // 1_000
fashion = np.array([rng.permutation(200)[:15] for _ in range(8)])  # other items in each stretch of time
item = np.where(rng.random(n) < 0.7, fashion[stretch, rng.integers(0, 15, n)], rng.integers(0, 200, n))
log = pa.table({"user_id": rng.integers(0, 500, n), "item_id": item, "when": np.arange(n) * 60.0})
before, after = log.slice(0, 7_500), log.slice(7_500)

for name, ranker in {"recall alone": None, "two stages": default_ranker("fm")}.items():
    model = Recommender(time="when", half_life=0.3, ranker=ranker).fit(before)
    found = evaluate(model, after, ks=(10,))
    print(f"{name}: NDCG@10 {found.value('fm', 'ndcg@10')['mean']:.3f}")
