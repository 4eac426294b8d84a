import sys

import numpy as np
import pandas as pd

from crossfm import FMRanker, designs
from crossfm.metrics import ranking_report

log = pd.read_csv(f"{sys.argv[1]}/frappe.csv.gz", sep="\t")  # who used which app ("item") in which context
log["nothing"] = "nothing"
pairs = log[["user", "item"]].drop_duplicates().sample(frac=1, random_state=0)
held = pairs[pairs.duplicated("user", keep=False)].drop_duplicates("user")  # an app that is new to each user
new = pd.MultiIndex.from_frame(log[["user", "item"]]).isin(pd.MultiIndex.from_frame(held))
train, test = log[~new], log[new].drop_duplicates(["user", "item"])

for context in ("nothing", "country"):
    posts = train.drop_duplicates(["user", context, "item"])
    choices = designs.pitf(posts, "user", context, "item")
    model = FMRanker(8, loss="softmax", max_iter=10, columns=choices.columns, random_state=0)
    model.fit(choices.X, choices.y, groups=choices.groups, catalogue=choices.catalogue)
    encoded = model.encoder_.transform(test)
    seen, n_apps = train.groupby("user").item.agg(choices.positions), len(choices.items)
    lists = []
    for at, user in enumerate(test.user):
        scores = model.predict(encoded.take(np.repeat(at, n_apps)), items=choices.catalogue)
        scores[seen[user]] = -np.inf
        lists.append(np.argsort(-scores)[:20])
    found = choices.positions(test.item)
    report = ranking_report(lists, np.arange(len(lists) + 1), np.where(found < 0, n_apps, found), ks=[20])
    print(f"{context}: hit rate@20 {report['hit_rate@20']:.3f}, NDCG@20 {report['ndcg@20']:.3f}")
