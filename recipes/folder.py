"""Pretraining on a folder of your own images.

    python recipes/folder.py --data_dir=PATH --image_size=64

Sub-folders are classes, which only the probes use; without sub-folders the images are
unlabelled and there are no probes. Images of several sizes need `--image_size`.
See `keras_mvssl.data.load` for folders with `train`, `test` and `unlabelled` parts.

KerasCV layers make the views in tf.data, beside the decoding of the images and ahead of
training. On a CPU, or where training waits for views, `--augment=device` is faster.

The settings are those of `recipes/cifar10.py` but for β, which no one has tuned on your
images. Time and accuracy depend on the folder.
"""

import os
import signal

if __name__ == "__main__":  # While libraries are imported, a signal to stop ends it.
    for number in signal.valid_signals() & {1, 2, 15}:  # HUP, INT, TERM
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(75))

from keras_mvssl.training import Recipe
from keras_mvssl.training import main

RECIPE = Recipe(
    dataset="folder",
    backbone="resnet18",
    projector_dim=256,
    epochs=100,
    batch_size=64,
    learning_rate=3e-3,
    probe_every=5,
)

# β = 4/D, the middle of the values that the authors tuned on CIFAR-10, for any number
# of views.
VIEWS = {views: dict(beta={256: 4 / 256}) for views in (2, 4, 8)}

if __name__ == "__main__":
    main(RECIPE, VIEWS)
