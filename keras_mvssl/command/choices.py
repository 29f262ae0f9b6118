"""Settings that suit a data set and a device, each with its reason."""

import statistics
from typing import Any

from keras_mvssl.command.quick_look import Look

SIZES = (32, 64, 96, 128)  # of images that are resized
LARGEST_ON_CPU = 64
# Views of 32 x 32 pixels that a tiny ResNet sees in a first look on a CPU, and images
# that an accelerator trains on in all.
VIEWS_ON_CPU, IMAGES_ON_ACCELERATOR = 160_000, 5_000_000
STEPS = 30  # of an epoch, at least
MOST_EPOCHS = 800
# What goes with an encoder, as in the recipes: features of the projector, and the
# learning rate.
OF_BACKBONE = {"tiny": (128, 2e-3), "resnet18": (256, 3e-3), "resnet50": (256, 3e-3)}
ONE_CHANNEL = "saturation=0,hue=0,grayscale=0"


class Choices:
    """Settings that are chosen where they are not given.

    Args:
        look: `Look` at the images; None where nothing is known before they are loaded.
        given: Settings of the command line, which win.
        on_accelerator: Whether the backend computes on a GPU or a TPU.

    Attributes:
        chosen: `{name: (value, reason)}`.
    """

    def __init__(self, look: Look | None, given: dict[str, Any], on_accelerator: bool):
        self.look, self.given, self.on_accelerator = look, given, on_accelerator
        self.chosen: dict[str, tuple[Any, str]] = {}
        device = "an accelerator" if on_accelerator else "a CPU"
        size = self._choose_size()
        backbone = "resnet18" if on_accelerator else "tiny"
        backbone = self._set("backbone", backbone, f"for {device}")
        if backbone != "tiny":
            stem = "cifar" if size <= 64 else "imagenet"
            self._set("stem", stem, f"for views of {size} pixels")
        dim, rate = OF_BACKBONE[backbone]
        self._set("projector_dim", dim, f"as in recipes with {backbone}")
        self._set("learning_rate", rate, f"as in recipes with {backbone}")
        if "workers" not in given:  # They are for the other engine.
            self._set("augment", "device", "views are made in the training step")
        views = self._set("views", 4, "the number of the recipes")
        self._choose_length(size, views)

    @property
    def settings(self) -> dict[str, Any]:
        """The chosen settings, `{name: value}`."""
        return {name: value for name, (value, _) in self.chosen.items()}

    def lines(self) -> list[str]:
        """Return a line for each choice."""
        shown = {f"{name}={value}": why for name, (value, why) in self.chosen.items()}
        return [f"  {setting:24}{reason}" for setting, reason in shown.items()]

    def _set(self, name, value, reason):
        if name in self.given:
            return self.given[name]
        self.chosen[name] = value, reason
        return value

    def _choose_size(self):
        """Choose the size of images or views, and return the pixels of a view."""
        look = self.look
        if look is None or not look.sizes:
            return self.given.get("view_size") or self.given.get("image_size") or 32
        if look.channels != 3:
            reason = f"images of {look.channels} channels have no hue"
            self._set("augmentation", ONE_CHANNEL, reason)
        size, reason = self._size_and_reason()
        if look.resizes:
            size = self._set("image_size", size, reason)
        elif look.square != size:  # Arrays stay as they are; views are resized.
            size = self._set("view_size", size, reason)
        return self.given.get("view_size") or size

    def _size_and_reason(self):
        square = self.look.square
        if square is not None and square <= LARGEST_ON_CPU:
            return square, "the images are of this size"
        median = int(statistics.median(min(size) for size in self.look.sizes))
        largest = SIZES[-1] if self.on_accelerator else LARGEST_ON_CPU
        fitting = [size for size in SIZES if size <= min(median, largest)]
        reason = f"the shorter side is {median} pixels in the median"
        if median > largest:
            reason += f"; at most {largest} here"
        return (fitting or [median])[-1], reason

    def _choose_length(self, size, views):
        """Choose the batch size, the epochs, and what goes with them."""
        if self.look is None:
            epochs = 100 if self.on_accelerator else 5
            why = "the number of images is not known yet"
            self._set("batch_size", 64, why)
            self._set_epochs(epochs, why)
            return
        images = max(1, round(self.look.images * self.given.get("fraction", 1)))
        powers = [2**n for n in range(4, 9)]  # 16 to 256
        batch = max([p for p in powers if images // p >= STEPS] or powers[:1])
        if batch > images:
            batch = max(2, 2 ** (images.bit_length() - 1))
        steps = images // self.given.get("batch_size", batch)
        reason = f"about {images:,} images are {steps:,} steps an epoch"
        self._set("batch_size", batch, reason)
        if self.on_accelerator:
            epochs = min(MOST_EPOCHS, max(20, round(IMAGES_ON_ACCELERATOR / images)))
            self._set_epochs(epochs, f"{epochs * images:,} images in all")
            return
        budget = VIEWS_ON_CPU * (32 / size) ** 2
        epochs = min(MOST_EPOCHS, max(1, round(budget / (images * views))))
        self._set_epochs(epochs, "a first look; train longer with --epochs")

    def _set_epochs(self, epochs, reason):
        epochs = self._set("epochs", epochs, reason)
        if epochs < 4:
            self._set("warmup_epochs", epochs / 4, "a quarter of the epochs")
        if epochs >= 40:
            self._set("probe_every", epochs // 20, "20 probes in all")
