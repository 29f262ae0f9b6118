"""
Title: Reading the diagnostics
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/25
Description: Terms of the loss, collapse, α, RankMe and probes: what they say, and what to do.
"""

"""
There are no labels in pretraining, so that a falling loss does not tell good features from
useless ones. Log these from the start.
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
## Two runs, one of them bad

β = 4/64 is the default. β = 0 forgets the redundancy: nothing keeps features apart.
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
## What each says

| In the logs | Says | Worry when |
|---|---|---|
| `invariance` | how far views disagree, per feature; 0 is agreement | it does not fall: views share too little, or the rate is too high |
| `redundancy` | mean squared correlation of two different features (Barlow Twins) | it stays near 1: features repeat each other |
| `projection_effective_rank` | directions that the projections use, of D | it stays below 2, or 5 % of D: collapse; `Spectrum` warns |
| `rankme`, `effective_rank` | directions that the encoder's features use | they fall while the loss falls |
| `feature_std` | standard deviation of the encoder's features, their mean | it goes to 0 |
| `alpha`, `alpha_r_squared` | decay of the spectrum, eigenvalue ∝ rank^-α, near 1 is good; how well that fits | well above 1: few directions carry all; compare at equal numbers of images |
| `probe_accuracy` | what a linear classifier reads from frozen features, on test images | it is no better than with random weights |
| `knn_accuracy` | the same without fitting anything | it falls while the probe rises: distances are dominated by nuisance |
| `views_per_second`, `data_wait` | speed; share of time without data (`Throughput`) | `data_wait` is large |

With TensorFlow on a CPU, after three epochs: loss 20.0 and 0.6, probe 39.7 % and 28.1 %, directions
of the projections 17.7 and 1.1. The loss of β = 0 is the lower one, and its features are the poorer
ones: *never compare losses of different β, D or V.* The terms are per feature, and may be compared
across β and D; with V = 2, which compares pairs of views, they mean something else.

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

- **Projections collapse.** Features are learned one after another, the second in a time that grows
  as 1/β: a small β looks like collapse for long. Larger β, warm-up, larger batches, more steps.
- **The probe stays at random weights.** Look at the views. Then the learning rate: a third, and
  three times.
- **The probe rises and then falls.** Views are what it learns to ignore: weaker crops or colours.
- **The loss is not finite.** `callbacks.StopOnDivergence()` says where and what to try.
- **Nothing falls with a batch of 16.** The statistics are those of a batch; have 64 images at
  least.

## Afterwards

All of these on a saved encoder: `python recipes/evaluate.py encoder.keras --dataset=shapes`. A run
of a recipe has them in its `report.html`, and `python -m keras_mvssl.report RUN RUN` puts several
side by side. Strengths of regularisation are chosen on held-out training labels, never on test.
"""
