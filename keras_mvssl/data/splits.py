"""A data set split by use, its fingerprint, and seeded subsets."""

import dataclasses
import zlib
from typing import Any

import numpy as np

from keras_mvssl import _backend

# Larger data sets are streamed instead of held in memory.
MEMORY_LIMIT_BYTES = 4 * 1024**3
# Names of splits and folders of images without labels.
UNLABELLED_NAMES = ("unlabelled", "unlabeled", "unsupervised")


@dataclasses.dataclass(frozen=True)
class Splits:
    """A data set, split by use.

    Images that fit in memory are uint8 or float arrays. Larger sets of images are
    `tf.data` data sets of single images or of `(image, label)`. Pixels are in
    [0, 255].

    Attributes:
        name: The name that the data set was loaded by.
        pretrain: Images `(N, H, W, C)` for pretraining, without labels.
        train: `(images, labels)` for fitting probes; None if there are no labels.
        test: `(images, labels)` for testing probes; None if there are no labels.
        image_shape: `(height, width, channels)`.
        class_names: Names of the classes, in the order of the labels.
        bad_images: A line for each file of a folder that was skipped, with the reason.
            If the images are streamed, lines are added while files are decoded.

    Example:
    ```python
    mine = keras_mvssl.data.Splits("mine", images, None, None, images.shape[1:])
    mine.num_classes  # 0
    ```
    """

    name: str
    pretrain: Any
    train: Any
    test: Any
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...] = ()
    bad_images: list[str] = dataclasses.field(default_factory=list)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def fingerprint(self) -> dict[str, Any]:
        """Return a description that identifies the data, `{part: dict or None}`."""
        names = ("pretrain", "train", "test")
        return {name: fingerprint(getattr(self, name)) for name in names}


def fingerprint(data):
    """Return a dict that identifies one part of a data set; None if there is no data.

    The dict holds the number and the shape of the images. For arrays, the dict also
    holds checksums of some hundreds of images and labels.
    """
    if data is None:
        return None
    if hasattr(data, "element_spec"):
        spec = data.element_spec
        shape = (spec[0] if isinstance(spec, tuple) else spec).shape
        return {"images": int(data.cardinality()), "shape": list(shape)}
    images, *labels = data if isinstance(data, tuple) else (data,)
    samples = [array[:: max(1, len(array) // 256)] for array in (images, *labels)]
    checksums = [zlib.crc32(np.ascontiguousarray(x).tobytes()) for x in samples]
    return {
        "images": len(images),
        "shape": list(images.shape[1:]),
        "crc32": checksums,
    }


def fits_in_memory(count, shape):
    """Return whether `count` uint8 images of a shape fit into `MEMORY_LIMIT_BYTES`."""
    return count * np.prod(shape) <= MEMORY_LIMIT_BYTES


def subset_indices(count, labels, fraction, seed):
    """Return the sorted indices of a seeded subset, balanced over labels if given.

    Args:
        count: int. The number of examples.
        labels: `(count,)` ints, or None.
        fraction: Share of the examples to keep, in (0, 1].
        seed: int. Seed of the subset.
    """
    rng = np.random.default_rng(seed)
    groups = [np.arange(count)]
    if labels is not None:
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    kept = [
        rng.permutation(group)[: max(1, round(fraction * len(group)))]
        for group in groups
    ]
    return np.sort(np.concatenate(kept))


def subset(pretrain, labels, fraction, seed):
    """Return a seeded subset of the images for pretraining.

    Args:
        pretrain: An array or a `tf.data.Dataset` of images.
        labels: `(N,)` ints, to keep the same share of each class, or None.
        fraction: Share of the images to keep, in (0, 1].
        seed: int. Seed of the subset.
    """
    if isinstance(pretrain, np.ndarray):
        return pretrain[subset_indices(len(pretrain), labels, fraction, seed)]
    tf = _backend.tensorflow_for_data()
    count = int(pretrain.cardinality())
    kept = np.zeros(count, bool)
    kept[subset_indices(count, labels, fraction, seed)] = True
    kept_count, kept = int(kept.sum()), tf.constant(kept)
    chosen = pretrain.enumerate().filter(lambda i, image: kept[i])
    chosen = chosen.map(lambda i, image: image)
    return chosen.apply(tf.data.experimental.assert_cardinality(kept_count))
