import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # or jax, or tensorflow

import keras
import numpy as np
import onnxruntime

from crossfm.keras import FactorizationMachine  # also makes the layer known to load_model

model = keras.Sequential(
    [keras.Input((30,)), FactorizationMachine(16, activation="relu"), keras.layers.Dense(1)]
)
rows = np.random.default_rng(0).normal(size=(5, 30)).astype("float32")
expected = keras.ops.convert_to_numpy(model(rows))  # a model is exported after it was called

model.save("model.keras")
loaded = keras.saving.load_model("model.keras")
print("model.keras", np.abs(loaded.predict(rows, verbose=0) - expected).max())

model.export("model.onnx", format="onnx", verbose=False)
session = onnxruntime.InferenceSession("model.onnx")
(found,) = session.run(None, {session.get_inputs()[0].name: rows})
print("model.onnx", np.abs(found - expected).max())
