"""Time of probes, spectra and features, and accuracy beside that of scikit-learn.

    python recipes/benchmarks/evaluation.py --out=evaluation

Features are rectified random mixtures of 512 latent variables whose variance decays as
1/rank, with a mean for each class. scikit-learn (in the `test` extra) fits its
multinomial logistic regression to the same standardised features for several C. Its
best accuracy on the *test* examples counts, which flatters it: a fair choice of C could
not use them. The extraction of features of images is timed beside plain forward passes
of as many ready batches, and the fastest of three rounds counts; probes are timed once.
"""

import time

import numpy as np
from absl import app
from absl import flags

import keras_mvssl as mv

ROWS = flags.DEFINE_integer(
    "rows", 50_000, "Training examples. Test examples are a fifth as many."
)
FEATURES = flags.DEFINE_list(
    "features", ["512", "2048", "8192"], "Numbers of features F."
)
CLASSES = flags.DEFINE_list(
    "classes", ["10", "100"], "Numbers of classes; all but the first at F=512 only."
)
IMAGES = flags.DEFINE_integer(
    "images", 60_000, "Images that features are extracted of."
)
STRENGTHS = flags.DEFINE_list(
    "strengths",
    ["1e-3", "3e-3", "7e-3", "2e-2", "1e-1"],
    "Values of C for scikit-learn, at F=512.",
)
OUT = flags.DEFINE_string("out", None, "Path for results, without .json.")

# Latent variables that features are mixtures of.
LATENT = 512
# The number of features at which scikit-learn is fitted, and classes are varied.
COMPARED_FEATURES = 512


def features(rows, dim, classes):
    """Draw labelled training and test features."""
    rng = np.random.default_rng(0)
    scale = np.arange(1, LATENT + 1) ** -0.5
    centers = rng.normal(size=(classes, LATENT)) * 0.15 * scale
    mix = rng.normal(size=(LATENT, dim)).astype("float32")
    y = rng.integers(0, classes, rows + rows // 5)
    latent = centers[y] + rng.normal(size=(len(y), LATENT)) * scale
    x = np.maximum(latent.astype("float32") @ mix, 0)
    return (x[:rows], y[:rows]), (x[rows:], y[rows:])


def timed(function, *arguments, **settings):
    """Call a function, and return its result and the seconds that it took."""
    start = time.perf_counter()
    result = function(*arguments, **settings)
    return result, round(time.perf_counter() - start, 3)


def probes(rows, dim, classes):
    """Time each probe and the spectrum on one set of features, in a row of results."""
    train, test = features(rows, dim, classes)
    row = {"rows": rows, "features": dim, "classes": classes}
    for protocol in ("logistic", "ridge"):
        probe = mv.evaluation.linear_probe
        found, row[f"{protocol} seconds"] = timed(probe, train, test, protocol=protocol)
        row[f"{protocol} accuracy"], row[f"{protocol} l2"] = found.accuracy, found.l2
    found, row["knn seconds"] = timed(mv.evaluation.knn, train, test)
    row["knn accuracy"] = found.accuracy
    _, row["spectrum seconds"] = timed(mv.evaluation.spectrum, train[0])
    if dim == COMPARED_FEATURES:
        row |= scikit_learn(train, test)
    return row


def scikit_learn(train, test):
    """Find scikit-learn's best test accuracy over C, and the time of all its fits."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train[0])
    x, x_test = scaler.transform(train[0]), scaler.transform(test[0])
    accuracies, start = {}, time.perf_counter()
    for strength in STRENGTHS.value:
        # C of scikit-learn is 1 / (l2 * rows), with l2 as in `linear_probe`.
        model = LogisticRegression(C=float(strength), max_iter=1000)
        accuracies[strength] = model.fit(x, train[1]).score(x_test, test[1])
    best = max(accuracies, key=accuracies.get)
    return {
        "scikit-learn accuracy": accuracies[best],
        "scikit-learn C": float(best),
        "scikit-learn seconds": round(time.perf_counter() - start, 3),
    }


def extraction(count, batch_size=512):
    """Time the extraction of features, beside as many plain forward passes."""
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
    """Time everything, print the results and write them."""
    if argv[1:]:
        raise app.UsageError(f"These are not flags: {argv[1:]}")
    dims, classes = map(int, FEATURES.value), [int(x) for x in CLASSES.value]
    cases = [(dim, classes[0]) for dim in dims] + [
        (COMPARED_FEATURES, x) for x in classes[1:]
    ]
    result = {"extraction": extraction(IMAGES.value), "probes": []}
    print(result["extraction"], flush=True)
    for dim, count in cases:
        row = probes(ROWS.value, dim, count)
        result["probes"].append(row)
        print(row, flush=True)
    if OUT.value:
        result |= mv.training.provenance()
        mv.training.write_json(f"{OUT.value}.json", result)


if __name__ == "__main__":
    app.run(main)
