"""The settings of a run."""

import dataclasses
import numbers
from collections.abc import Mapping

import keras

from keras_mvssl import losses
from keras_mvssl import models
from keras_mvssl import optimizers
from keras_mvssl.views import Augmentation

BACKBONES = {
    "tiny": models.TinyResNet,
    "resnet18": models.ResNet18,
    "resnet50": models.ResNet50,
}

OPTIMIZERS = {"adamw": keras.optimizers.AdamW, "lars": optimizers.LARS}
ENGINES = ("kerascv", "device")
PRECISIONS = ("float32", "bfloat16", "float16")
BAD_IMAGES = ("error", "skip")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a run. Each is a flag of the command line, unless it says so.

    Attributes:
        dataset: Name for `data.load`; `"folder"` stands for the folder `data_dir`. No
            flag.
        augmentation: What may happen to a view. Defaults to `Augmentation()` at the
            size of the images. No flag.
        betas: Known-good β, `{(views, projector_dim): beta}`. No flag.
        image_size: Pixels that images are resized to when loaded; None keeps theirs.
        views: Views of each image.
        augment: Who makes the views: `"kerascv"`, KerasCV layers on the CPU while the
            device trains, which suits images that the CPU decodes anyway; or
            `"device"`, `RandomViews`, which suits images in memory, CPUs that have
            nothing to spare, and fast accelerators.
        fraction: Share of the images to pretrain on.
        backbone: `"tiny"`, `"resnet18"` or `"resnet50"`.
        stem: Stem of the backbone, `"cifar"` or `"imagenet"`. No flag.
        projector_dim: Features D of the projector.
        beta: Weight of the redundancy, or `"auto"`, which is 4/D; None takes that of
            `betas` for the views and the projector, and `"auto"` where it has none.
        pairing: `"mean"` or `"all"`, of `losses.BarlowTwins`.
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
        data_dir: Folder of the data.
        workers: Chunks augmented in parallel; None lets tf.data choose.

    Example:

    ```python
    recipe = keras_mvssl.training.Recipe(dataset="npz:mine.npz", backbone="resnet18")
    recipe.views  # 4
    ```
    """

    dataset: str
    augmentation: Augmentation | None = None
    betas: Mapping[tuple[int, int], float] = dataclasses.field(default_factory=dict)
    image_size: int | None = None
    views: int = 4
    augment: str = "kerascv"
    fraction: float = 1.0
    backbone: str = "resnet18"
    stem: str = "cifar"
    projector_dim: int = 256
    beta: float | str | None = None
    pairing: str = "mean"
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

    def loss(self):
        """The loss with the β that goes with the views and the projector."""
        beta = self.beta
        if beta is None:
            beta = self.betas.get((self.views, self.projector_dim), "auto")
        return losses.BarlowTwins(beta=beta, pairing=self.pairing)

    def check(self):
        """Raises ValueError, naming the setting, for one outside its range."""
        if self.dataset == "folder" and not self.data_dir:
            raise ValueError(
                "`data_dir` must name the folder of images. "
                f"Received: data_dir={self.data_dir}"
            )
        if self.backbone not in BACKBONES:
            raise ValueError(
                f"`backbone` must be one of {sorted(BACKBONES)}. "
                f"Received: backbone={self.backbone!r}"
            )
        choices = {
            "augment": ENGINES,
            "precision": PRECISIONS,
            "optimizer": sorted(OPTIMIZERS),
            "on_bad_image": BAD_IMAGES,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"`{name}` must be one of {list(allowed)}. "
                    f"Received: {name}={getattr(self, name)!r}"
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
        self.loss()
