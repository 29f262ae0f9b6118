"""What the studies share: a grid of runs in folders, its progress, and its results.

A run lies in a folder named by its settings, `views=4,fraction=0.5,...,seed=0`, below
`workdir`/dataset-size, and is made by `keras_mvssl.training.run` unless it is there
already: studies share their runs, and one that was interrupted goes on where it ended.
`tables.py` writes what comes out.
"""

import collections
import contextlib
import csv
import dataclasses
import io
import json
import pathlib
import sys
import time

import keras
import numpy as np
import sizes
import versions
from absl import app
from absl import flags

import keras_mvssl as mv
from keras_mvssl import training
from keras_mvssl.training import baselines
from keras_mvssl.training import results as records

# Views over which features are averaged in the second probe, for every encoder.
PROBE_VIEWS = 4
# A run of fewer epochs is cut into this many, so that there is a curve.
CURVE = 4
# What names a setting: its runs differ in the seed.
SETTING = ("views", "fraction", "projector_dim", "beta")

_own = dict(module_name=sys.argv[0])
DATASET = flags.DEFINE_enum(
    "dataset",
    "shapes",
    ["shapes", "cifar10", "cifar100", "stl10", "imagenet100"],
    "Data set: that of the recipe of this name.",
    **_own,
)
SIZE = flags.DEFINE_enum(
    "size",
    "small",
    ["small", "paper"],
    "For minutes on a CPU, or the recipe's.",
    **_own,
)
SEEDS = flags.DEFINE_integer("seeds", 3, "Runs of each setting.", 1, **_own)
FIRST_SEED = flags.DEFINE_integer("first_seed", 0, "The first of the seeds.", 0, **_own)
WORKDIR = flags.DEFINE_string("workdir", "runs/studies", "Folder of the runs.", **_own)
OUT = flags.DEFINE_string("out", "recipes/results", "Folder of the results.", **_own)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the data.", **_own)


def main(study, choice=False):
    """The command line of a study, a function of `Runs` and the folder for results."""

    def start(argv):
        if argv[1:]:
            raise app.UsageError(f"These are not flags: {argv[1:]}")
        out = pathlib.Path(OUT.value).expanduser()
        out.mkdir(parents=True, exist_ok=True)
        records.commit()  # It may be another when the study ends.
        runs = open_runs(choice)
        if not choice:
            versions.refuse_other_results(out, runs)
        study(runs, out)

    app.run(start)


