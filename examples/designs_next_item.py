import sys

import numpy as np
import pandas as pd

from crossfm import FMRanker, designs
from crossfm.metrics import ranking_report

names = ["user", "item", "rating", "time"]
log = pd.read_csv(f"{sys.argv[1]}/u.data.gz", sep="\t", names=names).sort_values(["user", "time", "item"])
last = ~log.duplicated("user", keep="last")  # each user's last movie is to be found

choices = designs.fpmc(log[~last], "user", "item", "time")
queries = designs.last_baskets(log, "user", "item", "time").filter(last.to_numpy())
seen = log[~last].groupby("user").item.agg(choices.positions)
n_items = len(choices.items)
found = choices.positions(log.item[last])

for name, columns in (("FPMC", choices.columns), ("without the last basket", choices.columns[:1])):
    model = FMRanker(16, loss="softmax", max_iter=10, columns=columns, random_state=0)
    model.fit(choices.X, choices.y, groups=choices.groups, catalogue=choices.catalogue)
    encoded = model.encoder_.transform(queries)
    lists = []
    for at, user in enumerate(log.user[last]):
        scores = model.predict(encoded.take(np.repeat(at, n_items)), items=choices.catalogue)
        scores[seen[user]] = -np.inf
        lists.append(np.argsort(-scores)[:10])
    report = ranking_report(lists, np.arange(len(lists) + 1), np.where(found < 0, n_items, found), ks=[10])
    print(f"{name}: hit rate@10 {report['hit_rate@10']:.3f}, NDCG@10 {report['ndcg@10']:.3f}")
