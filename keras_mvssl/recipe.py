"""The settings of a run."""

import dataclasses
import numbers
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_mvssl import losses
from keras_mvssl import models
from keras_mvssl import optimizers
from keras_mvssl.data.images import POLICIES
from keras_mvssl.views import Augmentation

BACKBONES = {
    "tiny": models.TinyResNet,
    "resnet18": models.ResNet18,
    "resnet50": models.ResNet50,
}

LOSSES = {
    "barlow_twins": losses.BarlowTwins,
    "vicreg": losses.VICReg,
    "reformulated": losses.ReformulatedSSL,
}
PAIRINGS = ("mean", "all")
OPTIMIZERS = {"adamw": keras.optimizers.AdamW, "lars": optimizers.LARS}
ENGINES = ("kerascv", "device")
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a run. Each is a flag of the command line, unless it says so.

    Attributes:
        dataset: Name for `data.load`; `"folder"` stands for the folder `data_dir`. No
            flag.
        augmentation: What may happen to a view. Defaults to `Augmentation()` at the
            size of the images. No flag.
        image_size: Pixels that images are resized to when loaded; None keeps theirs.
        view_size: Pixels of a view; None takes those of the augmentation.
        views: Views of each image.
        augment: Who makes the views: `"kerascv"`, KerasCV layers on the CPU while the
            device trains, which suits images that the CPU decodes anyway; or
            `"device"`, `RandomViews`, which suits images in memory, CPUs that have
            nothing to spare, and fast accelerators.
        fraction: Share of the images to pretrain on.
        backbone: `"tiny"`, `"resnet18"` or `"resnet50"`.
        stem: Stem of the backbone, `"cifar"` or `"imagenet"`. No flag.
        projector_dim: Features D of the projector.
        loss: `"barlow_twins"`, `"vicreg"` or `"reformulated"` (the paper's ideal
            objective), of `losses`.
        beta: Weight of the redundancy, or `"auto"`, which is 4/D and what None means.
            Not of VICReg.
        pairing: `"mean"`, which is what None means, or `"all"`. Of Barlow Twins.
        epochs: Passes over the images.
        steps_per_epoch: Steps of an epoch; None for a whole pass.
        batch_size: Images per step.
        steps_per_execution: Steps that the backend runs at a time, without Python in
            between; epochs are rounded down to a multiple. 1 on torch.
        accumulate: Steps whose gradients are averaged before weights change. The
            statistics of the loss remain those of one batch: this does not replace a
            larger one.
        precision: Of the network: `"float32"`, `"bfloat16"` or `"float16"`. Weights,
            views and loss are float32 in each; features of the saved encoder are not.
        optimizer: `"adamw"`, or `"lars"` for batches of thousands, which wants a
            learning rate some hundred times as large.
        learning_rate: At its peak; cosine decay to 0 follows.
        weight_decay: Of weights, not of biases and batch normalisation.
        warmup_epochs: Epochs over which the learning rate rises from 0.
        probe_every: Epochs between probes.
        checkpoint_minutes: Minutes between checkpoints, at most; less often where one
            takes more than 2 % of them.
        checkpoint_steps: Steps between further checkpoints; None makes none.
        on_bad_image: What to do with images of a folder that cannot be read: `"error"`,
            or `"skip"`, which lists them in `bad_images.txt`.
        devices: Devices of this machine that share each batch, with the result of one;
            None takes all accelerators that there are.
        seed: Seed of weights, order, views and subsets.
        data_dir: Folder of the data; or, in place of a TFDS data set, an npz file that
            holds it, as `data.load` describes it, which needs no TensorFlow.
        workers: Chunks augmented in parallel; None lets tf.data choose.

    Example:

    ```python
    recipe = keras_mvssl.training.Recipe(dataset="npz:mine.npz", backbone="resnet18")
    recipe.views  # 4
    ```
    """

    dataset: str
    augmentation: Augmentation | None = None
    image_size: int | None = None
    view_size: int | None = None
    views: int = 4
    augment: str = "kerascv"
    fraction: float = 1.0
    backbone: str = "resnet18"
    stem: str = "cifar"
    projector_dim: int = 256
    loss: str = "barlow_twins"
    beta: float | str | None = None
    pairing: str | None = None
    epochs: int = 100
    steps_per_epoch: int | None = None
    batch_size: int = 256
    steps_per_execution: int = 1
    accumulate: int = 1
    precision: str = "float32"
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    warmup_epochs: float = 1.0
    probe_every: int = 1
    checkpoint_minutes: float = 10.0
    checkpoint_steps: int | None = None
    on_bad_image: str = "error"
    devices: int | None = None
    seed: int = 0
    data_dir: str | None = None
    workers: int | None = None

    @property
    def is_of_npz(self) -> bool:
        """Whether `data_dir` is a file that holds the data set."""
        return str(self.data_dir).lower().endswith(".npz")

    def make_loss(self) -> keras.losses.Loss:
        """The loss that the settings describe."""
        given = {"beta": self.beta, "pairing": self.pairing}
        given = {name: value for name, value in given.items() if value is not None}
        return LOSSES[self.loss](**given)

    def augmentation_for(self, image_shape: tuple[int, int, int]) -> Augmentation:
        """The augmentation of images `(H, W, C)`, which matter if none is given."""
        augmentation = self.augmentation or Augmentation(size=image_shape[:2])
        if self.view_size is None:
            return augmentation
        return dataclasses.replace(augmentation, size=self.view_size)

    def check(self):
        """Raises ValueError, naming the setting, for one outside its range."""
        if self.dataset == "folder" and not self.data_dir:
            raise ValueError(
                "`data_dir` must name the folder of images. "
                f"Received: data_dir={self.data_dir}"
            )
        other = self.dataset in ("folder", "shapes", "imagenet100")
        if self.is_of_npz and (other or ":" in self.dataset):
            raise ValueError(
                "`data_dir` may be an npz file in place of a TFDS data set alone. "
                f"Received: data_dir={self.data_dir!r}, dataset={self.dataset!r}"
            )
        if self.backbone not in BACKBONES:
            raise ValueError(
                f"`backbone` must be one of {sorted(BACKBONES)}. "
                f"Received: backbone={self.backbone!r}"
            )
        choices = {
            "loss": sorted(LOSSES),
            "augment": ENGINES,
            "precision": PRECISIONS,
            "optimizer": sorted(OPTIMIZERS),
            "on_bad_image": POLICIES,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"`{name}` must be one of {list(allowed)}. "
                    f"Received: {name}={getattr(self, name)!r}"
                )
        unused = {"vicreg": ("beta", "pairing"), "reformulated": ("pairing",)}
        for name in unused.get(self.loss, ()):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"`{name}` does not apply to the loss {self.loss!r}. "
                    f"Received: {name}={getattr(self, name)!r}, loss={self.loss!r}"
                )
        if self.augment == "device" and self.workers is not None:
            raise ValueError(
                "`workers` make views on the CPU, for augment='kerascv'. "
                f"Received: workers={self.workers}, augment='device'"
            )
        smallest = {"views": 2, "batch_size": 2, "epochs": 1, "projector_dim": 1}
        smallest |= {
            "accumulate": 1,
            "steps_per_execution": 1,
            "steps_per_epoch": 1,
            "probe_every": 1,
            "view_size": 1,
            "checkpoint_steps": 1,
            "workers": 1,
            "devices": 1,
            "seed": 0,
        }
        for name, least in smallest.items():
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise ValueError(
                    f"`{name}` must be an int of at least {least}. "
                    f"Received: {name}={value}"
                )
        if self.seed >= 2**32:
            raise ValueError(f"`seed` must be below 2**32. Received: seed={self.seed}")
        for name in ("learning_rate", "weight_decay", "warmup_epochs"):
            value = getattr(self, name)
            if not isinstance(value, numbers.Real) or not 0 <= value < float("inf"):
                raise ValueError(
                    f"`{name}` must be a number of at least 0. "
                    f"Received: {name}={value!r}"
                )
        minutes = self.checkpoint_minutes
        if not isinstance(minutes, numbers.Real) or not minutes > 0:
            raise ValueError(
                "`checkpoint_minutes` must be a number above 0. "
                f"Received: checkpoint_minutes={minutes!r}"
            )
        if self.learning_rate == 0:
            raise ValueError("`learning_rate` must not be 0. Received: learning_rate=0")
        if self.data_dir is not None and self.dataset == "shapes":
            raise ValueError(
                "`data_dir` does not apply to shapes, which are drawn. "
                f"Received: data_dir={self.data_dir!r}"
            )
        self.make_loss()


def tuned(
    recipe: Recipe, table: Mapping[int, Mapping[str, Any]], keep: Iterable[str] = ()
) -> Recipe:
    """A recipe with the settings that are known to go with its number of views.

    For a number between those of the table, and for a projector between those of its β,
    settings are interpolated, geometrically; beyond them, they are the nearest
    one's, and β that of the nearest projector times the ratio of sizes (β = O(1/D)).
    That this was done is printed.

    Args:
        recipe: A `Recipe`.
        table: `{views: {name: value}}`, values positive numbers. The one of `beta` may
            be `{projector_dim: value}`; it is for Barlow Twins.
        keep: Names of settings to leave as they are.

    Returns:
        A `Recipe`.

    Example:

    ```python
    table = {2: {"beta": {256: 0.02}}, 8: {"beta": {256: 0.01}, "batch_size": 128}}
    recipe = keras_mvssl.training.Recipe(dataset="cifar10", views=8)
    recipe = keras_mvssl.training.tuned(recipe, table)
    ```
    """
    dim, views = recipe.projector_dim, recipe.views
    names = {name for row in table.values() for name in row} - set(keep)
    if recipe.loss != "barlow_twins":
        names -= {"beta"}
    settings, exact = {}, views in table
    for name in sorted(names):
        default = getattr(recipe, name)
        points = {v: row.get(name, default) for v, row in table.items()}
        points = {v: value for v, value in points.items() if value is not None}
        for v, value in points.items():
            if isinstance(value, dict):
                exact = exact and (v != views or dim in value)
                scaled = {d: beta * d for d, beta in value.items()}
                points[v] = value.get(dim) or _between(scaled, dim) / dim
        value = points.get(views) or _between(points, views)
        settings[name] = round(value) if isinstance(default, int) else value
    if settings and not exact:
        shown = ", ".join(f"{name}={value:.4g}" for name, value in settings.items())
        print(
            f"No settings are known for views={views} with projector_dim={dim}. "
            f"Interpolated from the nearest: {shown}"
        )
    return dataclasses.replace(recipe, **settings)


def _between(points, x):
    """The value at x on lines through points on logarithmic axes, level outside."""
    known = sorted(points)
    logs = np.log([points[k] for k in known])
    return float(np.exp(np.interp(np.log(x), np.log(known), logs)))
