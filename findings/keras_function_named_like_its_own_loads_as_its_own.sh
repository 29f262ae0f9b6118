#!/bin/bash
# Keras saves a function that is not registered by its name alone. Where Keras has a function of that name itself
# (gelu, relu, silu, mish, ...), load_model returns Keras' own function, without a warning, instead of refusing as it
# does for other names: a model with the quick form of GELU (x * sigmoid(1.702 x), as in CLIP) under the name `gelu`
# computes something else after saving and loading. clone_model replaces the function in the same way.
# Registered functions (keras.saving.register_keras_serializable) come back as they were.
# keras 3.15.1, jax 0.10.2 (CPU), Python 3.11; 2026-11-29.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install -q keras==3.15.1 jax==0.10.2
cat > try.py <<'P'
import warnings

import keras
import numpy as np

print("keras", keras.__version__, keras.backend.backend())


def quick(x):
    return x * keras.ops.sigmoid(1.702 * x)


def gelu(x):
    return quick(x)


@keras.saving.register_keras_serializable()
def silu(x):
    return quick(x)


keras.utils.set_random_seed(0)
x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")


def change(activation):
    """Return the activation after saving and loading, and how much the outputs change."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation=activation)])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.save("model.keras")
        loaded = keras.saving.load_model("model.keras")
    before, after = (keras.ops.convert_to_numpy(m(x)) for m in (model, loaded))
    told = [str(w.message) for w in told if activation.__name__ in str(w.message)]
    return loaded.layers[0].activation, np.abs(after - before).max(), told, model


found, difference, told, model = change(gelu)
print("gelu came back from", found.__module__, "- outputs differ by", difference, "- warnings", told)
assert found is keras.activations.gelu and difference > 1e-3 and not told
cloned = keras.models.clone_model(model).layers[0].activation
print("clone_model has that of", cloned.__module__)
assert cloned is keras.activations.gelu
found, difference, told, _ = change(silu)
print("registered silu: outputs differ by", difference)
assert found is silu and difference == 0
try:
    change(quick)
    raise SystemExit("quick was loaded")
except TypeError as error:
    print("another name:", str(error)[:60])
P
KERAS_BACKEND=jax venv/bin/python try.py
# Output: gelu came back from keras.src.activations.activations - outputs differ by 0.02 - warnings []
