import sys

import numpy as np
import pyarrow.compute as pc

from crossfm import FMRegressor, designs
from crossfm.datasets.movielens import movielens_u_split

folder = sys.argv[1]  # with the original files of MovieLens-100K
train, test = (
    part.append_column("day", pc.divide(part["timestamp"], 86_400)) for part in movielens_u_split(folder, 1)
)
user, item = "user_id", "item_id"
known = {
    "MF": designs.mf(user, item),
    "SVD++": designs.svdpp(train, user, item),
    "SVD++, flipped too": designs.svdpp(train, user, item, flipped=True),
    "timeSVD++": designs.time_svdpp(train, user, item, "day", n_bins=None),
}
for name, design in known.items():
    model = FMRegressor(8, solver="mcmc", max_iter=40, random_state=0, **design)
    model.fit(train.drop_columns("rating"), train["rating"])
    error = model.predict(test.drop_columns("rating")).clip(1, 5) - test["rating"].to_numpy()
    print(f"{name}: RMSE {np.sqrt(np.mean(error**2)):.3f}")
