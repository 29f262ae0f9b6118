"""Loading of data sets by name, for pretraining and for probes."""

import dataclasses
import numbers
import os
import pathlib
import typing
import zipfile

import numpy as np

from keras_mvssl._internal.checks import check_labelled
from keras_mvssl._internal.checks import check_pixels
from keras_mvssl.data import folder
from keras_mvssl.data import imagenet100
from keras_mvssl.data import shapes
from keras_mvssl.data import tfds
from keras_mvssl.data.images import BadImagePolicy
from keras_mvssl.data.splits import Splits
from keras_mvssl.data.splits import subset


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    fraction: float = 1.0,
    seed: int = 0,
    image_size: int | None = None,
    on_bad_image: BadImagePolicy = "error",
    balanced: bool = False,
) -> Splits:
    """Load a data set by its name.

    Args:
        name: The data set, as one of:
            - `"shapes"`: simple shapes drawn by code, 32x32 RGB, in 10 classes; 10,000
              training images and 2,000 test images.
            - The name of a TFDS data set with images and labels, such as `"cifar10"`
              or `"stl10"`. If the data set has an unlabelled split, pretraining uses
              both that split and `train`. If neither `test` nor `validation` has
              labels, the last fifth of `train` becomes the test set.
            - `"imagenet100"`: the 100 classes of ImageNet that Tian et al. chose for
              CMC. They are read from the folders `train` and `val` in `data_dir` if
              there are any, otherwise from TFDS's `imagenet2012`. `image_size` is
              required, because the images of ImageNet differ in size.
            - `"folder:PATH"`: JPEG, PNG and other images, with one sub-folder for each
              class, or without sub-folders if the images have no labels. If PATH holds
              a folder `train`, PATH may also hold `test` (or `val`) and `unlabelled`.
              Without `test` or `val`, a fifth of each class becomes the test set and
              is not used for pretraining.
            - `"npz:PATH"`: a NumPy file with `x_train`. If there are labels, the file
              also holds `y_train`, `x_test` and `y_test`. If pretraining uses other
              images than `x_train`, they are `x_pretrain`.
        data_dir: The folder of TFDS data (default: the folder that TFDS uses), or the
            folder of ImageNet.
        fraction: Share of the pretraining images to keep, in (0, 1]. The subset is
            seeded. Probes still use all labelled images.
        seed: int. Seed of the subset, and of the fifth of a folder that becomes the
            test set.
        image_size: Optional int, for folders and TFDS. Images are resized (shorter
            side, antialiased) and cropped at the centre to this height and width, in
            pixels. Required if images differ in size.
        on_bad_image: Treatment of a file in a folder that cannot be read as an image.
            `"error"` raises; `"skip"` leaves the file out and lists it in
            `Splits.bad_images`. If a data set is too large for memory, a file may turn
            out to be unreadable only when it is decoded; with `"skip"`, the next image
            of its folder then takes its place.
        balanced: Whether a fraction keeps the same share of each class. It then depends
            on labels, which pretraining without labels does not have. The authors of
            the paper balance their fractions of ImageNet, and no others.

    Returns:
        `Splits`.

    Raises:
        ValueError: If the name does not exist (the message suggests similar names),
            `fraction` is outside (0, 1], a folder is empty, an image cannot be read
            (the message holds its path), images differ in size, or pixels are outside
            [0, 255], or a fraction is to be balanced where images have no labels.

    Example:
    ```python
    splits = keras_mvssl.data.load("shapes", fraction=0.2)
    splits.pretrain.shape  # (2000, 32, 32, 3)
    ```
    """
    if not isinstance(fraction, numbers.Real) or not 0 < fraction <= 1:
        raise ValueError(
            f"`fraction` must be a number in (0, 1]. Received: fraction={fraction!r}"
        )
    if image_size is not None and (
        not isinstance(image_size, numbers.Integral) or image_size < 1
    ):
        raise ValueError(
            f"`image_size` must be a positive int. Received: image_size={image_size}"
        )
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise ValueError(
            f"`seed` must be an int of at least 0. Received: seed={seed!r}"
        )
    if on_bad_image not in typing.get_args(BadImagePolicy):
        raise ValueError(
            "`on_bad_image` must be 'error' or 'skip'. "
            f"Received: on_bad_image={on_bad_image!r}"
        )
    name = str(name)
    kind, _, path = name.partition(":")
    if kind in ("folder", "npz") and not path:
        raise ValueError(
            f"`name` must include a path: '{kind}:PATH'. Received: name={name!r}"
        )
    if kind == "folder":
        splits, labels = folder.load(name, path, seed, image_size, on_bad_image)
    elif image_size is not None and (kind == "npz" or name == "shapes"):
        raise ValueError(
            "`image_size` applies to folders and TFDS data sets. "
            f"Received: name={name!r}, image_size={image_size}"
        )
    elif kind == "npz":
        splits, labels = _load_npz(name, path)
    elif name == "shapes":
        splits, labels = _load_shapes()
    elif name == "imagenet100":
        splits, labels = imagenet100.load(data_dir, seed, image_size, on_bad_image)
    else:
        splits, labels = tfds.load(name, data_dir, image_size)
    if fraction == 1:
        return splits
    classes = labels() if balanced else None
    if balanced and classes is None:
        raise ValueError(
            "`balanced` needs labels of all images for pretraining, which "
            f"{splits.name} does not have. Received: balanced={balanced}"
        )
    return dataclasses.replace(
        splits, pretrain=subset(splits.pretrain, classes, fraction, seed)
    )


