"""A grid of runs in folders: its command line, its runs and their progress.

A run lies in a folder named by its settings, `views=4,fraction=0.5,...,seed=0`, below
`workdir`/dataset-size. `keras_mvssl.training.run` makes it, unless it is there already:
studies share their runs, and a study that was interrupted goes on where it ended.
`finished.py` reads finished runs back, and `tables.py` writes the results.
"""

import contextlib
import dataclasses
import io
import json
import pathlib
import sys
import time

import keras
import numpy as np
from absl import app
from absl import flags

import keras_mvssl as mv
from common import finished
from common import sizes
from common import versions
from keras_mvssl import training

# Views over which features are averaged in the second probe, for every encoder.
PROBE_VIEWS = 4
# Epochs that a shorter run is cut into, so that its curve has some points.
MIN_EPOCHS = 4
# File in the folder of a run, `{"of": {setting: value}, "probe": {name: accuracy}}`:
# probes of pixels and of random weights, and the settings that they depend on.
BASELINES_FILE = "baselines.json"

# Shows the flags as those of the script.
_of_script = dict(module_name=sys.argv[0])
DATASET = flags.DEFINE_enum(
    "dataset",
    "shapes",
    ["shapes", "cifar10", "cifar100", "stl10", "imagenet100"],
    "Name of the recipe whose data set is used.",
    **_of_script,
)
SIZE = flags.DEFINE_enum(
    "size",
    "small",
    ["small", "paper"],
    "Size of the runs: `small` for minutes on a CPU, or `paper` for the recipe's.",
    **_of_script,
)
SEEDS = flags.DEFINE_integer(
    "seeds", 3, "Number of runs of each setting.", 1, **_of_script
)
FIRST_SEED = flags.DEFINE_integer(
    "first_seed", 0, "First of the seeds.", 0, **_of_script
)
WORKDIR = flags.DEFINE_string(
    "workdir", "runs/studies", "Folder of the runs.", **_of_script
)
OUT = flags.DEFINE_string(
    "out", "recipes/results", "Folder of the results.", **_of_script
)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the data.", **_of_script)


def main(study, is_search=False):
    """Run a study from the command line.

    Args:
        study: Function of `Runs` and the folder of results.
        is_search: Whether the study chooses settings, as in `Runs`.
    """

    def start(argv):
        mv.training.provenance()  # keeps the commit that the study began with
        if argv[1:]:
            raise app.UsageError(f"These are not flags: {argv[1:]}")
        out = pathlib.Path(OUT.value).expanduser()
        out.mkdir(parents=True, exist_ok=True)
        runs = open_runs(is_search)
        if not is_search:
            versions.refuse_other_results(out, runs)
        study(runs, out)

    app.run(start)


def open_runs(is_search=False):
    """Return the `Runs` that the flags describe; runs of a search lie apart."""
    dataset, size = DATASET.value, SIZE.value
    recipe, table = sizes.settings_of(dataset, size)
    if is_search:
        # Settings that a search found may enter the table. Without them in its own
        # table, a search that is repeated makes the same runs.
        chosen = "learning_rate", "beta"
        table = {
            views: {name: x for name, x in row.items() if name not in chosen}
            for views, row in table.items()
        }
    seeds = range(FIRST_SEED.value, FIRST_SEED.value + SEEDS.value)
    title = f"{dataset}-{size}"
    folder = pathlib.Path(WORKDIR.value).expanduser()
    folder /= f"{title}-search" if is_search else title
    recipe = dataclasses.replace(recipe, data_dir=DATA_DIR.value)
    splits = mv.data.load(dataset, recipe.data_dir, image_size=recipe.image_size)
    runs = Runs(title, recipe, table, folder, seeds, splits, is_search)
    versions.check_manifest(runs)
    return runs


