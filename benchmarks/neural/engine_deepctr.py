"""DeepCTR on TensorFlow with Keras 2: a table a field; numbers go to the linear part and the layers, not to the FM.

It has no FM: that is DeepFM's linear part and FM without layers, put together from its own layers as there.
"""

from __future__ import annotations

import os
from typing import Any

os.environ["https_proxy"] = "http://127.0.0.1:9"  # importing it asks the package index for news
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

from job import BATCH, CATEGORICAL, DENSE, DIM, LEARNING_RATE, Job, Ready, main

NO_L2 = {"l2_reg_embedding": 0, "l2_reg_linear": 0}


def engine(job: Job) -> Ready:
    """Keras shuffles and batches arrays."""
    import tensorflow as tf
    from deepctr.feature_column import DenseFeat, SparseFeat, get_feature_names
    from deepctr.models import NFM, DeepFM

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.random.set_seed(job.seed)
    sizes = zip(CATEGORICAL, job.sizes.tolist(), strict=True)
    columns: list[Any] = [SparseFeat(name, vocabulary_size=n, embedding_dim=DIM) for name, n in sizes]
    columns += [DenseFeat(name, 1) for name in DENSE]
    kinds = {"nfm": NFM, "deepfm": DeepFM, "fm": fm}
    model = kinds[job.model](columns, columns, dnn_hidden_units=job.hidden, seed=job.seed, **NO_L2)
    model.compile(tf.keras.optimizers.Adam(LEARNING_RATE), "binary_crossentropy")
    names = get_feature_names(columns)
    train, test = job.columns("train"), job.columns("test")
    x, y, held = [train[n] for n in names], job.read("train", "y").astype("float32"), [test[n] for n in names]
    trace(model, x, y)
    return Ready(
        lambda: model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0),
        lambda: model.predict(held, batch_size=BATCH, verbose=0),
        {"tensorflow": tf.__version__},
    )


def trace(model: Any, x: list[Any], y: Any) -> None:
    """Let TensorFlow make its graphs, for full and for last batches, at rate 0: a longer epoch would not notice."""
    model.optimizer.learning_rate.assign(0.0)
    model.fit([column[: BATCH + 1] for column in x], y[: BATCH + 1], batch_size=BATCH, epochs=1, verbose=0)
    model.predict([column[: BATCH + 1] for column in x], batch_size=BATCH, verbose=0)
    model.optimizer.learning_rate.assign(LEARNING_RATE)


def fm(linear_columns: list[Any], columns: list[Any], *, seed: int, **_: Any) -> Any:
    """DeepFM of the package without its layers."""
    from deepctr.feature_column import build_input_features, get_linear_logit, input_from_feature_columns
    from deepctr.layers.core import PredictionLayer
    from deepctr.layers.interaction import FM
    from deepctr.layers.utils import add_func, concat_func
    from tensorflow.keras.models import Model

    features = build_input_features(linear_columns + columns)
    linear = get_linear_logit(features, linear_columns, seed=seed, prefix="linear", l2_reg=0)
    embeddings, _ = input_from_feature_columns(features, columns, 0, seed)
    pairs = FM()(concat_func(embeddings, axis=1))
    output = PredictionLayer("binary")(add_func([linear, pairs]))
    return Model(inputs=list(features.values()), outputs=output)


if __name__ == "__main__":
    main("deepctr", engine)
