"""What the checks of the Keras layers need of the backend that Keras runs on."""

from __future__ import annotations

import keras
from keras import ops

BACKEND = keras.backend.backend()


def weights_of(layer):
    """Return the layer's weights by name, as float64 arrays."""
    return {v.name: ops.convert_to_numpy(v.value).astype(float) for v in layer.weights}


def randomise(layer, rng):
    """Give every weight a normal value: zeros at the start hide mistakes."""
    for variable in layer.weights:
        variable.assign(rng.normal(size=variable.shape))


def values(tensor):
    """Return a tensor as a float64 array; NumPy itself has no bfloat16."""
    return ops.convert_to_numpy(ops.cast(tensor, "float64")).astype(float)


def outputs(layer, x, **options):
    """Return the outputs of a layer for an array that Keras does not round to 32 bits first."""
    return values(layer(ops.convert_to_tensor(x, dtype=x.dtype.name), **options))


def gradients(layer, x):
    """Return the gradients of the sum of a layer's outputs: by the input, and by each weight's name."""
    x = ops.convert_to_tensor(x, dtype=x.dtype.name)
    layer(x)
    names = [v.name for v in layer.weights]
    if BACKEND == "torch":
        x.requires_grad_(True)
        ops.sum(layer(x)).backward()
        by_input, by_weight = x.grad, [v.value.grad for v in layer.weights]
    elif BACKEND == "jax":
        import jax

        def total(x, weights):
            return ops.sum(layer.stateless_call(weights, [], x)[0])

        by_input, by_weight = jax.jit(jax.grad(total, argnums=(0, 1)))(x, [v.value for v in layer.weights])
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            total = ops.sum(layer(x))
        by_input, *by_weight = tape.gradient(total, [x, *(v.value for v in layer.weights)])
    by_weight = [ops.convert_to_numpy(gradient) for gradient in by_weight]
    return ops.convert_to_numpy(by_input), dict(zip(names, by_weight, strict=True))


def made_rows(rng, shape, zeros=0.3):
    """Return normal values, some of them zero."""
    return rng.normal(size=shape) * (rng.random(shape) > zeros)
