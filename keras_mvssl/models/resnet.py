"""ResNet encoders for small and for large images, built from stock Keras layers.

The encoders are functional models, so that a saved encoder loads in plain Keras. They
take images in [0, 255], since their first layer normalises, and return pooled features
`(B, F)`.
"""

import numbers
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

# Mean and standard deviation of ImageNet's RGB values, in [0, 255]. They are defaults
# because most users expect them.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

# Mean and standard deviation of uniform noise in [0, 255].
NOISE_MEAN, NOISE_STD = 127.5, 73.6

# Below 8 input channels, oneDNN (in torch and TensorFlow) computes wrong gradients of
# strided 1x1 kernels on some CPUs. The shortcuts have such kernels.
MIN_WIDTH = 8

Shape = tuple[int | None, int | None, int]
Statistics = float | Sequence[float]


def ResNet18(
    input_shape: Shape,
    stem: str = "imagenet",
    width: int = 64,
    mean: Statistics = IMAGENET_MEAN,
    std: Statistics = IMAGENET_STD,
    name: str | None = None,
) -> keras.Model:
    """Build a ResNet-18: basic blocks, 2 in each of 4 stages.

    Args:
        input_shape: `(height, width, channels)` of an image. Height and width may be
            None, for images of any size.
        stem: `"cifar"` (3x3 convolution at stride 1, for images of about 32 to 96
            pixels, as in the paper) or `"imagenet"` (7x7 at stride 2 and max pooling).
        width: int >= 8. Channels of the first stage. Each of the next three stages has
            twice as many as the stage before.
        mean: Mean of the pixels in [0, 255], by which images are normalised: a number,
            or one for each channel. The default is ImageNet's mean for three channels,
            and the mean of uniform noise for any other number of channels.
        std: Standard deviation of the pixels, in the same form and with the same
            defaults as `mean`.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from images `(B, height, width, channels)` in
        [0, 255] to features `(B, 8 * width)`.

    Raises:
        ValueError: For an unknown stem, a bad shape, width, or statistics.

    Example:
    ```python
    encoder = keras_mvssl.models.ResNet18((32, 32, 3), stem="cifar")
    ```

    Reference: He et al., "Deep residual learning" (2016).
    """
    stages = [(2, 1), (2, 2), (2, 2), (2, 2)]
    return _resnet(
        input_shape, stem, width, stages, _basic_block, mean, std, name or "resnet18"
    )


def ResNet50(
    input_shape: Shape,
    stem: str = "imagenet",
    width: int = 64,
    mean: Statistics = IMAGENET_MEAN,
    std: Statistics = IMAGENET_STD,
    name: str | None = None,
) -> keras.Model:
    """Build a ResNet-50: bottleneck blocks, 3, 4, 6 and 3 in 4 stages.

    Arguments, errors and reference are the same as in `ResNet18`.

    Returns:
        A functional `keras.Model` from images `(B, height, width, channels)` in
        [0, 255] to features `(B, 32 * width)`.

    Example:
    ```python
    encoder = keras_mvssl.models.ResNet50((128, 128, 3))
    ```
    """
    stages = [(3, 1), (4, 2), (6, 2), (3, 2)]
    return _resnet(
        input_shape, stem, width, stages, _bottleneck, mean, std, name or "resnet50"
    )


def TinyResNet(
    input_shape: Shape,
    width: int = 16,
    mean: Statistics = IMAGENET_MEAN,
    std: Statistics = IMAGENET_STD,
    name: str | None = None,
) -> keras.Model:
    """Build a ResNet for a CPU: one basic block in each of 4 stages, all at stride 2.

    The model has about 310,000 parameters at `width=16`. The stem is a 3x3 convolution
    at stride 1.

    Args:
        input_shape: `(height, width, channels)` of an image.
        width: int >= 8. Channels of the stem and of the first stage.
        mean: Same as in `ResNet18`.
        std: Same as in `ResNet18`.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from images `(B, height, width, channels)` in
        [0, 255] to features `(B, 8 * width)`.

    Example:
    ```python
    encoder = keras_mvssl.models.TinyResNet((32, 32, 3))
    ```
    """
    stages = [(1, 2)] * 4
    return _resnet(
        input_shape,
        "cifar",
        width,
        stages,
        _basic_block,
        mean,
        std,
        name or "tiny_resnet",
    )


