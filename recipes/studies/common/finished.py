"""Finished runs of a study, read back from their folders."""

import collections
import csv
import dataclasses
import json

# Names of what makes up a setting. Runs of one setting differ in the seed.
SETTING_NAMES = ("views", "fraction", "projector_dim", "beta")


@dataclasses.dataclass(frozen=True)
class StudyRun:
    """A finished run of a study.

    Attributes:
        setting: `{name: value}` of `SETTING_NAMES`.
        seed: int.
        curve: A dict for each epoch with a probe; the first is of random weights.
        results: The results of `training.run`, with one more probe at the end: on 4
            views, or in a search on held-out training images.
    """

    setting: dict
    seed: int
    curve: list
    results: dict


def read_run(folder):
    """Read the `StudyRun` in a folder."""
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
    setting = {name: results[name] for name in SETTING_NAMES}
    return StudyRun(setting, config["seed"], curve, results)


def read_runs(folder, seeds):
    """Read the finished runs of all settings that have one with each seed.

    Args:
        folder: Folder of the folders of runs.
        seeds: List of seeds.
    """
    runs = [read_run(path.parent) for path in sorted(folder.glob("*/probes.json"))]
    runs = [run for run in runs if run.seed in seeds]
    seeds_of = collections.defaultdict(set)
    for run in runs:
        seeds_of[tuple(run.setting.values())].add(run.seed)
    complete = {setting for setting, found in seeds_of.items() if found == {*seeds}}
    return [run for run in runs if tuple(run.setting.values()) in complete]
