#!/bin/bash
# Keras on TensorFlow: `fit` counts one step more than it made in every epoch of a data set of unknown length.
# The step that finds no more data still adds one to `optimizer.iterations`: the addition does not wait for the data
# within the compiled function. Schedules of the learning rate, Adam's correction of its first steps, and programs that
# go on by `optimizer.iterations`, are off by one for each epoch. A data set that knows its length, the same data set
# run eagerly, and Keras on PyTorch and on JAX count right. What fails while data is read counts likewise.
# Seen: 3 epochs of 3 batches: 12 iterations (length unknown), 9 (known), 9 (unknown, eager), 9 (unknown, PyTorch, JAX).
# Keras 3.15.1, TensorFlow 2.21.0, PyTorch 2.13.0, JAX 0.10.2, Python 3.11, Linux, CPU; 2026-11-30.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install -q keras==3.15.1 tensorflow==2.21.0 jax==0.10.2 jaxlib==0.10.2 torch==2.13.0
cat > try.py <<'P'
import sys

import keras
import numpy as np
import tensorflow as tf

rows = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
known = tf.data.Dataset.from_tensor_slices((rows, rows[:, :1])).batch(4)
unknown = known.filter(lambda x, y: True)


def count(data, **kwargs):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", **kwargs)
    model.fit(data, epochs=3, verbose=0)
    return int(model.optimizer.iterations)


found = count(unknown), count(known), count(unknown, run_eagerly=True)
print("unknown, known, unknown and eager:", *found, "on", keras.backend.backend())
expected = (12, 9, 9) if keras.backend.backend() == "tensorflow" else (9, 9, 9)
sys.exit(found != expected)
P
export TF_CPP_MIN_LOG_LEVEL=3
for backend in tensorflow torch jax; do
    KERAS_BACKEND=$backend venv/bin/python -W ignore try.py 2> errors || { cat errors; echo "This has changed."; exit 1; }
done
