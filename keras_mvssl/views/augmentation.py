"""Description of the random changes that turn an image into a view."""

import dataclasses
import math
import numbers
from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_mvssl")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Description of a random view, shared by both engines that make views.

    Parameters are drawn for each view of each image separately. The steps are applied
    in the order of the arguments: crop and resize, flip, blur, colour jitter
    (brightness, contrast, saturation, hue), grayscale, solarise. Images and views are
    in [0, 255].

    Strengths have the same meaning as in torchvision: brightness, contrast and
    saturation blend the image with black, with its mean gray and with its own gray
    version, by a factor drawn from [max(0, 1 - strength), 1 + strength]; hue turns
    colours by a fraction of the full circle drawn from [-hue, hue]. Four things differ
    from torchvision. Torchvision blurs after the colour steps, with the same result
    where the colour steps are linear: without hue and without clipping. Torchvision
    draws the order of the colour steps, which is fixed here. Torchvision draws another
    crop where one does not fit into the image, while here the crop is cut. Torchvision
    rounds crops to whole pixels.

    Args:
        size: int or `(height, width)`. Pixels of a view.
        crop_area: `(low, high)` within (0, 1]. Share of the image's area that a crop
            covers, drawn uniformly.
        crop_aspect: `(low, high)`, positive. Width over height of the crop, drawn
            log-uniformly and relative to that of the image. Height and width are then
            clipped to the image.
        flip: Probability of a left-right flip.
        blur: Probability of a Gaussian blur.
        blur_sigma: `(low, high)`. Standard deviation of the blur in pixels of the
            view, drawn uniformly.
        jitter: Probability that the four colour steps are applied.
        brightness, contrast, saturation: Strengths, at least 0.
        hue: Strength within [0, 0.5].
        grayscale: Probability of dropping the colour.
        solarize: Probability of inverting the pixels at or above 128.

    Raises:
        ValueError: For a value outside its range.

    Example:
    ```python
    import dataclasses

    augmentation = keras_mvssl.views.Augmentation.preset("cifar10")
    milder = dataclasses.replace(augmentation, crop_area=(0.3, 1.0))
    ```

    Reference: The presets hold the values of Ghosh et al. (2024), Appendix C, as in the
    authors' code.
    """

    size: int | tuple[int, int]
    crop_area: tuple[float, float] = (0.08, 1.0)
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    grayscale: float = 0.2
    solarize: float = 0.0

    def __post_init__(self):
        size = self.size
        size = (size, size) if isinstance(size, numbers.Integral) else size
        if (
            not isinstance(size, (tuple, list))
            or len(size) != 2
            or not all(isinstance(s, numbers.Integral) and s > 0 for s in size)
        ):
            raise ValueError(
                "`size` must be a positive int or two of them, (height, width). "
                f"Received: size={self.size}"
            )
        object.__setattr__(self, "size", tuple(int(side) for side in size))
        self._check_range("crop_area", 0.0, 1.0)
        self._check_range("crop_aspect", 0.0, math.inf)
        self._check_range("blur_sigma", 0.0, math.inf)
        for name in ("flip", "blur", "jitter", "grayscale", "solarize"):
            self._check_number(name, 1.0)
        for name in ("brightness", "contrast", "saturation"):
            self._check_number(name, math.inf)
        self._check_number("hue", 0.5)

    def _check_range(self, name, low, high):
        value = getattr(self, name)
        if (
            not isinstance(value, (tuple, list))
            or len(value) != 2
            or not all(isinstance(x, numbers.Real) for x in value)
            or not low < value[0] <= value[1] <= high
            or math.isinf(value[1])
        ):
            raise ValueError(
                f"`{name}` must be (low, high) with {low} < low <= high <= {high}. "
                f"Received: {name}={value}"
            )
        object.__setattr__(self, name, tuple(float(x) for x in value))

    def _check_number(self, name, high):
        value = getattr(self, name)
        is_number = isinstance(value, numbers.Real) and math.isfinite(value)
        if not is_number or not 0.0 <= value <= high:
            raise ValueError(
                f"`{name}` must be within [0, {high}]. Received: {name}={value}"
            )
        if not isinstance(value, (int, float)):
            object.__setattr__(self, name, float(value))  # JSON has no NumPy numbers.

    @property
    def needs_rgb(self):
        """True if the description has a step that is defined for RGB images only."""
        hue_or_saturation = self.jitter > 0 and (self.hue > 0 or self.saturation > 0)
        return hue_or_saturation or self.grayscale > 0

    @property
    def changes_color(self):
        """True if a step other than solarising changes colours."""
        strengths = self.brightness, self.contrast, self.saturation, self.hue
        return (self.jitter > 0 and any(strengths)) or self.grayscale > 0

    @property
    def blur_radius(self):
        """Radius in pixels at which the blur is cut off: 3 times the largest sigma."""
        return int(3 * self.blur_sigma[1] + 0.5)

    @classmethod
    def preset(cls, name: str) -> "Augmentation":
        """Return the augmentation that the paper or a recipe uses for a data set.

        Args:
            name: `"cifar10"`, `"stl10"` or `"imagenet100"` from the paper, or
                `"shapes"`, written for this package: the augmentation varies only
                properties that do not determine the class.

        Returns:
            An `Augmentation`.

        Raises:
            ValueError: For another name.
        """
        if name not in _PRESETS:
            raise ValueError(
                f"`name` must be one of {sorted(_PRESETS)}. Describe any other "
                "augmentation with `Augmentation(size=..., ...)`. "
                f"Received: name={name!r}"
            )
        return cls(**_PRESETS[name])

    def get_config(self):
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def check_views(augmentation, views, seed):
    """Check the arguments that all engines share."""
    if not isinstance(augmentation, Augmentation):
        raise ValueError(
            "`augmentation` must be an Augmentation. "
            f"Received: augmentation={augmentation!r}"
        )
    if not isinstance(views, numbers.Integral) or views < 2:
        raise ValueError(
            "`views` must be an int of at least 2: the loss compares views of one "
            f"image with each other. Received: views={views!r}"
        )
    if not isinstance(seed, numbers.Integral) or not 0 <= seed < 2**63:
        raise ValueError(
            f"`seed` must be an int from 0 to 2**63 - 1. Received: seed={seed!r}"
        )


def check_channels(augmentation, shape):
    """Check that images `(..., C)` are RGB where a colour step needs RGB."""
    if augmentation.needs_rgb and shape[-1] != 3:
        raise ValueError(
            "Saturation, hue and grayscale need RGB images, channels last. For other "
            "channels, use an Augmentation with saturation=0, hue=0, grayscale=0. "
            f"Received: images.shape={tuple(shape)}"
        )


_PRESETS: dict[str, dict[str, Any]] = {
    "cifar10": dict(size=32, hue=0.0),
    "stl10": dict(size=64, crop_area=(0.2, 1.0), hue=0.0, grayscale=0.1),
    "imagenet100": dict(size=128, solarize=0.2),
    "shapes": dict(
        size=32,
        crop_area=(0.35, 1.0),
        brightness=0.6,
        contrast=0.6,
        saturation=0.6,
        hue=0.5,
    ),
}