def _load_shapes():
    print("Drawing 12,000 images of shapes")
    x, y = shapes.draw(10_000, seed=0, verbose=True)
    test = shapes.draw(2_000, seed=1)
    splits = Splits("shapes", x, (x, y), test, x.shape[1:], shapes.CLASS_NAMES)
    return splits, lambda: y


def _load_npz(name, path):
    path = pathlib.Path(path).expanduser()
    arrays = _read_npz(name, path)
    if "x_train" not in arrays:
        raise ValueError(
            f"`{path}` must hold an array x_train. Received: {sorted(arrays)}"
        )
    x = arrays["x_train"]
    for key in ("x_train", "x_test", "x_pretrain"):
        images = arrays.get(key, x)
        if images.ndim != 4 or images.shape[1:] != x.shape[1:] or not len(images):
            raise ValueError(
                f"`{key}` of `{path}` must have shape (N, H, W, C), the last three as "
                f"x_train. Received: {key}.shape={images.shape}, "
                f"x_train.shape={x.shape}"
            )
        check_pixels(images, f"{key} of {path}")
    has_labels = "y_train" in arrays or "y_test" in arrays
    if has_labels and not {"y_train", "x_test", "y_test"} <= set(arrays):
        raise ValueError(
            f"For probes, `{path}` must hold y_train, x_test and y_test, or else no "
            f"labels. Received: {sorted(arrays)}"
        )
    pretrain = arrays.get("x_pretrain", x)
    splits = Splits(name, pretrain, None, None, x.shape[1:])
    if not has_labels:
        return splits, lambda: None
    parts = {}
    for part in ("train", "test"):
        y = arrays[f"y_{part}"]
        y = y.reshape(-1) if y.shape[1:] == (1,) else y
        check_labelled((arrays[f"x_{part}"], y), f"{part} of {path}")
        parts[part] = (arrays[f"x_{part}"], y.astype("int32"))
    count = int(max(y.max() for _, y in parts.values())) + 1
    names = tuple(str(i) for i in range(count))
    splits = dataclasses.replace(splits, **parts, class_names=names)
    return splits, lambda: parts["train"][1] if pretrain is x else None


def _read_npz(name, path):
    if not path.is_file():
        raise ValueError(
            f"`name` must lead to a file; no such file exists. Received: name={name!r}"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (
        AttributeError,
        OSError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        raise ValueError(
            f"The file cannot be read as .npz: {error}. Received: name={name!r}"
        ) from error
