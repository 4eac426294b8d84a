"""Embeddings of users, movies and what is known of them, in Keras: a factorization machine and a neural one.

A row has six fields: user, movie, gender, occupation, decade of age, and the movie's genres, whose vectors are summed.
Pairs are pairs of *fields*: blogs that flatten the vectors first multiply coordinates that have nothing to do with each
other. The settings are those that were best on a tenth of the training rows.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # or jax, or tensorflow

import keras
import numpy as np
from keras import layers, ops

from crossfm.datasets import load
from crossfm.keras import BiInteraction, FactorizationMachine

data = load("movielens-100k")  # fetched once, checked, cached
users, movies = data.users.to_pandas().set_index("user_id"), data.items.to_pandas().set_index("item_id")
ratings = data.ratings.to_pandas().sample(frac=1, random_state=0)
known = users.loc[ratings.user_id]
columns = [ratings.user_id, ratings.item_id, known.gender, known.occupation, known.age // 10]
codes = np.stack([np.unique(column, return_inverse=True)[1] for column in columns], axis=1)
ids = codes + np.cumsum([0, *codes[:, :-1].max(axis=0) + 1])  # one table for the five fields
genres = movies.genres.str.get_dummies().loc[ratings.item_id].to_numpy("float32")
stars = ratings.rating.to_numpy()
mean = float(stars[:80_000].mean())


def fields(x, genres, dim, penalty):
    """Return the vectors of the six fields: (batch, 6, dim)."""
    start, l2 = keras.initializers.RandomNormal(stddev=0.01), keras.regularizers.L2(penalty)
    table = layers.Embedding(int(ids.max()) + 1, dim, embeddings_initializer=start, embeddings_regularizer=l2)
    summed = layers.Dense(dim, use_bias=False, kernel_initializer=start, kernel_regularizer=l2)(genres)
    return layers.Concatenate(axis=1)([table(x), layers.Reshape((1, dim))(summed)])


def neural(vectors):
    """Return what NFM makes of the vectors: pooled pairs, and a hidden layer on top."""
    hidden = layers.Dense(32, activation="relu")(layers.Dropout(0.3)(BiInteraction()(vectors)))
    return layers.Dense(1, bias_initializer=keras.initializers.Constant(mean))(hidden)


def build(pairs):
    """Return a model: the linear part, and ``pairs`` of the vectors."""
    x, g = keras.Input((5,), dtype="int32"), keras.Input((genres.shape[1],))
    linear = ops.sum(fields(x, g, 1, 1e-6), axis=1)
    return keras.Model([x, g], linear + pairs(fields(x, g, 16, 2e-4)))


print(f"constant: RMSE {np.sqrt(np.mean((stars[80_000:] - mean) ** 2)):.3f}")
machine = FactorizationMachine(bias_initializer=keras.initializers.Constant(mean))
for name, pairs in {"FM": machine, "NFM": neural}.items():
    keras.utils.set_random_seed(0)
    model = build(pairs)
    model.compile(keras.optimizers.Adam(0.01), loss="mse", metrics=["root_mean_squared_error"])
    model.fit([ids[:80_000], genres[:80_000]], stars[:80_000], batch_size=4096, epochs=9, verbose=0)
    rmse = model.evaluate([ids[80_000:], genres[80_000:]], stars[80_000:], batch_size=4096, verbose=0)[1]
    print(f"{name}: RMSE {rmse:.3f}")
