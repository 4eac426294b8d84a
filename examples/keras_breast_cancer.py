"""A factorization machine in Keras on breast cancer, which many blogs show, with what they get wrong put right.

Two mistakes go round. The second term is sum_i v_if^2 x_i^2: both are squared, but the blogs multiply by x, which is
the same for 0 and 1 alone, and these are measurements. And the pair term is the sum over the factors, halved; with the
mean, the same weights mean less with every factor added.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # or jax, or tensorflow

import keras
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from crossfm.keras import FactorizationMachine

keras.utils.set_random_seed(0)
X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
scaler = StandardScaler().fit(X)

model = keras.Sequential(
    [
        keras.Input((30,)),
        FactorizationMachine(
            n_factors=4, activation="sigmoid", factor_regularizer=keras.regularizers.L2(1e-3)
        ),
    ]
)
model.compile(keras.optimizers.Adam(0.02), loss="binary_crossentropy")
model.fit(scaler.transform(X), y, batch_size=64, epochs=30, verbose=0)

p = model.predict(scaler.transform(X_test), verbose=0)[:, 0]
print(f"AUC {roc_auc_score(y_test, p):.3f}, accuracy {accuracy_score(y_test, p > 0.5):.3f}")