def _resnet(input_shape, stem, width, stages, block, mean, std, name):
    """Build an encoder of stages, each `(blocks, stride of the first block)`."""
    is_shape = isinstance(input_shape, (tuple, list)) and len(input_shape) == 3
    if not is_shape or not all(map(_is_size, input_shape)) or input_shape[2] is None:
        raise ValueError(
            "`input_shape` must be (height, width, channels), ints of at least 1, of "
            f"which the first two may be None. Received: input_shape={input_shape}"
        )
    input_shape = tuple(None if size is None else int(size) for size in input_shape)
    if stem not in ("cifar", "imagenet"):
        raise ValueError(
            f"`stem` must be 'cifar' or 'imagenet'. Received: stem={stem!r}"
        )
    if not isinstance(width, numbers.Integral) or width < MIN_WIDTH:
        raise ValueError(
            f"`width` must be an int of at least {MIN_WIDTH}. Received: width={width!r}"
        )
    width = int(width)
    images = layers.Input(input_shape, name="images")
    x = _normalization(input_shape[-1], mean, std)(images)
    if stem == "cifar":
        x = _conv_bn(x, width, 3, 1, "stem")
        x = layers.ReLU(name="stem_relu")(x)
    else:
        x = _conv_bn(x, width, 7, 2, "stem")
        x = layers.ReLU(name="stem_relu")(x)
        # After a ReLU, zeros do not change a maximum.
        x = layers.MaxPooling2D(
            3, strides=2, data_format="channels_last", name="stem_pool"
        )(_padded(x, 3, 2, "stem_pool"))
    for stage, (blocks, stride) in enumerate(stages, start=1):
        channels = width * 2 ** (stage - 1)
        for index in range(blocks):
            block_name = f"stage{stage}_block{index + 1}"
            x = block(x, channels, stride if index == 0 else 1, block_name)
    features = layers.GlobalAveragePooling2D("channels_last", name="features")(x)
    return keras.Model(images, features, name=name)


def _is_size(size):
    return size is None or (isinstance(size, numbers.Integral) and size >= 1)


def _normalization(channels, mean, std):
    if channels != 3:
        mean = NOISE_MEAN if mean is IMAGENET_MEAN else mean
        std = NOISE_STD if std is IMAGENET_STD else std
    means, stds = ([x] * channels if np.ndim(x) == 0 else list(x) for x in (mean, std))
    numeric = all(isinstance(x, numbers.Real) and np.isfinite(x) for x in means + stds)
    if not numeric or not len(means) == len(stds) == channels or min(stds) <= 0:
        raise ValueError(
            "`mean` and `std` must each be one finite number, or one for each of the "
            f"{channels} channels, with std > 0. Received: mean={mean}, std={std}"
        )
    # A `Normalization` layer would get inputs of its own when TensorFlow exports the
    # model to ONNX; a `Rescaling` layer does not. Numbers of rank 3 belong to the last
    # axis, while a list would belong to the first where Keras' images are set to
    # channels first.
    return layers.Rescaling(
        [[[1 / float(s) for s in stds]]],
        offset=[[[-float(m) / float(s) for m, s in zip(means, stds)]]],
        name="normalization",
    )


def _padded(x, kernel_size, stride, name):
    """Pad so that a window that moves by `stride` gives ceil(n / stride) of n places.

    For sizes that are multiples of the stride, this gives the numbers of padding
    "same". But "same" pads by another rule for each rest of the size, which exports of
    models for any size get wrong.
    """
    before = max(0, (kernel_size - stride) // 2)
    after = kernel_size - 1 - before
    if after == 0:
        return x
    padding = ((before, after), (before, after))
    return layers.ZeroPadding2D(padding, "channels_last", name=f"{name}_pad")(x)


def _conv_bn(x, filters, kernel_size, stride, name):
    if stride > 1:
        x = _padded(x, kernel_size, stride, name)
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        data_format="channels_last",
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(
        momentum=0.9,
        epsilon=1e-5,
        name=f"{name}_bn",
    )(x)


def _shortcut(x, filters, stride, name):
    if stride == 1 and x.shape[-1] == filters:
        return x
    return _conv_bn(x, filters, 1, stride, f"{name}_shortcut")


def _basic_block(x, channels, stride, name):
    y = _conv_bn(x, channels, 3, stride, f"{name}_1")
    y = layers.ReLU(name=f"{name}_1_relu")(y)
    y = _conv_bn(y, channels, 3, 1, f"{name}_2")
    y = layers.Add(name=f"{name}_add")([y, _shortcut(x, channels, stride, name)])
    return layers.ReLU(name=f"{name}_relu")(y)


def _bottleneck(x, channels, stride, name):
    y = _conv_bn(x, channels, 1, 1, f"{name}_1")
    y = layers.ReLU(name=f"{name}_1_relu")(y)
    y = _conv_bn(y, channels, 3, stride, f"{name}_2")
    y = layers.ReLU(name=f"{name}_2_relu")(y)
    y = _conv_bn(y, 4 * channels, 1, 1, f"{name}_3")
    shortcut = _shortcut(x, 4 * channels, stride, name)
    y = layers.Add(name=f"{name}_add")([y, shortcut])
    return layers.ReLU(name=f"{name}_relu")(y)
