# ruff: noqa: RUF009 - `setting` makes the fields
"""All settings of a run."""

import dataclasses
import os
from typing import Literal

import keras

from keras_mvssl import losses
from keras_mvssl.data.images import BadImagePolicy
from keras_mvssl.losses.barlow_twins import Pairing
from keras_mvssl.training.augmentation_text import changed
from keras_mvssl.training.fields import check_field
from keras_mvssl.training.fields import describe_fields
from keras_mvssl.training.fields import plain
from keras_mvssl.training.fields import setting
from keras_mvssl.training.saved_settings import settings_of
from keras_mvssl.views import Augmentation

LOSSES = {
    "barlow_twins": losses.BarlowTwins,
    "vicreg": losses.VICReg,
    "reformulated": losses.ReformulatedSSL,
}
# Settings of the loss that some losses do not have.
_UNUSED = {
    "vicreg": ("beta", "pairing", "l2_normalize"),
    "reformulated": ("pairing", "l2_normalize"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a run. A setting is a flag, unless its text says "No flag".

    Numbers of NumPy become those of Python, and paths become str.

    Example:
    ```python
    recipe = keras_mvssl.training.Recipe(dataset="npz:mine.npz", backbone="resnet18")
    recipe.views  # 4
    ```
    """

    dataset: str | None = setting(
        "Name for `data.load`; `folder` stands for the folder `data_dir`; None where "
        "`run` is given the data. No flag.",
        None,
    )
    data_dir: str | None = setting(
        "Folder of the data; or an npz file that holds a TFDS data set, as `data.load` "
        "describes it, which needs no TensorFlow.",
        None,
        "data",
    )
    image_size: int | None = setting(
        "Pixels that images are resized to; None keeps theirs.", None, "data", least=1
    )
    fraction: float = setting(
        "Share of the images to pretrain on.", 1.0, "data", above=0, most=1
    )
    balanced: bool = setting(
        "Whether a fraction keeps the same share of each class. No flag.", False
    )
    on_bad_image: BadImagePolicy = setting(
        "What to do with an image of a folder that cannot be read: `error` stops, "
        "`skip` lists it in `bad_images.txt`.",
        "error",
        "data",
    )
    workers: int | None = setting(
        "Chunks augmented in parallel by KerasCV layers; None lets tf.data choose.",
        None,
        "data",
        least=1,
    )
    views: int = setting("Views of each image.", 4, "views", least=2)
    view_size: int | None = setting(
        "Pixels of a view; None takes those of the augmentation.",
        None,
        "views",
        least=1,
    )
    augment: Literal["kerascv", "device"] = setting(
        "Engine that makes the views: `kerascv`, KerasCV layers on the CPU while the "
        "device trains, for images that the CPU decodes anyway; or `device`, "
        "`RandomViews`, for images in memory, CPUs with nothing to spare, and fast "
        "accelerators.",
        "kerascv",
        "views",
    )
    augmentation: Augmentation | str | None = setting(
        "What may happen to a view, or what to change of `Augmentation()` at the size "
        "of the images, such as `crop_area=0.2:1,hue=0.1`, which replaces parts of a "
        "recipe's.",
        None,
        "views",
    )
    backbone: Literal["tiny", "resnet18", "resnet50"] = setting(
        "Network of the encoder.", "resnet18", "model"
    )
    stem: Literal["cifar", "imagenet"] = setting(
        "Stem of a ResNet-18 or ResNet-50. No flag.", "cifar"
    )
    projector_dim: int = setting("Features D of the projector.", 256, "model", least=1)
    init: str | None = setting(
        "Saved Keras model that fits, such as an `encoder.keras`, whose weights the "
        "encoder begins with.",
        None,
        "model",
    )
    precision: Literal["float32", "bfloat16", "float16"] = setting(
        "Precision of the network. Weights, views and loss are float32 in each; "
        "features of the saved encoder are not.",
        "float32",
        "model",
    )
    loss: Literal["barlow_twins", "vicreg", "reformulated"] = setting(
        "Objective of `losses`; `reformulated` is the paper's ideal one.",
        "barlow_twins",
        "loss",
    )
    beta: float | Literal["auto"] | None = setting(
        "Weight of the redundancy, a number or `auto`: 4/D, which None means too. "
        "VICReg has none.",
        None,
        "loss",
    )
    pairing: Pairing | None = setting(
        "Views that Barlow Twins compares: `mean` (each with the mean of all), which "
        "None means too, or `all` pairs, as the authors do with 2 views.",
        None,
        "loss",
    )
    l2_normalize: bool = setting(
        "Whether Barlow Twins divides each projection by its norm, as the authors' "
        "code does. No flag.",
        False,
    )
    epochs: int = setting("Passes over the images.", 100, "optimisation", least=1)
    steps_per_epoch: int | None = setting(
        "Steps of an epoch; None for a whole pass.", None, "optimisation", least=1
    )
    batch_size: int = setting("Images per step.", 256, "optimisation", least=2)
    accumulate: int = setting(
        "Steps whose gradients are averaged before weights change. Statistics of the "
        "loss remain those of one batch: this does not replace a larger one.",
        1,
        "optimisation",
        least=1,
    )
    optimizer: Literal["adamw", "adam", "lars"] = setting(
        "Optimizer; `adam` decays biases too, apart from the gradient; `lars` is for "
        "batches of thousands, and wants a learning rate some hundred times as large.",
        "adamw",
        "optimisation",
    )
    schedule: Literal["cosine", "constant"] = setting(
        "What the learning rate does: warm up and decay to 0 by a cosine, or stay. "
        "No flag.",
        "cosine",
    )
    learning_rate: float = setting(
        "Learning rate at its peak; cosine decay to 0 follows, unless the schedule is "
        "constant.",
        1e-3,
        "optimisation",
        above=0,
    )
    weight_decay: float = setting(
        "Decay of weights, not of biases and batch normalisation.",
        1e-6,
        "optimisation",
        least=0,
    )
    warmup_epochs: float = setting(
        "Epochs over which the learning rate rises from 0.",
        1.0,
        "optimisation",
        least=0,
    )
    seed: int = setting(
        "Seed of weights, order, views and subsets.", 0, "optimisation", least=0
    )
    probe_every: int = setting("Epochs between probes.", 1, "watching", least=1)
    checkpoint_minutes: float = setting(
        "Minutes between checkpoints, at most; more where saving one takes over 2 % of "
        "the time. With `inf`, checkpoints are not timed.",
        10.0,
        "watching",
        above=0,
        infinite=True,
    )
    checkpoint_steps: int | None = setting(
        "Steps between further checkpoints; None makes none.", None, "watching", least=1
    )
    verbose: bool = setting(
        "Whether errors are shown with all calls that led to them.", False, "watching"
    )
    devices: int | None = setting(
        "Devices of this machine that share each batch, with the result of one; None "
        "takes all accelerators that there are.",
        None,
        "where",
        least=1,
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = plain(getattr(self, field.name))
            object.__setattr__(self, field.name, value)  # It is frozen.

    @classmethod
    def from_config(cls, path: str | os.PathLike) -> "Recipe":
        """Return the recipe of a run: `Recipe.from_config("runs/first")`.

        The parts that it was given as objects are printed: give them to `run` again.

        Args:
            path: Folder of the run, or its `config.json`.

        Raises:
            ValueError: For a file that is not the `config.json` of a run.
        """
        recipe = cls(**settings_of(path, [x.name for x in dataclasses.fields(cls)]))
        recipe.check()
        return recipe

    @property
    def is_of_npz(self) -> bool:
        """Truth value: `data_dir` is an npz file that holds the data set."""
        return str(self.data_dir).lower().endswith(".npz")

    def make_loss(self) -> keras.losses.Loss:
        """Make the loss that the settings describe."""
        given = {"beta": self.beta, "pairing": self.pairing}
        given["l2_normalize"] = self.l2_normalize or None
        given = {name: value for name, value in given.items() if value is not None}
        return LOSSES[self.loss](**given)

    def augmentation_for(self, image_shape: tuple[int, int, int]) -> Augmentation:
        """Return the augmentation; views are as large as `image_shape` by default."""
        augmentation = self.augmentation
        if not isinstance(augmentation, Augmentation):
            size = image_shape[:2]
            augmentation = changed(Augmentation(size=size), augmentation or "")
        if self.view_size is None:
            return augmentation
        return dataclasses.replace(augmentation, size=self.view_size)

    def check(self):
        """Check every setting.

        Raises:
            ValueError: For a setting outside its range, or one that does not apply.
        """
        for field in dataclasses.fields(self):
            check_field(field, getattr(self, field.name))
        if isinstance(self.augmentation, str):
            changed(Augmentation(size=1), self.augmentation)
        if self.dataset == "folder" and not self.data_dir:
            raise ValueError(
                "`data_dir` must name the folder of images. "
                f"Received: data_dir={self.data_dir}"
            )
        other = self.dataset in ("folder", "shapes", "imagenet100")
        if self.is_of_npz and (other or ":" in (self.dataset or "")):
            raise ValueError(
                "`data_dir` may be an npz file in place of a TFDS data set alone. "
                f"Received: data_dir={self.data_dir!r}, dataset={self.dataset!r}"
            )
        if self.data_dir is not None and self.dataset == "shapes":
            raise ValueError(
                "`data_dir` does not apply to shapes, which are drawn. "
                f"Received: data_dir={self.data_dir!r}"
            )
        for name in _UNUSED.get(self.loss, ()):
            if getattr(self, name) != getattr(Recipe, name):
                raise ValueError(
                    f"`{name}` does not apply to the loss {self.loss!r}. "
                    f"Received: {name}={getattr(self, name)!r}, loss={self.loss!r}"
                )
        if self.schedule == "constant" and self.warmup_epochs:
            raise ValueError(
                "`warmup_epochs` apply to schedule='cosine', and the authors' settings "
                "have a constant learning rate. "
                f"Received: warmup_epochs={self.warmup_epochs}, schedule='constant'"
            )
        if self.augment == "device" and self.workers is not None:
            raise ValueError(
                "`workers` make views on the CPU, for augment='kerascv'. "
                f"Received: workers={self.workers}, augment='device'"
            )
        if self.seed >= 2**32:
            raise ValueError(f"`seed` must be below 2**32. Received: seed={self.seed}")
        self.make_loss()


describe_fields(Recipe)
