"""The results of a run, in files and on the screen."""

import pathlib
import sys

import keras

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.files import atomic_write
from keras_mvssl._internal.files import warn_on_error
from keras_mvssl.evaluation.batch_statistics import lags
from keras_mvssl.training.baselines import PROBES
from keras_mvssl.training.provenance import provenance

# Settings that stand in `results.json` as they do in `config.json`.
SETTINGS = (
    *("dataset", "views", "fraction", "loss", "projector_dim", "backbone"),
    *("batch_size", "augment", "precision", "optimizer", "seed", "epochs"),
)


def collect(config, model, watchers, probe, clock):
    """Collect the results of a run: the content of `results.json`, a dict.

    Args:
        config: Content of its `config.json`.
        model: The trained model.
        watchers: The `Watchers` of the run.
        probe: Accuracies of its probes, by the names in `baselines.PROBES`.
        clock: The `Clock` of the run.
    """
    throughput, last = watchers.throughput, watchers.metrics.rows[-1]
    images = config["views"] * config["batch_size"]
    return {
        **describe(config, model),
        "steps": throughput.views_seen // images,
        "updates": int(_backend.value_of(model.optimizer.iterations)),
        "views_seen": throughput.views_seen,
        "seconds": round(throughput.seconds, 3),
        "views_per_second": round(throughput.views_seen / throughput.seconds, 1),
        "loss_final": last.get("loss"),
        "peak_memory": _backend.peak_memory(),
        "probe": probe,
        "batch_statistics": "of images" if lags(model) else "of training",
        "time": clock.seconds,
        **provenance(),
    }


def describe(config, model):
    """Return the settings for `results.json`; None for those that the loss lacks."""
    has_beta = hasattr(model.loss, "resolve_beta")
    dim = config["projector_dim"]
    return {
        "recipe": pathlib.Path(sys.argv[0]).stem,
        **{name: config[name] for name in SETTINGS},
        "beta": model.loss.resolve_beta(dim) if has_beta else None,
        "pairing": getattr(model.loss, "pairing", None),
        "devices": distribution.replicas(),
    }


def announce(config, splits, model):
    """Print the settings of a run that is about to begin."""
    print(
        f"{splits.name}: {config['views']} views, batches of {config['batch_size']} "
        f"images, {config['epochs']} epochs of {config['steps_per_epoch']} steps; "
        f"{config['backbone']} with {model.encoder.count_params():,} parameters, "
        f"projector of {config['projector_dim']}; Keras on "
        f"{keras.backend.backend()}, {_backend.device_name()}"
    )


def list_bad_images(splits, output):
    """Add skipped images to `bad_images.txt`, and return how many there are."""
    path = output / "bad_images.txt"
    found = [x.encode("utf-8", "backslashreplace").decode() for x in splits.bad_images]
    with warn_on_error(path):
        if path.exists():
            before = path.read_text(encoding="utf-8", errors="backslashreplace")
            found = [*before.splitlines(), *found]
        found = list(dict.fromkeys(found))
        if found:
            with atomic_write(path) as unfinished:
                unfinished.write_text("\n".join(found) + "\n", encoding="utf-8")
    return len(set(found))


def summarize(results, output, names=PROBES):
    """Print the results of a run, with the names of its probes."""
    if results["probe"]["final"] is not None:
        print("Linear probe, accuracy on the test images:")
        for key, name in names.items():
            print(f"  {name:16}{results['probe'][key]:7.1%}")
        if results["probe"]["final"] <= results["probe"]["random_init"]:
            print(
                f"The encoder is no better than {names['random_init']}: train for "
                "longer, or look at the views."
            )
    print(
        f"{results['views_seen']:,} views in {results['seconds']:.0f} s of training "
        f"({results['views_per_second']:,.0f} views/s)"
    )
    if not results["updates"]:
        print(
            "No weight changed: the run was shorter than the steps that float16's loss "
            "scale skips at first, or than those that are accumulated."
        )
    print(f"Encoder saved to {output / 'encoder.keras'}")
    print(f"Report: {output / 'report.html'}")
