"""Checks that runs in one folder, and results in another, were made in the same way."""

import dataclasses
import json

import keras_mvssl as mv

# Settings of a recipe that do not change the result of a run.
FREE_SETTINGS = (
    *("devices", "workers", "checkpoint_minutes", "checkpoint_steps"),
    "on_bad_image",
)


def check_manifest(runs):
    """Write the manifest of a folder of runs, or check that these runs have the same.

    Args:
        runs: `Runs`.

    Raises:
        ValueError: For runs without a manifest, or with another one: of another
            version, backend, device, recipe or data set.
    """
    base = dataclasses.asdict(runs.recipe)
    del base["data_dir"], base["seed"]
    mine = {
        "version": mv.__version__,
        **_environment(),
        **base,
        "table": runs.table,
        "data": runs.splits.fingerprint(),
    }
    path = runs.folder / "manifest.json"
    if not path.exists():
        if any(runs.folder.glob("*/config.json")):
            raise ValueError(
                "The runs in `workdir` have no manifest.json, which says how runs were "
                "made. New runs are not added to them: choose another `workdir`. "
                f"Received: workdir={runs.folder}"
            )
        mv.training.write_json(path, mine)
    known = json.loads(path.read_text(encoding="utf-8"))
    mine = json.loads(json.dumps(mine))  # as `known`, with lists in place of tuples
    checked = {k: value for k, value in mine.items() if k not in FREE_SETTINGS}
    if other := _differences(known, checked):
        raise ValueError(
            "`workdir` holds runs that were made with other settings or versions. "
            "Choose another folder, or the settings and versions of those runs. "
            f"Received: workdir={runs.folder}; {'; '.join(other)}"
        )


def refuse_other_results(out, runs):
    """Check that a study does not replace, or join, results that were made otherwise.

    Args:
        out: Folder of results.
        runs: `Runs`.

    Raises:
        ValueError: For results with another backend, device or version, or with seeds
            that these runs do not have.
    """
    for path in sorted(out.glob(f"*-{runs.title}.json")):
        known = json.loads(path.read_text(encoding="utf-8"))
        if "settings" not in known:
            continue  # The file is the result of a search.
        other = _differences(known | known["versions"], _environment())
        seeds = {seed for row in known["settings"] for seed in row["seeds"]}
        if not seeds <= set(runs.seeds):
            other.append(f"seeds: {sorted(seeds)} there, {runs.seeds} here")
        if other:
            raise ValueError(
                "There are results in `out` that were made otherwise. They are not "
                "replaced, and no others are put beside them: choose another `out`. "
                f"Received: out={out}; {path.name}: {'; '.join(other)}"
            )


def refuse_other_file(path):
    """Check that results are not added to a file that was made otherwise.

    Args:
        path: JSON file of results, which need not exist.

    Raises:
        ValueError: For a file with another backend, device or version.
    """
    if not path.exists():
        return
    known = json.loads(path.read_text(encoding="utf-8"))
    if other := _differences(known | known["versions"], _environment()):
        raise ValueError(
            "There are results in `out` that were made otherwise, and others are not "
            "put beside them: choose another `out`. "
            f"Received: out={path.parent}; {path.name}: {'; '.join(other)}"
        )


def _environment():
    """Return the backend, the device and the versions that results depend on."""
    found = mv.training.provenance()
    versions = {k: value for k, value in found["versions"].items() if k != "python"}
    names = "backend", "device", "stream_version"
    return {name: found[name] for name in names} | versions


def _differences(known, mine):
    """List the entries of `mine` that differ from `known`, for an error message."""
    known = {"stream_version": 1, **known}  # Older files do not name theirs.
    return [
        f"{name}: {known.get(name)!r} there, {value!r} here"
        for name, value in mine.items()
        if known.get(name) != value
    ]
