"""Accuracy against epochs, views seen and seconds, for 2, 4 and 8 views.

    python recipes/studies/views.py --dataset=shapes --size=small
    python recipes/studies/views.py --dataset=cifar10 --equal_cost

The study pretrains for the same number of epochs, where more views cost more; or, with
`--equal_cost`, at the same cost of the encoder: on all images with 2 views, on half of
them with 4 and on a quarter with 8, as in the paper. Each setting has several seeds:
lines are means, bands reach from the lowest to the highest seed. Seconds are seconds of
training, with the 2 to 4 seconds that compilation takes. β is tuned for all images,
whatever their share: the recipes, which `--size=paper` runs, name the β that the
authors launched on a half and on a quarter. Steps are rounded down to whole quarters of
a run, so 8 views see up to 8 % fewer views than 2.

Like "multiple views" on the poster, and figures 3 and 4 of the paper.

The loss compares all pairs of views at 2 views, and each view with the mean view above:
`formula.py` tells the two apart.

Found on shapes, small size, two CPU cores with TensorFlow, 3 seeds, in 8 minutes: after
two epochs, 4 and 8 views reach 91.3 and 91.4 %, 2 views 67.6 %; the ranges of the seeds
are apart. Against views and seconds, 4 views are ahead of 2 all along; 8 views cost
twice as much and gain nothing here. At equal cost (4 minutes more), 4 views on half of
the images reach 82.0 %, apart from the 67.6 % of 2 views on all; 8 views on a quarter
reach 68.9 %.

Found on CIFAR-10, small size (a tiny ResNet, as many views as two of all images are),
at equal cost, 3 seeds, in 26 minutes: 4 views on half of the images reach 45.3 %, apart
from the 42.7 % of 2 views on all; 8 views on a quarter reach 43.5 %, not apart from 2
views. Random weights reach 33.4 %, raw pixels 41.5 %. After one pass over all images, 8
views reach 46.8 %, 4 views 45.3 %, 2 views 42.7 %, with ranges apart.
"""

import sys

from absl import flags
from common import grid
from common import tables

EQUAL_COST = flags.DEFINE_bool(
    "equal_cost",
    False,
    "Whether more views get fewer images, so that all settings cost the same.",
    module_name=sys.argv[0],
)
VIEWS = (2, 4, 8)


def settings(equal_cost):
    """Return the settings, one for each number of views."""
    return [dict(views=v, fraction=2 / v if equal_cost else 1.0) for v in VIEWS]


def study(runs, out):
    """Make the runs, draw their curves and write the results."""
    equal_cost = EQUAL_COST.value
    found = runs.run(settings(equal_cost))
    figure, axes = tables.plt.subplots(
        1, 3, figsize=(13, 3.8), sharey=True, layout="constrained"
    )
    for setting, group in tables.by_setting(found):
        label = f"{setting['views']} views"
        if equal_cost:
            label += f", {setting['fraction']:.0%} of the images"
        per_pass = setting["views"] * setting["fraction"] * runs.images
        seen, low, mean, high = tables.mean_curve(group, "views_seen")
        seconds = tables.mean_curve(group, "seconds")[0]
        for axis, x in zip(axes, (seen / per_pass, seen / 1000, seconds)):
            axis.plot(x, 100 * mean, "o-", ms=3, label=label)
            axis.fill_between(x, 100 * low, 100 * high, alpha=0.2)
    names = "Epochs", "Thousand views seen", "Seconds of training"
    for axis, name in zip(axes, names):
        axis.set_xlabel(name)
        tables.draw_pixels(axis, found)
    axes[0].set_ylabel("Linear probe, one view (%)")
    axes[0].legend()
    figure.suptitle(runs.title)
    tables.write(
        "views-equal-cost" if equal_cost else "views", runs, found, figure, out
    )


if __name__ == "__main__":
    grid.main(study)
