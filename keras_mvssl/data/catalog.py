"""Loading of data sets by name, for pretraining and for probes."""

import dataclasses
import numbers
import os
import typing

from keras_mvssl.data import array_file
from keras_mvssl.data import folder
from keras_mvssl.data import imagenet100
from keras_mvssl.data import shapes
from keras_mvssl.data import tfds
from keras_mvssl.data.folder import LabelsOfFolders
from keras_mvssl.data.headers import MAX_PIXELS
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
    labels: LabelsOfFolders | None = None,
    max_pixels: int = MAX_PIXELS,
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
              a folder `train`, PATH may also hold `test` (or `val`) and `unlabelled`,
              in upper or lower case. Without `test` or `val`, a fifth of each class
              becomes the test set and is not used for pretraining. Hidden files are no
              images; links are followed. Transparent parts are laid over white, and of
              several pages or frames the first one is read. Images become RGB of 8
              bits: gray ones of up to 16 bits are scaled by the bits of the brightest
              pixel, of others the upper 8 bits are kept. One printed line says which
              files were left out, or read in part or changed in these ways.
            - `"npz:PATH"`: a NumPy file with `x_train`. If there are labels, the file
              also holds `y_train`, `x_test` and `y_test`; labels may be any whole
              numbers of at least 0, and become 0, 1, ... in their order. If
              pretraining uses other images than `x_train`, they are `x_pretrain`.
        data_dir: The folder of TFDS data (default: the folder that TFDS uses), or the
            folder of ImageNet.
        fraction: Share of the pretraining images to keep, in (0, 1]. The subset is
            seeded. Probes still use all labelled images.
        seed: int. Seed of the subset, and of the fifth of a folder that becomes the
            test set.
        image_size: Optional int, for folders and TFDS. Images are resized (shorter
            side, antialiased) and cropped at the centre to this height and width, in
            pixels. Required if images differ in size.
        on_bad_image: Treatment of a file (or folder) that cannot be read as an image.
            `"error"` raises; `"skip"` leaves the file out and lists it in
            `Splits.bad_images`. If a data set is too large for memory, a file may turn
            out to be unreadable only when it is decoded; with `"skip"`, the next image
            of its folder then takes its place. An error that may pass, such as of a
            network disk, is raised in either case.
        balanced: Whether a fraction keeps the same share of each class. It then depends
            on labels, which pretraining without labels does not have. The authors of
            the paper balance their fractions of ImageNet, and no others.
        labels: What the sub-folders of `"folder:PATH"` mean. `"folders"`: each is a
            class. `"none"`: there are no labels, and all images of all sub-folders (of
            `train` and `unlabelled`, if there are such; not of `test`) are for
            pretraining. None: sub-folders are classes where there are any.
        max_pixels: Most pixels of an image in a folder; to decode it takes 4 to 16
            bytes a pixel. If there is an `image_size`, larger JPEG files that are not
            progressive, and JPEG 2000 files of a fifth as many pixels, are decoded at a
            half, a quarter or an eighth of their size. Others are treated as
            `on_bad_image` says. Pillow has a limit of its own,
            `PIL.Image.MAX_IMAGE_PIXELS`.

    Returns:
        `Splits`.

    Raises:
        ValueError: If the name does not exist (the message suggests similar names),
            `fraction` is outside (0, 1], a folder is empty, an image cannot be read
            (the message holds its path), images differ in size, pixels are outside
            [0, 255], a file of the test set is also in another part, names of
            sub-folders differ in case only, the arrays of an `.npz` file are larger
            than the memory of the machine, or a fraction is to be balanced where images
            have no labels.

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
    if labels is not None and labels not in typing.get_args(LabelsOfFolders):
        raise ValueError(
            f"`labels` must be 'folders', 'none' or None. Received: labels={labels!r}"
        )
    if not isinstance(max_pixels, numbers.Integral) or max_pixels < 1:
        raise ValueError(
            f"`max_pixels` must be a positive int. Received: max_pixels={max_pixels!r}"
        )
    name = str(name)
    kind, _, path = name.partition(":")
    if kind in ("folder", "npz") and not path:
        raise ValueError(
            f"`name` must include a path: '{kind}:PATH'. Received: name={name!r}"
        )
    if labels is not None and kind != "folder":
        raise ValueError(
            "`labels` applies to folders, 'folder:PATH'. "
            f"Received: labels={labels!r}, name={name!r}"
        )
    if kind == "folder":
        splits, pretrain_labels = folder.load(
            name, path, seed, image_size, on_bad_image, max_pixels, labels
        )
    elif image_size is not None and (kind == "npz" or name == "shapes"):
        raise ValueError(
            "`image_size` applies to folders and TFDS data sets. "
            f"Received: name={name!r}, image_size={image_size}"
        )
    elif kind == "npz":
        splits, pretrain_labels = array_file.load(name, path)
    elif name == "shapes":
        splits, pretrain_labels = _load_shapes()
    elif name == "imagenet100":
        splits, pretrain_labels = imagenet100.load(
            data_dir, seed, image_size, on_bad_image, max_pixels
        )
    else:
        splits, pretrain_labels = tfds.load(name, data_dir, image_size)
    if fraction == 1:
        return splits
    classes = pretrain_labels() if balanced else None
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
