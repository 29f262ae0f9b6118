"""The callbacks of a run."""

import dataclasses

import numpy as np

from keras_mvssl import callbacks
from keras_mvssl.models.multi_view_model import EVALUATION_STEP

# Test images whose spectrum is measured during training.
SPECTRUM_IMAGES = 5000
# Test images in TensorBoard's embedding projector.
EMBEDDED_IMAGES = 1000


@dataclasses.dataclass(frozen=True)
class Watchers:
    """The callbacks of a run.

    Attributes:
        throughput, metrics: The callbacks that results are taken from.
        checkpoint: The checkpoint.
        callbacks: All others, in the order in which they see each other's logs.
    """

    throughput: callbacks.Throughput
    metrics: callbacks.MetricsCSV
    checkpoint: callbacks.Checkpoint
    callbacks: list


def make_watchers(recipe, parts, workdir, clock, own=()):
    """Make the callbacks of a run.

    Args:
        recipe: The `Recipe`.
        parts: The `Parts` of the recipe.
        workdir: The `Workdir`: logs are written to its `output`, checkpoints to its
            `path`.
        clock: The `Clock` of the run, kept in checkpoints.
        own: The user's callbacks, which see the probes' logs; their own are in the CSV
            file and in TensorBoard.
    """
    splits, stream, every = parts.splits, parts.make_stream(0), recipe.probe_every
    test = None if splits.test is None else _first(splits.test, SPECTRUM_IMAGES)
    # A single test image has no spectrum.
    few = test is None or len(test) < 2
    images = _first(splits.pretrain, SPECTRUM_IMAGES) if few else test
    made = None
    if parts.make_views is not None:
        some = images[: callbacks.Spectrum.PROJECTED_IMAGES]
        made = np.asarray(parts.make_views(some, EVALUATION_STEP))
    probes = []
    embedding = None
    if splits.train is not None:
        probes = [
            callbacks.LinearProbe(splits.train, splits.test, every=every),
            callbacks.KNNProbe(splits.train, splits.test, every=every),
        ]
        labels = _first(splits.test, EMBEDDED_IMAGES, part=1)
        embedding = test[:EMBEDDED_IMAGES], labels
    spectrum = callbacks.Spectrum(images, made, every=every)
    throughput = callbacks.Throughput(recipe.views * recipe.batch_size, stream)
    metrics = callbacks.MetricsCSV(workdir.output / "metrics.csv")
    gallery = None
    # A run that goes on has its picture already.
    if not (workdir.output / "views.png").exists():
        gallery = callbacks.ViewGallery(stream, workdir.output / "views.png")
    board = callbacks.TensorBoard(
        workdir.output / "tensorboard", gallery, spectrum, embedding, splits.class_names
    )
    watchers = [throughput, callbacks.StopOnDivergence(), *probes, spectrum]
    watchers += [*own, gallery, metrics, board]
    checkpoint = callbacks.Checkpoint(
        workdir.path / "checkpoint",
        recipe.checkpoint_minutes,
        recipe.checkpoint_steps,
        monitor="probe_accuracy" if probes else "loss",
        state={
            "throughput": throughput,
            "spectrum": spectrum,
            "metrics": metrics,
            "clock": clock,
        },
    )
    watchers = [x for x in watchers if x is not None]
    return Watchers(throughput, metrics, checkpoint, watchers)


def _first(data, count, part=0):
    """Return the first images (or labels, part 1) of arrays or of a data set."""
    if hasattr(data, "element_spec"):
        items = data.take(count).as_numpy_iterator()
        return np.stack([x[part] if isinstance(x, tuple) else x for x in items])
    return (data[part] if isinstance(data, tuple) else data)[:count]
