"""Recall by hand: vectors of a fitted machine, an index, a filter, a new item."""

import numpy as np

from crossfm import FwFMRegressor, Rows
from crossfm.estimators.recall import recall_machine_of
from crossfm.recommender.index import choose_index
from crossfm.scoring.decompose import item_vectors, query_vectors

N_USERS, N_ITEMS, N_TAGS = 50, 300, 10
rng = np.random.default_rng(0)
user, item = rng.integers(0, N_USERS, 8000), rng.integers(0, N_ITEMS, 8000)
tag = np.arange(N_ITEMS) % N_TAGS  # of each item


def rows(*columns, first=0):
    """Rows of one feature a column, whose fields are counted from ``first``."""
    fields = np.arange(first, first + len(columns), dtype=np.uint32)
    ids = np.column_stack(columns).astype(np.uint32)
    return Rows(ids.ravel(), N_USERS + N_ITEMS + N_TAGS, width=len(columns), fields=fields)


rating = 3 + 0.1 * ((user + tag[item]) % N_TAGS) + rng.normal(0, 0.1, len(user))
joined = rows(user, N_USERS + item, N_USERS + N_ITEMS + tag[item])
model = FwFMRegressor(8, max_iter=10, random_state=0).fit(joined, rating)

machine = recall_machine_of(model, n_query_fields=1)  # one field is the query's, two are the item's
items = item_vectors(rows(N_USERS + np.arange(N_ITEMS), N_USERS + N_ITEMS + tag), machine)
queries, constant = query_vectors(rows(np.arange(N_USERS)), machine)

index = choose_index(items, queries)
found, inner = index.search(queries, 5)
first = rows(np.arange(N_USERS), N_USERS + found[:, 0], N_USERS + N_ITEMS + tag[found[:, 0]])
# it is the model's own score
np.testing.assert_allclose(constant + inner[:, 0], model.predict(first), rtol=1e-5)
assert (tag[index.search(queries, 5, allowed=tag == 3)[0]] == 3).all()

index.upsert([N_ITEMS], items[:1])  # a new item: known by its features, searched at once
index.delete([found[0, 0]])
print(index.search(queries[:1], 5)[0], index.report())
