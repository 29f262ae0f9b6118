"""Pictures of the views that a model is trained on."""

import os
import pathlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.files import or_warn
from keras_mvssl._internal.files import whole
from keras_mvssl.callbacks.probe import check_counts


class ViewGallery(keras.callbacks.Callback):
    """Draws the views of a few images, as training sees them, when it begins.

    A row for each image: the image itself where it is known, and its V views. Of a
    stream, those are the views of the first step.

    Args:
        x: The stream of views or of images that `fit` is given, from `data.multiview`
            or `data.batches`; or an array of which the first are shown, of views
            `(N, V, h, w, C)`, or of images `(N, H, W, C)` for a model with
            `RandomViews`.
        path: Optional path of a PNG to write. Its folder is made.
        images: int. How many images to show.

    Attributes:
        picture: The picture, uint8 `(height, width, 3)`, once training has begun.

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
            # Reading one batch of a shuffled data set would change those that follow.
            raise ValueError(
                "`x` must be a stream of `data.multiview` or `data.batches`, or an "
                f"array (N, V, h, w, C) or (N, H, W, C). Received: x={x!r:.80}"
            )
        self.x = x
        self.path = None if path is None else pathlib.Path(path)
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
                    "A model without `RandomViews` is given views, (N, V, h, w, C). "
                    f"Received: images of shape {batch.shape}"
                )
            # As many as in a batch are drawn, of which these are the first.
            size = len(first)
            if hasattr(self.x, "steps_per_epoch"):
                _, size = distribution.place_in_batch(len(batch))
            step = _backend.value_of(layer.step)
            made = layer(first, step=step, offset=0, batch_size=size)
            clean = layer(first, training=False)
            first = np.concatenate([ops.convert_to_numpy(x) for x in (clean, made)], 1)
        self.picture = grid(first)
        if self.path is not None:
            from PIL import Image

            with or_warn(self.path), whole(self.path) as path:
                Image.fromarray(self.picture).save(path)


def grid(views, gap=2):
    """Views `(B, V, h, w, C)` as one picture `(height, width, 3)`, a row per image."""
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