class Runs:
    """Runs on one data set, below one folder, of one version.

    Args:
        title: Names of the data set and of the size, `dataset-size`.
        recipe: `Recipe` that settings change.
        table: Settings that go with a number of views, for `training.tuned`.
        folder: Folder of the runs.
        seeds: Seeds of each setting.
        splits: The data, of `data.load`.
        is_search: Whether settings are chosen by these runs. Their last probe is then
            on training images that its classifier did not see.
    """

    def __init__(self, title, recipe, table, folder, seeds, splits, is_search=False):
        if is_search:
            every = max(MIN_EPOCHS, recipe.epochs)
            recipe = dataclasses.replace(recipe, probe_every=every)
        self.title, self.recipe, self.table = title, recipe, table
        self.folder, self.seeds, self.splits = folder, list(seeds), splits
        self.is_search = is_search

    @property
    def images(self):
        """Number of images to pretrain on."""
        pretrain = self.splits.pretrain
        if hasattr(pretrain, "element_spec"):
            return int(pretrain.cardinality())
        return len(pretrain)

    def recipe_for(self, setting, seed):
        """Return the recipe of a run, with the settings that go with its views."""
        recipe = dataclasses.replace(self.recipe, **setting, seed=seed)
        # Most projectors are not in the table, of which `tuned` would tell each time.
        with contextlib.redirect_stdout(io.StringIO()):
            recipe = training.tuned(recipe, self.table, keep=setting)
        if recipe.epochs >= MIN_EPOCHS:
            return recipe
        steps = round(recipe.fraction * self.images) // recipe.batch_size
        return dataclasses.replace(
            recipe,
            steps_per_epoch=max(1, steps * recipe.epochs // MIN_EPOCHS),
            epochs=MIN_EPOCHS,
            warmup_epochs=recipe.warmup_epochs * MIN_EPOCHS / recipe.epochs,
        )

    def beta_of(self, setting):
        """Return the β of a setting, a number."""
        recipe = self.recipe_for(setting, 0)
        return recipe.make_loss().resolve_beta(recipe.projector_dim)

    def run(self, settings):
        """Make the missing runs of some settings, and return all: `[StudyRun]`."""
        plan = []
        for seed in self.seeds:
            for setting in settings:
                recipe = self.recipe_for(setting, seed)
                plan.append((recipe, self.folder / self._name(recipe, setting)))
        views = [self._count_views(recipe) for recipe, _ in plan]
        done = [(folder / "probes.json").exists() for _, folder in plan]
        spent = made = 0  # seconds and views of the runs made here
        for index, (recipe, folder) in enumerate(plan):
            if done[index]:
                continue
            left = sum(v for v, is_done in zip(views, done) if not is_done)
            seconds = made and spent / made * left
            _show_progress(sum(done), len(done), 1 - left / sum(views), seconds)
            print(folder.name, flush=True)
            start = time.perf_counter()
            keras.utils.clear_session()
            self._share_baselines(recipe, folder)
            training.run(recipe, folder, resume="auto")
            self._probe(recipe, folder)
            done[index] = True
            spent += time.perf_counter() - start
            made += views[index]
        _show_progress(sum(done), len(done), 1.0, 0)
        return [finished.read_run(folder) for _, folder in plan]

    def _share_baselines(self, recipe, folder):
        """Give a new run the probes of pixels and random weights of earlier runs.

        Pixels are then probed once, and the random weights of each seed once.
        """
        known = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in self.folder.glob(f"*/{BASELINES_FILE}")
        ]
        if folder.exists() or not known:
            return

        def usefulness(content):
            return content["of"]["seed"] == recipe.seed, len(content["probe"])

        found = max(known, key=usefulness)
        of, accuracies = found["of"], found["probe"]
        if of["seed"] != recipe.seed:
            of["seed"] = recipe.seed
            accuracies.pop("random_init", None)
        content = {"of": of, "probe": accuracies}
        training.write_json(folder / BASELINES_FILE, content)

    def finished_runs(self):
        """Read the finished runs of all settings that have one with each seed."""
        return finished.read_runs(self.folder, self.seeds)

    def _name(self, recipe, setting):
        named = {
            "views": recipe.views,
            "fraction": recipe.fraction,
            "projector": recipe.projector_dim,
            "beta": recipe.make_loss().resolve_beta(recipe.projector_dim),
        }
        named |= {
            name: x for name, x in setting.items() if name not in finished.SETTING_NAMES
        }
        named["seed"] = recipe.seed
        return ",".join(
            f"{name}={x:.4g}" if isinstance(x, float) else f"{name}={x}"
            for name, x in named.items()
        )

    def _count_views(self, recipe):
        """Return how many views a run sees."""
        steps = recipe.steps_per_epoch or (
            round(recipe.fraction * self.images) // recipe.batch_size
        )
        return recipe.views * recipe.batch_size * steps * recipe.epochs

    def _probe(self, recipe, folder):
        """Write the probe that a recipe lacks, whose own is on one clean view."""
        encoder = keras.saving.load_model(folder / "encoder.keras", compile=False)
        extract, probe = mv.evaluation.extract_features, mv.evaluation.linear_probe
        if self.is_search:
            # A fifth of the training images stands in for the test images.
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
        training.write_json(folder / "probes.json", probes)


def _show_progress(done, total, share, seconds):
    """Print one line of progress over all runs."""
    bar = ("=" * round(20 * share)).ljust(20, ".")
    left = f", about {seconds / 60:.0f} min left" if seconds else ""
    print(f"[{bar}] {done}/{total} runs, {share:.0%} of the views{left}", flush=True)
