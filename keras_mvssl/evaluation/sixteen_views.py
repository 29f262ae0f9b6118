"""The probe with which the paper compares numbers of views and shares of the images."""

from typing import Any

import keras
import numpy as np

from keras_mvssl.evaluation.features import extract_features
from keras_mvssl.evaluation.linear import LinearProbeResult
from keras_mvssl.evaluation.linear import linear_probe
from keras_mvssl.views import Augmentation
from keras_mvssl.views import RandomViews

VIEWS = 16


def probe_16_views(
    encoder: keras.Model,
    train: Any,
    test: Any,
    augmentation: Augmentation,
    protocol: str = "paper",
    batch_size: int = 32,
    seed: int = 0,
) -> LinearProbeResult:
    """Fit a linear probe to features that are averaged over 16 views of an image.

    One view is the whole, clean image. The 15 others are drawn from the augmentation of
    the pretraining, for training and test images alike. With `protocol="paper"`, this
    is how the authors probed CIFAR-10 and STL-10 for each number of views and share of
    the images. It takes 16 forward passes of each image.

    Args:
        encoder: A `keras.Model` from images in [0, 255] to features `(N, F)`.
        train: Arrays `(images, labels)` of shapes `(N, H, W, C)` and `(N,)`; or a
            `tf.data.Dataset` of single `(image, label)`.
        test: The same, used for the accuracy only.
        augmentation: The `Augmentation` of the views.
        protocol: Protocol of `linear_probe`.
        batch_size: int. Images per forward pass, with all of their views.
        seed: int. Seed of the probe.

    Returns:
        The `LinearProbeResult` of `linear_probe`.

    Raises:
        ValueError: As `extract_features` and `linear_probe`.

    Example:
    ```python
    augmentation = keras_mvssl.views.Augmentation.preset("cifar10")
    found = keras_mvssl.evaluation.probe_16_views(
        encoder, splits.train, splits.test, augmentation
    )
    found.accuracy
    ```

    Reference: the code of Ghosh et al. (2024); their text does not mention it.
    """
    views = RandomViews(augmentation, VIEWS - 1)

    def averaged(part):
        clean, labels = extract_features(encoder, part, batch_size * VIEWS)
        others, _ = extract_features(encoder, part, batch_size, views)
        # `others` are means over 15 views.
        mean = (clean + np.float32(VIEWS - 1) * others) / np.float32(VIEWS)
        return mean, labels

    return linear_probe(averaged(train), averaged(test), protocol, seed=seed)
