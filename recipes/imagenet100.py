"""Pretraining on 100 classes of ImageNet with 2, 4 or 8 views of 128 or 224 pixels.

    python recipes/imagenet100.py --views=4 --data_dir=imagenet
    python recipes/imagenet100.py --views=4 --data_dir=imagenet \
        --image_size=256 --view_size=224 --batch_size=128

`data_dir` holds folders `train` and `val` with a sub-folder for each class, such as
`train/n01440764`; other classes than the 100, and a `test` without labels, are left
out. Or `data_dir` is a folder of TFDS data that holds `imagenet2012`, or the two
archives from which TFDS makes it (TFDS says where they go); each epoch then reads all
1,000 classes to find the 100, so folders are faster. The classes are those of CMC (Tian
et al., 2020), as in the paper. Probes are tested on the validation images.

The CPU decodes an image once for all of its views, and KerasCV layers make the views
there. The recipe is meant for one GPU with many CPU cores, and is not yet run there:
time and accuracy are not known.

The batch of 256 images (250 with 8 views) and the projector of 512 features are the
authors' of their runs with several numbers of views, who train for 100 epochs with Adam
at a constant 1e-3; here the learning rate warms up and decays. Their ResNet-18 keeps
all 128 pixels up to its first block; the ImageNet stem used here takes a sixteenth of
that work. With 2 views they compare all pairs of views; here each view is compared with
the mean view, for any number. `--settings=authors` takes theirs, but for the 10,000
training images that they hold out of runs on all images, for one loss of the whole
batch in place of one on each GPU, and for Adam's weight decay, which PyTorch adds to
the gradient. The authors probe the central half of images of 256 pixels; here probes
see the whole image. A fraction of the images is balanced over the classes, as theirs of
ImageNet.
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
    dataset="imagenet100",
    augmentation=Augmentation.preset("imagenet100"),
    balanced=True,
    image_size=160,
    augment="kerascv",
    backbone="resnet18",
    stem="imagenet",
    projector_dim=512,
    epochs=100,
    batch_size=256,
    learning_rate=1e-3,
    probe_every=5,
)

# β by features of the projector: the authors' for the mean view with 4 and 8 views, and
# on half and a quarter of the images. No one has tuned it for the mean view with 2.
VIEWS = {
    2: dict(batch_size=256, beta={512: 0.01}),
    4: dict(
        batch_size=256,
        beta={512: 0.01},
        fractions={0.5: dict(beta={512: 0.004})},
    ),
    8: dict(
        batch_size=250,
        beta={512: 0.01},
        fractions={0.25: dict(beta={512: 0.01})},
    ),
}

# `--settings=authors`: those of the authors' launch scripts. Each of their two GPUs has
# a loss of its own, on half of the batch; here the loss is of the whole batch. Their
# sweep over projectors has 2 views and 256 images on each GPU (--batch_size=512), and
# beside the tuned β below (for 4096 features the middle of two values) the fixed
# --beta=0.001 for all sizes.
AUTHORS = dataclasses.replace(
    RECIPE,
    stem="cifar",
    optimizer="adam",
    schedule="constant",
    warmup_epochs=0,
)
AUTHORS_VIEWS = {
    2: dict(
        pairing="all",
        l2_normalize=True,
        batch_size=256,
        beta={
            128: 0.07,
            256: 0.02,
            512: 0.02,
            1024: 0.005,
            2048: 0.007,
            4096: 0.004,
            8192: 0.001,
        },
    ),
    **{
        views: dict(VIEWS[views], pairing="mean", l2_normalize=True) for views in (4, 8)
    },
}

if __name__ == "__main__":
    main(RECIPE, VIEWS, authors=(AUTHORS, AUTHORS_VIEWS))
