"""Pretraining on STL-10, images of 96 pixels, with 2, 4 or 8 views of 64 pixels.

    python recipes/stl10.py --views=4 --data_dir=~/tensorflow_datasets

TFDS downloads the data set (2.6 GB) on first use. The run pretrains on the 100,000
unlabelled images and the 5,000 of `train`, held in memory (3.3 GB), and probes whole
images of `train` and `test`; the ten predefined folds of 1,000 labels are not used. The
recipe is meant for one GPU, and is not yet run there: time and accuracy are not known.

Batch size and learning rate are the authors' of their runs with several numbers of
views, who train a ResNet-50 (here: a ResNet-18) for 100 epochs on the unlabelled images
alone. Their learning rate is constant; here it warms up and decays. With 2 views they
compare all pairs of views; here each view is compared with the mean view, for any
number. `--settings=authors` takes theirs, but for the 5,000 images of `train`, which
are pretrained on too, and for Adam's weight decay, which PyTorch adds to the gradient.
Views are made by `RandomViews`, in the training step.
"""

import os
import signal

if __name__ == "__main__":  # While libraries are imported, a signal to stop ends it.
    for number in signal.valid_signals() & {1, 2, 15}:  # HUP, INT, TERM
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(75))

import dataclasses

from keras_mvssl.training import Recipe
from keras_mvssl.training import main
from keras_mvssl.views import Augmentation

RECIPE = Recipe(
    dataset="stl10",
    augmentation=Augmentation.preset("stl10"),
    augment="device",
    backbone="resnet18",
    projector_dim=256,
    epochs=100,
    batch_size=100,
    learning_rate=1e-3,
    probe_every=5,
)

# β by features of the projector: the authors' for the mean view with 4 views, and for
# 8192 features that with 2. With 8 views on all images, and views of one size, they
# launched none; no one has tuned it for the mean view with 2 views.
BETA = {256: 0.001, 8192: 0.0004}
VIEWS = {
    2: dict(beta=BETA),
    4: dict(beta=BETA, fractions={0.5: dict(beta={256: 0.002, 8192: 0.0004})}),
    8: dict(beta=BETA, fractions={0.25: dict(beta={256: 0.006, 8192: 0.0004})}),
}

# `--settings=authors`: those of the authors' launch scripts for several numbers of
# views. Their sweep over projectors has 2 views and --batch_size=400, and beside the
# tuned β below the fixed --beta=0.0004 for all sizes.
AUTHORS = dataclasses.replace(
    RECIPE,
    backbone="resnet50",
    optimizer="adam",
    schedule="constant",
    warmup_epochs=0,
)
AUTHORS_VIEWS = {
    2: dict(
        pairing="all",
        l2_normalize=True,
        beta={
            64: 0.04,
            128: 0.04,
            256: 0.008,
            512: 0.001,
            1024: 0.0008,
            2048: 0.002,
            4096: 0.0004,
            8192: 0.0004,
        },
    ),
    **{
        views: dict(VIEWS[views], pairing="mean", l2_normalize=True) for views in (4, 8)
    },
}

if __name__ == "__main__":
    main(RECIPE, VIEWS, authors=(AUTHORS, AUTHORS_VIEWS))
