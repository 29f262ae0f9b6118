"""Prints logs and the change of weights of one step, from fixed weights and views."""

import json
import sys

import keras
import numpy as np

import helpers
import keras_mvssl as mv


def one_step():
    encoder = mv.models.TinyResNet((16, 16, 3), width=8)
    model = mv.MultiViewModel(encoder, mv.models.Projector(64, dim=16))
    helpers.set_numbered_weights(model)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=mv.losses.BarlowTwins(0.05))
    before = np.concatenate([w.ravel() for w in model.get_weights()])
    views = np.random.default_rng(1).integers(0, 256, (16, 4, 16, 16, 3), "uint8")
    logs = model.train_on_batch(views, return_dict=True)
    after = np.concatenate([w.ravel() for w in model.get_weights()])
    return {
        "logs": {name: float(value) for name, value in logs.items()},
        "change": (after - before).tolist(),
    }


if __name__ == "__main__":
    json.dump(one_step(), sys.stdout)
