"""Callback that draws the views that a model is trained on."""

import os
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.files import atomic_write
from keras_mvssl._internal.files import local_path
from keras_mvssl._internal.files import warn_on_error
from keras_mvssl._internal.pixels import check_batch
from keras_mvssl.callbacks.probe import check_counts


class ViewGallery(keras.callbacks.Callback):
    """Callback that draws the views of a few images when training begins.

    The picture has a row for each image: the image itself where the model makes its
    views, and the V views, as training sees them. For a stream, they are the views of
    the first step.

    Args:
        x: The stream of views or of images that `fit` is given, from `data.multiview`
            or `data.batches`; or an array, whose first entries are shown, of views
            `(N, V, h, w, C)`, or of images `(N, H, W, C)` for a model with
            `RandomViews`.
        path: Optional path of a PNG to write. Its folder is made.
        images: int. Number of images to show.

    Attributes:
        picture: The picture, uint8 `(height, width, 3)`; None before training.

    Example:
    ```python
    gallery = keras_mvssl.callbacks.ViewGallery(stream, "views.png")
    model.fit(stream, epochs=10, callbacks=[gallery])
    ```
    """

    def __init__(
        self, x: Any, path: str | os.PathLike | None = None, images: int = 8
    ) -> None:
        super().__init__()
        check_counts(images=images)
        if not hasattr(x, "steps_per_epoch") and np.ndim(x) not in (4, 5):
            # Other data sets are refused: reading one batch of a shuffled data set
            # would change the batches that follow.
            raise ValueError(
                "`x` must be a stream of `data.multiview` or `data.batches`, or an "
                f"array (N, V, h, w, C) or (N, H, W, C). Received: x={x!r:.80}"
            )
        if not hasattr(x, "steps_per_epoch"):
            check_batch(x, "x")
        self.x = x
        self.path = None if path is None else local_path(path, "path")
        self.images = images
        self.picture = None

    def on_train_begin(self, logs=None):
        if not distribution.is_chief():
            return
        batch = _first_batch(self.x)
        first = batch[: self.images]
        if batch.ndim == 4:
            layer = getattr(self.model, "views", None)
            if layer is None:
                raise ValueError(
                    "`x` must be views, (N, V, h, w, C), for a model without "
                    "`RandomViews`. "
                    f"Received: images of shape {batch.shape}"
                )
            with _backend.unchanged_random_state(layer):
                made = layer(first, step=_backend.value_of(layer.step), offset=0)
            clean = layer(first, training=False)
            first = np.concatenate([ops.convert_to_numpy(x) for x in (clean, made)], 1)
        self.picture = grid(first)
        if self.path is not None:
            from PIL import Image

            with warn_on_error(self.path), atomic_write(self.path) as path:
                Image.fromarray(self.picture).save(path)


def grid(views, gap=2):
    """Arrange views `(B, V, h, w, C)` in a picture with a row for each image.

    Returns:
        uint8 `(height, width, 3)`.
    """
    views = np.clip(np.round(np.asarray(views, "float32")), 0, 255).astype("uint8")
    if views.shape[-1] != 3:
        views = np.repeat(views[..., :1], 3, axis=-1)
    views = np.pad(
        views, [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)], constant_values=255
    )
    rows, columns, height, width, _ = views.shape
    picture = views.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    return np.ascontiguousarray(picture[:-gap, :-gap])


def _first_batch(x):
    if hasattr(x, "element_spec"):
        first = next(iter(x.take(1).as_numpy_iterator()))
    elif isinstance(x, keras.utils.PyDataset):
        (first,) = x[0]
    else:
        first = x
    return ops.convert_to_numpy(first)
