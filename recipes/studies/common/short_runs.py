"""Short trainings that leave a row in a table, and the search of their settings.

Rows are added to a CSV file as runs end. A study that was interrupted reads the file
and goes on; several processes may add rows to one file.
"""

import csv
import dataclasses
import io
import time
from collections.abc import Callable

import keras
import numpy as np

import keras_mvssl as mv
from keras_mvssl import training

COLUMNS = (
    *("cell", "purpose", "learning_rate", "c", "seed"),
    *("accuracy", "accuracy_16_views", "seconds", "commit"),
)
# The search of a cell: pairs (rate, c) of a coarse grid, then the neighbours of the
# best pair, by factors of 2, until so many pairs were tried.
RATES = (4e-3, 16e-3, 64e-3)
SCALES = (1.0, 4.0, 16.0)
TRIALS = 15
SEARCH_SEEDS = (100, 101)
REPORTED_SEEDS = (0, 1, 2, 3, 4)


class Table:
    """Rows of finished runs, in a CSV file.

    Args:
        path: The file; it is made if it does not exist.
    """

    def __init__(self, path):
        self.path = path
        if not path.exists():
            path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")

    def rows(self):
        """Return `{(cell, purpose, rate, c, seed): row}`, numbers as floats.

        A line that is cut, by a kill or a full disk, is no row.
        """
        with open(self.path, newline="", encoding="utf-8") as file:
            found = [row for row in csv.DictReader(file) if None not in row.values()]
        for row in found:
            for name in ("learning_rate", "c", "accuracy", "accuracy_16_views"):
                row[name] = float(row[name] or "nan")
            row["seed"] = int(row["seed"])
        return {_key(row): row for row in found}

    def add(self, **row):
        """Add a row in one write, which other processes cannot cut in two."""
        line = io.StringIO()
        if not self.path.read_bytes().endswith(b"\n"):
            line.write("\n")  # after a line that is cut
        writer = csv.writer(line, lineterminator="\n")
        writer.writerow([_text(row[name]) for name in COLUMNS])
        content = line.getvalue().encode()
        with open(self.path, "ab", buffering=0) as file:
            if file.write(content) != len(content):
                raise OSError(f"{self.path} could not be written: the disk is full.")


def _key(row):
    return tuple(row[name] for name in COLUMNS[:5])


def _text(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclasses.dataclass(frozen=True)
class Cell:
    """A loss at a number of views.

    Attributes:
        label: Name of the loss.
        views: Views of an image.
        images: Images in a step.
        make_loss: Function of c and D to the loss.
    """

    label: str
    views: int
    images: int
    make_loss: Callable[[float, int], keras.losses.Loss]

    @property
    def name(self):
        """Name of the cell in the table."""
        return f"{self.label}; {self.views} views"


class Trainer:
    """Trains cells on one data set, each for the same number of views.

    Args:
        recipe: `Recipe` of what all runs share.
        views_seen: Views that a run sees, rounded down to whole steps.
        splits: The data, of `data.load`.
        table: `Table` for the results.
    """

    def __init__(self, recipe, views_seen, splits, table):
        self.recipe, self.views_seen = recipe, views_seen
        self.splits, self.table = splits, table
        # In the search, a fifth of the training images stands in for the test images.
        images, labels = splits.train
        order = np.random.default_rng(0).permutation(len(labels))
        held_out, kept = np.split(order, [len(order) // 5])
        parts = [(images[rows], labels[rows]) for rows in (kept, held_out)]
        self.probed = {"search": parts, "report": [splits.train, splits.test]}
        self.commit = str(training.provenance()["commit"])

    def search(self, cell):
        """Find the learning rate and c of a cell, on seeds that are not reported."""
        tried = {}

        def attempt(rate, scale):
            found = [
                self.run(cell, "search", rate, scale, seed) for seed in SEARCH_SEEDS
            ]
            tried[rate, scale] = float(np.mean(found))

        for rate in RATES:
            for scale in SCALES:
                attempt(rate, scale)
        while len(tried) < TRIALS:
            near = [*neighbors(best_of(tried)), *further(best_of(tried))]
            attempt(*next(pair for pair in near if pair not in tried))
        return best_of(tried)

    def report(self, cell, rate, scale):
        """Train a cell with the settings found, on the seeds that are reported."""
        for seed in REPORTED_SEEDS:
            self.run(cell, "report", rate, scale, seed)

    def run(self, cell, purpose, rate, scale, seed):
        """Return the accuracy of a run, from the table or after training it."""
        key = cell.name, purpose, float(f"{rate:.6g}"), float(f"{scale:.6g}"), seed
        if key not in self.table.rows():
            start = time.perf_counter()
            encoder = self._train(cell, rate, scale, seed)
            seconds = time.perf_counter() - start
            one, sixteen = self._probe(encoder, purpose)
            self.table.add(
                **dict(zip(COLUMNS, key, strict=False)),
                accuracy=one,
                accuracy_16_views=sixteen,
                seconds=seconds,
                commit=self.commit,
            )
            print(f"{key}: {one:.1%} in {seconds:.0f} s", flush=True)
        return self.table.rows()[key]["accuracy"]  # as rounded as after a restart

    def _train(self, cell, rate, scale, seed):
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        recipe = dataclasses.replace(
            self.recipe,
            views=cell.views,
            batch_size=cell.images,
            steps_per_epoch=self.views_seen // (cell.views * cell.images),
            learning_rate=rate,
            seed=seed,
        )
        parts = training.build(recipe, self.splits)
        loss = cell.make_loss(scale, recipe.projector_dim)
        parts.model.compile(optimizer=parts.model.optimizer, loss=loss)
        parts.model.fit(
            parts.make_stream(0), steps_per_epoch=parts.steps_per_epoch, verbose=0
        )
        return parts.model.encoder

    def _probe(self, encoder, purpose):
        """Return accuracies by one clean view, and by the paper's 16 if reported.

        A training that diverged has the accuracy of guessing.
        """
        extract, probe = mv.evaluation.extract_features, mv.evaluation.linear_probe
        parts = [extract(encoder, part) for part in self.probed[purpose]]
        if not all(np.isfinite(features).all() for features, _ in parts):
            guessing = 1 / self.splits.num_classes
            return guessing, guessing if purpose == "report" else float("nan")
        one = probe(*parts).accuracy
        if purpose == "search":
            return one, float("nan")
        augmentation = self.recipe.augmentation_for(self.splits.image_shape)
        sixteen = mv.evaluation.probe_16_views(
            encoder, *self.probed[purpose], augmentation, "logistic"
        )
        return one, sixteen.accuracy


def best_of(tried):
    """Return the pair with the best accuracy; of equal ones, the first tried."""
    return max(tried, key=tried.get)


def neighbors(pair):
    """Return the four neighbours of a pair, in the order in which they are tried."""
    rate, scale = pair
    return [(rate, 2 * scale), (rate, scale / 2), (2 * rate, scale), (rate / 2, scale)]


def further(pair):
    """Return pairs to try when all neighbours are known."""
    rate, scale = pair
    factors = (0.25, 0.5, 2, 4)
    return [(a * rate, b * scale) for a in factors for b in factors]
