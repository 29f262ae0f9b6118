"""
Title: Reading the diagnostics
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/28
Description: Terms of the loss, collapse, α, RankMe and probes: what they say, and what to do.
"""

"""
Pretraining uses no labels, so a falling loss does not tell good features from useless ones. Log
the following measurements from the start.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_mvssl as mv

images, _ = mv.data.shapes.draw(2000, seed=0)
train, test = mv.data.shapes.draw(1500, seed=1), mv.data.shapes.draw(1000, seed=2)


def fit(beta, epochs=3):
    keras.utils.set_random_seed(0)
    encoder = mv.models.TinyResNet((32, 32, 3), width=8)
    model = mv.MultiViewModel(
        encoder,
        mv.models.Projector(encoder.output_shape[-1], dim=64),
        mv.views.RandomViews(mv.views.Augmentation.preset("shapes"), views=4),
    )
    model.compile(keras.optimizers.AdamW(2e-3), mv.losses.BarlowTwins(beta=beta))
    spectrum = mv.callbacks.Spectrum(test[0])
    callbacks = [
        mv.callbacks.LinearProbe(train, test),
        mv.callbacks.KNNProbe(train, test),
        spectrum,
        mv.callbacks.MetricsCSV(f"beta_{beta}.csv"),
    ]
    stream = mv.data.batches(images, batch_size=64)
    history = model.fit(stream, epochs=epochs, callbacks=callbacks, verbose=0)
    return history.history, spectrum.latest


"""
## A good run and a bad one

β = 4/64 is the default for 64 features. With β = 0 the loss ignores the redundancy, so nothing
keeps features apart.
"""

runs = {"β = 4/64": fit(4 / 64), "β = 0": fit(0.0)}
for name, (logs, _) in runs.items():
    print(name)
    for key in (
        *("loss", "invariance", "redundancy", "probe_accuracy", "knn_accuracy"),
        *("rankme", "effective_rank", "projection_effective_rank"),
    ):
        print(f"  {key:26}", *(f"{value:9.3f}" for value in logs[key]))

"""
## The measurements

| In the logs | Meaning | Worry when |
|---|---|---|
| `invariance` | disagreement of the views, per feature; 0 means that they agree | it does not fall: the views share too little, or the learning rate is too high |
| `redundancy` | mean squared correlation of two different features (Barlow Twins) | it stays near 1: features repeat each other |
| `projection_effective_rank` | number of directions that the projections use, out of D | it stays below 2, or below 5 % of D: the projections collapse, and `Spectrum` warns |
| `rankme`, `effective_rank` | number of directions that the features of the encoder use | it falls while the loss falls |
| `feature_std` | standard deviation of the features of the encoder, averaged over features | it goes to 0 |
| `alpha`, `alpha_r_squared` | decay of the spectrum, eigenvalue ∝ rank^-α (near 1 is good), and how well this law fits | α is well above 1: few directions carry everything; compare α only at equal numbers of images |
| `probe_accuracy` | accuracy on test images of a linear classifier on the frozen features | it is no better than with random weights |
| `knn_accuracy` | accuracy of nearest neighbours, for which nothing is trained | it falls while the probe rises: properties that do not matter dominate the distances |
| `views_per_second`, `data_wait` | speed; share of the time spent waiting for data (`Throughput`) | `data_wait` is large |

After three epochs with TensorFlow on a CPU, the two runs (β = 4/64 and β = 0) gave: loss 20.0 and
0.6, probe 39.7 % and 28.1 %, effective rank of the projections 17.7 and 1.1. β = 0 has the lower
loss and the worse features: *never compare losses of different β, D or V.* The two terms are
logged per feature, and can be compared across β and D.

## The spectrum
"""

figure, axis = plt.subplots(figsize=(4.5, 3), layout="constrained")
for name, (_, found) in runs.items():
    ranks = np.arange(1, len(found.eigenvalues) + 1)
    positive = found.eigenvalues > 0
    axis.loglog(ranks[positive], found.eigenvalues[positive], label=name)
axis.set(xlabel="rank", ylabel="eigenvalue of the features")
axis.legend(frameon=False)
figure.savefig("spectrum.png", dpi=100)

"""
## What to do when

- **The projections collapse.** Features are learned one after another, and the time until the
  second one grows as 1/β: with a small β, training looks like collapse for long. Try a larger β,
  a warm-up, larger batches or more steps.
- **The probe stays at the accuracy of random weights.** Look at the views first. Then try a third
  of the learning rate, and three times the learning rate.
- **The probe rises and then falls.** The encoder learns to ignore what differs between views: make
  the crops or the changes of colour weaker.
- **The loss is not finite.** `callbacks.StopOnDivergence()` ends the training, and says at which
  step and what to try.
- **Nothing falls with a batch of 16.** The loss uses statistics of the batch: use at least 64
  images.

## After training

`python recipes/evaluate.py encoder.keras --dataset=shapes` measures a saved encoder in all these
ways. With `--export_features=features.npz` it also saves the features.

In Python, extract `train` and `test` with `evaluation.extract_features`, and then call:

- `evaluation.linear_probe(train, test)`, also with `protocol="ridge"` or `protocol="paper"`, or with
  `fraction=0.01` for 1 % of the labels. The strength of the regularisation is chosen on held-out
  training labels, never on the test images. With synthetic features, the logistic probe was as
  accurate as scikit-learn's logistic regression at its best strength
  ([benchmarks](../recipes/benchmarks/README.md)).
- `evaluation.knn(train, test, k=20)` for nearest neighbours.
- `evaluation.spectrum(train[0])`, whose `power_law` has α, R² and the ranks of the fit.

A recipe writes its measurements to `report.html`, one file without scripts or network requests. The
report shows the results, curves over epochs, views and seconds, the eigenspectrum, the views,
nearest neighbours, a map of the features, the confusion matrix (with labels), where the time went,
and all settings. `python -m keras_mvssl.report RUN RUN` puts several runs side by side.
"""
