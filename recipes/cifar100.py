"""Pretraining on CIFAR-100 with 2, 4 or 8 views.

    python recipes/cifar100.py --views=4 --data_dir=~/tensorflow_datasets

TFDS downloads the data set on first use. Probes tell the 100 fine classes apart. The
recipe is meant for one GPU, and is not yet run there: time and accuracy are not known.

The paper does not use CIFAR-100: settings, augmentation and the authors' β are those of
`recipes/cifar10.py`, whose images have the same size, number and origin. So is the
engine of the views, `RandomViews`.
"""

import os
import signal

if __name__ == "__main__":  # While libraries are imported, a signal to stop ends it.
    for number in signal.valid_signals() & {1, 2, 15}:  # HUP, INT, TERM
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(75))

from keras_mvssl.training import Recipe
from keras_mvssl.training import main
from keras_mvssl.views import Augmentation

RECIPE = Recipe(
    dataset="cifar100",
    augmentation=Augmentation.preset("cifar10"),
    augment="device",
    backbone="resnet18",
    projector_dim=256,
    epochs=100,
    batch_size=64,
    learning_rate=3e-3,
    warmup_epochs=0.5,
    probe_every=5,
)

# Settings by number of views: β by features of the projector, as in `cifar10.py`.
BETA = {256: 0.01, 8192: 0.0004}
VIEWS = {
    2: dict(beta=BETA),
    4: dict(beta=BETA, fractions={0.5: dict(beta={256: 0.01, 8192: 0.0008})}),
    8: dict(beta=BETA, fractions={0.25: dict(beta={256: 0.006, 8192: 0.0004})}),
}

if __name__ == "__main__":
    main(RECIPE, VIEWS)
