"""The parameters of views: random numbers put into the ranges of an `Augmentation`."""

import math

import numpy as np
from keras import ops

# Names of the parameters, which are also the names of their draws.
NUMBERS = (
    *("area", "aspect", "top", "left", "sigma"),
    *("brightness", "contrast", "saturation", "hue"),
)
CHOICES = ("flip", "blur", "jitter", "grayscale", "solarize")


class Parameters:
    """Function from the draws of a step to the parameters of its views.

    All names are drawn, needed or not, in two groups: numbers within a range, and
    choices with a probability.

    Args:
        augmentation: An `Augmentation`.

    Call arguments:
        draws: A `Draws` of B images and V views.

    Returns:
        A dict of tensors `(B, V)` of the names in `NUMBERS`, float32, and in `CHOICES`,
        bool. `RandomViews.draw` describes them.
    """

    def __init__(self, augmentation):
        a = augmentation
        ranges = {
            "area": a.crop_area,
            "aspect": [math.log(x) for x in a.crop_aspect],
            "top": (0.0, 1.0),
            "left": (0.0, 1.0),
            "sigma": a.blur_sigma,
            "hue": (0.0, 1.0),
        }
        for name in ("brightness", "contrast", "saturation"):
            strength = getattr(a, name)
            ranges[name] = max(0.0, 1 - strength), 1 + strength
        self._low = _column([ranges[name][0] for name in NUMBERS])
        self._width = _column([np.ptp(ranges[name]) for name in NUMBERS])
        self._hue = a.hue
        self._rates = _column([getattr(a, name) for name in CHOICES])

    def __call__(self, draws):
        low, width, rates = map(
            ops.convert_to_tensor, (self._low, self._width, self._rates)
        )
        values = low + width * draws.all(NUMBERS)
        numbers = dict(zip(NUMBERS, ops.unstack(values), strict=True))
        # Near zero, a sum of both ends would be rounded otherwise by each compiler.
        numbers["hue"] = self._hue * (2.0 * numbers["hue"] - 1.0)
        numbers["aspect"] = ops.exp(numbers["aspect"])
        chosen = ops.unstack(draws.all(CHOICES) < rates)
        return numbers | dict(zip(CHOICES, chosen, strict=True))


def _column(values):
    return np.array(values, "float32")[:, None, None]
