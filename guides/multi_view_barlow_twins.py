"""
Title: Multi-view Barlow Twins
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/28
Description: The paper step by step: the loss, small projectors and β, more views, fewer images.
"""

"""
This guide follows [*Harnessing small projectors and multiple views for efficient vision
pretraining*](https://arxiv.org/abs/2312.10725) (Ghosh, Agrawal et al., NeurIPS 2024).

## The loss

The projections have the shape `(B, V, D)`: B images, V views of each, D features. Each feature is
first standardised to mean 0 and variance 1. z̄ is the mean of the projections over the views of an
image. The loss has two terms:

- *invariance*: each view agrees with the mean view, feature by feature: Σᵢ(1 − ⟨zᵃᵢ, z̄ᵢ⟩/B)²;
- *redundancy*: different features of the mean view do not correlate: Σ_{i≠j}(⟨z̄ᵢ, z̄ⱼ⟩/B)².

β is the weight of the redundancy. No pairs of views are formed, so the cost grows in proportion
to V. The formula is the same for every V, 2 included. The original Barlow Twins, and the authors
with 2 views, compare pairs of views instead: `pairing="all"`.

The logs show both terms per feature, so that they can be compared across projectors: the sum over D
features is divided by D, and the sum over pairs of features by D(D−1).

The example below computes both terms for two sets of projections. In `spread` the 32 features
differ; in `collapsed` one feature is repeated 32 times.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_mvssl as mv

rng = np.random.default_rng(0)
loss = mv.losses.BarlowTwins(beta=0.02)
signal = rng.normal(size=(256, 1, 32))
agree = signal + 0.1 * rng.normal(size=(256, 4, 32))
collapsed = np.repeat(agree[:, :, :1], 32, axis=2)
for name, projections in (("spread", agree), ("collapsed", collapsed)):
    terms = {k: float(v) for k, v in loss.terms(projections).items()}
    print(name, {k: round(v, 2) for k, v in terms.items()})

"""
The views agree equally well in both sets; only the redundancy tells them apart. Without the
redundancy (β = 0), one repeated feature would be a solution.

## A small experiment

The function `accuracy` trains a tiny ResNet and returns the accuracy of its linear probe. To take
only minutes on a CPU, it trains for few steps and with one seed. The results below therefore show
directions, and some points are off by chance. The scripts in `recipes/studies/` run the same
experiments with three seeds and more steps; [recipes/results](../recipes/results/README.md) has
their results.
"""

images, labels = mv.data.shapes.draw(4000, seed=0)
train = images[:2000], labels[:2000]
test = mv.data.shapes.draw(1000, seed=1)


def accuracy(views=4, dim=64, beta="auto", count=4000, steps=60):
    keras.utils.set_random_seed(0)
    encoder = mv.models.TinyResNet((32, 32, 3), width=8)
    model = mv.MultiViewModel(
        encoder,
        mv.models.Projector(encoder.output_shape[-1], dim=dim),
        mv.views.RandomViews(mv.views.Augmentation.preset("shapes"), views),
    )
    model.compile(keras.optimizers.AdamW(8e-3), mv.losses.BarlowTwins(beta=beta))
    stream = mv.data.batches(images[:count], batch_size=64)
    model.fit(stream, steps_per_epoch=steps, epochs=1, verbose=0)
    found = [mv.evaluation.extract_features(encoder, x) for x in (train, test)]
    return mv.evaluation.linear_probe(*found, l2=0.01).accuracy


"""
## Projector size and β

The first claim of the paper: a projector of 256 features does as well as a projector of 8,192
features if β grows as 1/D. `beta="auto"` is 4/D. The code below first fixes β at the value for
256 features, and then lets β follow D. After so few steps a larger projector is still ahead; the
point is that a small projector loses much less when β follows D.
"""

dims = (16, 64, 256)
fixed = [accuracy(dim=dim, beta=4 / 256) for dim in dims]
followed = [accuracy(dim=dim) for dim in dims]
for dim, a, b in zip(dims, fixed, followed):
    print(f"D = {dim:3}: β = 4/256 {a:.1%}, β = 4/D {b:.1%}")

"""
## More views

The second claim: more views of each image give a better estimate of the mean view, so fewer steps,
epochs or images reach the same accuracy. Each view costs a forward and a backward pass. The code
below therefore compares numbers of views at equal steps, and at equal numbers of views seen. The
formula is the same for each number.
"""

counts = (2, 4, 8)
equal_steps = [accuracy(views=v, steps=40) for v in counts]
equal_views = [accuracy(views=v, steps=160 // v) for v in counts]
for v, a, b in zip(counts, equal_steps, equal_views):
    print(f"{v} views: 40 steps {a:.1%}, 160 views of 64 images {b:.1%}")

"""
## Fewer images

The third claim: with more views, a fraction of the images is enough. Each run below trains for two
epochs, so fewer images also mean fewer steps.
"""

kept = (1000, 2000, 4000)
curves = {v: [accuracy(views=v, count=n, steps=n // 32) for n in kept] for v in (2, 4)}
for v, curve in curves.items():
    shown = ", ".join(f"{n} images {x:.1%}" for n, x in zip(kept, curve))
    print(f"{v} views: {shown}")

"""
## All three in one picture
"""


def percent(accuracies):
    return [100 * x for x in accuracies]


figure, axes = plt.subplots(1, 3, figsize=(9, 2.7), sharey=True, layout="constrained")
axes[0].plot(dims, percent(fixed), "o-", label="β = 4/256")
axes[0].plot(dims, percent(followed), "o-", label="β = 4/D")
axes[0].set(xlabel="features of the projector", ylabel="probe accuracy (%)")
axes[1].plot(counts, percent(equal_steps), "o-", label="equal steps")
axes[1].plot(counts, percent(equal_views), "o-", label="equal views seen")
axes[1].set(xlabel="views")
for v, curve in curves.items():
    axes[2].plot(kept, percent(curve), "o-", label=f"{v} views")
axes[2].set(xlabel="images")
for axis, ticks in zip(axes, (dims, counts, kept)):
    axis.set_xscale("log")
    axis.set_xticks(ticks, ticks)
    axis.minorticks_off()
    axis.legend(frameon=False, fontsize=8)
figure.savefig("multi_view_barlow_twins.png", dpi=100)

"""
The results of the paper on CIFAR-10, STL-10 and ImageNet-100 take far longer training than this.
`recipes/cifar10.py` has the authors' β.

## Variants

All losses take any number of views.

- `losses.BarlowTwins` uses the authors' formula for more than 2 views by default (`pairing="mean"`),
  so these values of β mean the same here. `pairing="all"` compares all pairs of views, instead of
  each view with the mean view, as the authors do with 2 views. With `standardization="per_view"`
  and V = 2, it is the original Barlow Twins.
- `losses.VICReg` equals the code that the authors of VICReg published, at V = 2.
- `losses.ReformulatedSSL` is the objective of the paper's theory: the eigenfunctions of the
  augmentation kernel minimise it.

No matrix is larger than the projections, and the cost is linear in V. (The exceptions are small
products of pairs in `pairing="all"` with more than 8 views, and `ReformulatedSSL` with more
features than there are views in a batch.) With 8,192 features and 8 views, on two CPU cores with
TensorFlow, all pairs take 0.19 s and 0.26 GiB, where loops over pairs take 19 s and 4.9 GiB; the
mean view takes 0.09 s ([benchmarks](../recipes/benchmarks/README.md)).

## Large batches on small memory

In a recipe, `--accumulate=4` averages the gradients of four steps. The four batches do not become
one: the statistics of the loss and of batch normalisation are still those of each step's images.
"""
