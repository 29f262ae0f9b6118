"""What must be the same for runs to lie in one folder, and results in another."""

import dataclasses
import json

import keras

import keras_mvssl as mv
from keras_mvssl import distribution
from keras_mvssl.training import results as records
from keras_mvssl.training import workdir


def check_manifest(runs):
    """Refuses runs that this version, on this backend, would not have made."""
    base = dataclasses.asdict(runs.recipe)
    del base["data_dir"], base["seed"]
    mine = {
        "version": mv.__version__,
        "backend": keras.backend.backend(),
        "device": distribution.device_name(),
        **distribution.versions(),
        **base,
        "table": runs.table,
        "data": {
            name: records.identity(getattr(runs.splits, name))
            for name in ("pretrain", "train", "test")
        },
    }
    path = runs.folder / "manifest.json"
    if not path.exists():
        if any(runs.folder.glob("*/config.json")):
            raise ValueError(
                "The runs in `workdir` have no manifest.json, which says how they "
                "were made. They are not mixed with others: choose another "
                f"`workdir`. Received: workdir={runs.folder}"
            )
        runs.folder.mkdir(parents=True, exist_ok=True)
        records.write_json(path, mine)
    known = json.loads(path.read_text(encoding="utf-8"))
    workdir.refuse_other_settings(known, mine, runs.folder)


def refuse_other_results(out, runs):
    """Raises ValueError where a study would replace, or join, results unlike its own.

    Args:
        out: Folder of results.
        runs: `Runs`.
    """
    mine = {
        "backend": keras.backend.backend(),
        "device": distribution.device_name(),
        **distribution.versions(),
    }
    for path in sorted(out.glob(f"*-{runs.title}.json")):
        known = json.loads(path.read_text(encoding="utf-8"))
        if "settings" not in known:
            continue  # a search
        known |= known["versions"]
        other = [
            f"{name}: {known.get(name)!r} there, {value!r} here"
            for name, value in mine.items()
            if known.get(name) != value
        ]
        seeds = {seed for row in known["settings"] for seed in row["seeds"]}
        if not seeds <= set(runs.seeds):
            other.append(f"seeds: {sorted(seeds)} there, {runs.seeds} here")
        if other:
            raise ValueError(
                "There are results in `out` that were made otherwise. They are not "
                "replaced, nor others put beside them: choose another `out`. "
                f"Received: out={out}; {path.name}: {'; '.join(other)}"
            )
