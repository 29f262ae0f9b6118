"""Seconds of the probes and spectra, accuracy beside scikit-learn's, cost of features.

    python recipes/benchmarks/evaluation.py --out=evaluation

Features are rectified random mixtures of 512 latent variables whose variance decays as
1/rank, with a mean for each class. scikit-learn (in the `test` extra) fits its
multinomial logistic regression to the same standardised features for several C; its
best accuracy on the *test* examples counts, which is more than it could choose fairly.
Features of images are extracted beside plain forward passes of as many batches that are
ready, the fastest of three; probes are timed once.
"""

import pathlib
import time

import keras
import numpy as np
from absl import app
from absl import flags

import keras_mvssl as mv
from keras_mvssl import distribution
from keras_mvssl.training import results as records

ROWS = flags.DEFINE_integer("rows", 50_000, "Training examples; a fifth for testing.")
FEATURES = flags.DEFINE_list("features", ["512", "2048", "8192"], "Features F.")
CLASSES = flags.DEFINE_list(
    "classes", ["10", "100"], "Classes; all but the first at F=512."
)
IMAGES = flags.DEFINE_integer("images", 60_000, "Images to extract features of.")
STRENGTHS = flags.DEFINE_list(
    "strengths",
    ["1e-3", "3e-3", "7e-3", "2e-2", "1e-1"],
    "C of scikit-learn, at F=512.",
)
OUT = flags.DEFINE_string("out", None, "Path for results, without .json.")

LATENT = 512


def features(rows, dim, classes):
    """Labelled training and test features."""
    rng = np.random.default_rng(0)
    scale = np.arange(1, LATENT + 1) ** -0.5
    centers = rng.normal(size=(classes, LATENT)) * 0.15 * scale
    mix = rng.normal(size=(LATENT, dim)).astype("float32")
    y = rng.integers(0, classes, rows + rows // 5)
    latent = centers[y] + rng.normal(size=(len(y), LATENT)) * scale
    x = np.maximum(latent.astype("float32") @ mix, 0)
    return (x[:rows], y[:rows]), (x[rows:], y[rows:])


def timed(function, *arguments, **settings):
    start = time.perf_counter()
    result = function(*arguments, **settings)
    return result, round(time.perf_counter() - start, 3)


def probes(rows, dim, classes):
    train, test = features(rows, dim, classes)
    row = {"rows": rows, "features": dim, "classes": classes}
    for protocol in ("logistic", "ridge"):
        probe = mv.evaluation.linear_probe
        found, row[f"{protocol} seconds"] = timed(probe, train, test, protocol=protocol)
        row[f"{protocol} accuracy"], row[f"{protocol} l2"] = found.accuracy, found.l2
    found, row["knn seconds"] = timed(mv.evaluation.knn, train, test)
    row["knn accuracy"] = found.accuracy
    _, row["spectrum seconds"] = timed(mv.evaluation.spectrum, train[0])
    if dim == 512:
        row |= scikit_learn(train, test)
    return row


def scikit_learn(train, test):
    """The best test accuracy over C, and the time of all its fits."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train[0])
    x, x_test = scaler.transform(train[0]), scaler.transform(test[0])
    accuracies, start = {}, time.perf_counter()
    for strength in STRENGTHS.value:
        # Its C is 1 / (l2 * rows) of ours.
        model = LogisticRegression(C=float(strength), max_iter=1000)
        accuracies[strength] = model.fit(x, train[1]).score(x_test, test[1])
    best = max(accuracies, key=accuracies.get)
    return {
        "scikit-learn accuracy": accuracies[best],
        "scikit-learn C": float(best),
        "scikit-learn seconds": round(time.perf_counter() - start, 3),
    }


def extraction(count, batch_size=512):
    """Seconds of extracting features, beside as many plain forward passes."""
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), "uint8")
    labels = np.zeros(count, int)
    encoder = mv.models.TinyResNet((32, 32, 3))
    batch, steps = images[:batch_size], -(-count // batch_size)

    def plain():
        for _ in range(steps):
            encoder.predict_on_batch(batch)

    def ours():
        mv.evaluation.extract_features(encoder, (images, labels), batch_size)

    encoder.predict_on_batch(batch)
    times = [(timed(plain)[1], timed(ours)[1]) for _ in range(3)]
    plain_seconds, seconds = map(min, zip(*times, strict=True))
    return {
        "images": count,
        "forward seconds": plain_seconds,
        "extraction seconds": seconds,
        "extraction over forward": round(seconds / plain_seconds, 3),
    }


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"These are not flags: {argv[1:]}")
    dims, classes = map(int, FEATURES.value), [int(x) for x in CLASSES.value]
    cases = [(dim, classes[0]) for dim in dims] + [(512, x) for x in classes[1:]]
    result = {"extraction": extraction(IMAGES.value), "probes": []}
    print(result["extraction"], flush=True)
    for dim, count in cases:
        row = probes(ROWS.value, dim, count)
        result["probes"].append(row)
        print(row, flush=True)
    result |= {"device": distribution.device_name(), **records.provenance()}
    result["backend"] = keras.backend.backend()
    if OUT.value:
        records.write_json(pathlib.Path(f"{OUT.value}.json"), result)


if __name__ == "__main__":
    app.run(main)
