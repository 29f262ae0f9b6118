"""Pictures of the views that a model is trained on."""

import pathlib

import keras
import numpy as np
from keras import ops


class ViewGallery(keras.callbacks.Callback):
    """Draws the views of a few images, as training sees them, when it begins.

    A row for each image: the image itself where it is known, and its V views, those of
    the first step that follows.

    Args:
        x: What `fit` is given: the stream of views or of images (`data.multiview`,
            `data.batches`), or an array, `(N, V, h, w, C)`, or `(N, H, W, C)` for a
            model with `RandomViews`.
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

    def __init__(self, x, path=None, images=8):
        super().__init__()
        if not isinstance(images, int) or images < 1:
            raise ValueError(
                f"`images` must be an int of at least 1. Received: images={images}"
            )
        self.x = x
        self.path = None if path is None else pathlib.Path(path)
        self.images = images
        self.picture = None

    def on_train_begin(self, logs=None):
        batch = _first_batch(self.x)
        if batch.ndim == 4:
            layer = self.model.views
            made = layer(batch, step=ops.convert_to_numpy(layer.step.value))
            views = ops.convert_to_numpy(made[: self.images])
            clean = ops.convert_to_numpy(layer(batch[: self.images], training=False))
            views = np.concatenate([clean, views], axis=1)
        else:
            views = batch[: self.images]
        self.picture = grid(views)
        if self.path is not None:
            from PIL import Image

            self.path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(self.picture).save(self.path)


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
        first = x[0]
    else:
        first = x
    if isinstance(first, (tuple, list)):
        first = first[0]
    return ops.convert_to_numpy(first)