def open_runs(choice=False):
    """`Runs` as the flags say; those for a `choice` of settings lie apart."""
    dataset, size = DATASET.value, SIZE.value
    recipe, table = sizes.settings_of(dataset, size)
    if choice:  # What it finds may enter the table, and its runs stay those they were.
        chosen = "learning_rate", "beta"
        table = {
            views: {name: x for name, x in row.items() if name not in chosen}
            for views, row in table.items()
        }
    seeds = range(FIRST_SEED.value, FIRST_SEED.value + SEEDS.value)
    title = f"{dataset}-{size}"
    folder = pathlib.Path(WORKDIR.value).expanduser()
    folder /= f"{title}-search" if choice else title
    recipe = dataclasses.replace(recipe, data_dir=DATA_DIR.value)
    splits = mv.data.load(dataset, recipe.data_dir, image_size=recipe.image_size)
    runs = Runs(title, recipe, table, folder, seeds, splits, choice)
    versions.check_manifest(runs)
    return runs


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        setting: `{name: value}` of `SETTING`.
        seed: int.
        curve: A dict per epoch with a probe; the first is of random weights.
        results: Those of `training.run`, with one more probe at the end: on 4 views,
            or on held-out training images, for a choice.
    """

    setting: dict
    seed: int
    curve: list
    results: dict


class Runs:
    """Runs on one data set, below one folder, of one version.

    Args:
        title: Of the data set and its size.
        recipe: `Recipe` that settings change.
        table: Settings that go with views, of `training.tuned`.
        folder: Where the runs are.
        seeds: Seeds of each setting.
        splits: The data, of `data.load`.
        choice: Whether settings are chosen by these runs: by a probe at their end, on
            training images that its classifier did not see.
    """

    def __init__(self, title, recipe, table, folder, seeds, splits, choice=False):
        if choice:
            recipe = dataclasses.replace(recipe, probe_every=max(CURVE, recipe.epochs))
        self.title, self.recipe, self.table = title, recipe, table
        self.folder, self.seeds, self.splits = folder, list(seeds), splits
        self.choice = choice

    @property
    def images(self):
        """The number of images to pretrain on."""
        pretrain = self.splits.pretrain
        if hasattr(pretrain, "element_spec"):
            return int(pretrain.cardinality())
        return len(pretrain)

    def recipe_for(self, setting, seed):
        """The recipe of a run, with what goes with its views."""
        recipe = dataclasses.replace(self.recipe, **setting, seed=seed)
        with contextlib.redirect_stdout(io.StringIO()):  # Most D are not in the table.
            recipe = training.tuned(recipe, self.table, keep=setting)
        if recipe.epochs >= CURVE:
            return recipe
        steps = round(recipe.fraction * self.images) // recipe.batch_size
        return dataclasses.replace(
            recipe,
            steps_per_epoch=max(1, steps * recipe.epochs // CURVE),
            epochs=CURVE,
            warmup_epochs=recipe.warmup_epochs * CURVE / recipe.epochs,
        )

    def beta_of(self, setting):
        """The β of a setting, a number."""
        recipe = self.recipe_for(setting, 0)
        return recipe.make_loss().resolve_beta(recipe.projector_dim)

    def run(self, settings):
        """Makes the runs of some settings that are not there yet; a list of `Run`."""
        plan = []
        for seed in self.seeds:
            for setting in settings:
                recipe = self.recipe_for(setting, seed)
                plan.append((recipe, self.folder / self._name(recipe, setting)))
        views = [self._views(recipe) for recipe, _ in plan]
        done = [(folder / "probes.json").exists() for _, folder in plan]
        spent = made = 0
        for index, (recipe, folder) in enumerate(plan):
            if done[index]:
                continue
            left = sum(v for v, finished in zip(views, done) if not finished)
            seconds = made and spent / made * left
            _show(sum(done), len(done), 1 - left / sum(views), seconds)
            print(folder.name, flush=True)
            start = time.perf_counter()
            keras.utils.clear_session()
            self._share_baselines(recipe, folder)
            training.run(recipe, folder, resume="auto")
            self._probe(recipe, folder)
            done[index] = True
            spent += time.perf_counter() - start
            made += views[index]
        _show(sum(done), len(done), 1.0, 0)
        return [read(folder) for _, folder in plan]

    def _share_baselines(self, recipe, folder):
        """Probes of pixels, and of a seed's random weights, are made once."""
        known = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in self.folder.glob(f"*/{baselines.FILE}")
        ]
        if folder.exists() or not known:
            return

        def usable(content):
            return content["of"]["seed"] == recipe.seed, len(content["probe"])

        found = max(known, key=usable)
        of, accuracies = found["of"], found["probe"]
        if of["seed"] != recipe.seed:
            of["seed"] = recipe.seed
            accuracies.pop("random_init", None)
        folder.mkdir()
        baselines.write(folder, of, accuracies)

    def found(self):
        """The finished runs of all settings that have one with each of the seeds."""
        runs = [read(path.parent) for path in sorted(self.folder.glob("*/probes.json"))]
        runs = [run for run in runs if run.seed in self.seeds]
        seeds = collections.defaultdict(set)
        for run in runs:
            seeds[tuple(run.setting.values())].add(run.seed)
        whole = {setting for setting, found in seeds.items() if found == {*self.seeds}}
        return [run for run in runs if tuple(run.setting.values()) in whole]

    def _name(self, recipe, setting):
        named = {
            "views": recipe.views,
            "fraction": recipe.fraction,
            "projector": recipe.projector_dim,
            "beta": recipe.make_loss().resolve_beta(recipe.projector_dim),
        }
        named |= {name: x for name, x in setting.items() if name not in SETTING}
        named["seed"] = recipe.seed
        return ",".join(
            f"{name}={x:.4g}" if isinstance(x, float) else f"{name}={x}"
            for name, x in named.items()
        )

    def _views(self, recipe):
        steps = recipe.steps_per_epoch or (
            round(recipe.fraction * self.images) // recipe.batch_size
        )
        return recipe.views * recipe.batch_size * steps * recipe.epochs

    def _probe(self, recipe, folder):
        """The probe that a recipe has not; its own is on one clean view."""
        encoder = keras.saving.load_model(folder / "encoder.keras", compile=False)
        extract, probe = mv.evaluation.extract_features, mv.evaluation.linear_probe
        if self.choice:
            # A fifth of the training images stands in for the test.
            features, labels = extract(encoder, self.splits.train)
            order = np.random.default_rng(0).permutation(len(labels))
            held_out, kept = np.split(order, [len(order) // 5])
            name = "validation"
            parts = [(features[rows], labels[rows]) for rows in (kept, held_out)]
        else:
            augmentation = recipe.augmentation_for(self.splits.image_shape)
            views = mv.views.RandomViews(augmentation, PROBE_VIEWS)
            name = "4_views"
            parts = [
                extract(encoder, part, 512 // PROBE_VIEWS, views)
                for part in (self.splits.train, self.splits.test)
            ]
        probes = {name: probe(*parts).accuracy}
        records.write_json(folder / "probes.json", probes)


def read(folder):
    """The `Run` in a folder."""
    results, config, probes = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("results", "config", "probes")
    )
    results["probe"] |= probes
    start = results["probe"]["random_init"]
    curve = [dict(epoch=0, views_seen=0, seconds=0.0, accuracy=start)]
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["probe_accuracy"]]
    for row in rows:
        new = {name: int(float(row[name])) for name in ("epoch", "views_seen")}
        new |= {"seconds": float(row["seconds"])}
        curve.append(new | {"accuracy": float(row["probe_accuracy"])})
    setting = {name: results[name] for name in SETTING}
    return Run(setting, config["seed"], curve, results)


def _show(done, total, share, seconds):
    """One line of progress over all runs."""
    bar = ("=" * round(20 * share)).ljust(20, ".")
    left = f", about {seconds / 60:.0f} min left" if seconds else ""
    print(f"[{bar}] {done}/{total} runs, {share:.0%} of the views{left}", flush=True)
