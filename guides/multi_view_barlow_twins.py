"""
Title: Multi-view Barlow Twins
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/25
Description: The paper step by step: the loss, small projectors and β, more views, fewer images.
"""

"""
After [*Harnessing small projectors and multiple views for efficient vision
pretraining*](https://arxiv.org/abs/2312.10725) (Ghosh, Agrawal et al., NeurIPS 2024).

## The loss

Projections `(B, V, D)` are standardised, z̄ is the mean over the views of an image. Two terms:

- *invariance*: each view agrees with the mean view, feature by feature, Σᵢ(1 − ⟨zᵃᵢ, z̄ᵢ⟩/B)²;
- *redundancy*: different features of the mean view do not correlate, Σ_{i≠j}(⟨z̄ᵢ, z̄ⱼ⟩/B)².

β weighs the second. With V views the work grows as V; pairs of views are never formed. (With
V = 2 the two views are compared with each other, as in the original Barlow Twins.)
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
Views agree equally well in both; only the redundancy tells them apart. Without it (β = 0) one
feature, repeated, would do.

## A small experiment

One function trains a tiny ResNet and returns the accuracy of its linear probe. To stay within
minutes on a CPU it takes few steps, and one seed: what follows shows directions, and some points
lie off by chance. `recipes/studies/` does the same with three seeds and more steps; the
[README](../README.md#the-papers-results) has the figures.
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

The paper's first point: a projector of 256 features does what one of 8,192 does, if β grows as
1/D. `beta="auto"` is 4/D. Below, β is fixed at the value that is right for 256 features, and
then left to follow D. In so few steps a larger projector is still ahead; what to see is how much
less a small one loses when β follows.
"""

dims = (16, 64, 256)
fixed = [accuracy(dim=dim, beta=4 / 256) for dim in dims]
followed = [accuracy(dim=dim) for dim in dims]
for dim, a, b in zip(dims, fixed, followed):
    print(f"D = {dim:3}: β = 4/256 {a:.1%}, β = 4/D {b:.1%}")

"""
## More views

The second point: more views of each image estimate the mean view better, so that fewer steps,
epochs or images reach the same accuracy. Each view costs a forward and a backward pass; so
compare at equal steps, and at equal views seen.
"""

counts = (2, 4, 8)
equal_steps = [accuracy(views=v, steps=40) for v in counts]
equal_views = [accuracy(views=v, steps=160 // v) for v in counts]
for v, a, b in zip(counts, equal_steps, equal_views):
    print(f"{v} views: 40 steps {a:.1%}, 160 views of 64 images {b:.1%}")

"""
## Fewer images

The third: with more views a fraction of the images goes as far. Two epochs each, so that fewer
images are fewer steps.
"""

kept = (1000, 2000, 4000)
curves = {v: [accuracy(views=v, count=n, steps=n // 32) for n in kept] for v in (2, 4)}
for v, curve in curves.items():
    shown = ", ".join(f"{n} images {x:.1%}" for n, x in zip(kept, curve))
    print(f"{v} views: {shown}")

"""
## The three in one picture
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
What the paper measures on CIFAR-10, STL-10 and ImageNet-100 is far longer training than this;
`recipes/cifar10.py` has the authors' β.

## Variants

- `pairing="all"` compares all pairs of views instead of views with their mean; with
  `standardization="per_view"` and V = 2 that is the original Barlow Twins.
- `losses.VICReg` takes any number of views as well.
- `losses.ReformulatedSSL` is the objective that the paper's theory is about: its minimum are the
  eigenfunctions of the augmentation kernel.
"""
