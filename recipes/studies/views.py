"""More views learn faster: accuracy against epochs, views seen and seconds.

    python recipes/studies/views.py --dataset=shapes --size=small
    python recipes/studies/views.py --dataset=cifar10 --equal_cost

Pretrains with 2, 4 and 8 views for the same epochs, where more views cost more; or,
with `--equal_cost`, at the same cost of the encoder: on all images with 2 views, half
of them with 4 and a quarter with 8, as in the paper. Each with several seeds: lines are
means, bands reach from the lowest to the highest. Seconds are those of training, with
the 2 to 4 that compilation takes. β is that of all images, whatever their share: with
`--size=paper`, the recipes say what the authors launched on a half and a quarter. Steps
are rounded down to whole quarters of a run, so 8 views see up to 8 % less than 2.

Poster, "multiple views"; figures 3 and 4 of the paper. On shapes, small size, two CPU
cores with TensorFlow, 3 seeds: 8 minutes. After two epochs, 4 and 8 views reach 91.3
and 91.4 %, 2 views 67.6 %; the ranges of the seeds are apart. Against views and
seconds, 4 views are ahead of 2 all along; 8 cost twice as much and gain nothing here.
At equal cost (4 minutes more), 4 views on half of the images reach 82.0 %, apart from
the 67.6 % of 2 views on all; 8 views on a quarter, 68.9 %.

On CIFAR-10, small size (a tiny ResNet, as many views as two of all images are), at
equal cost, 3 seeds: 26 minutes. 4 views on half of the images reach 45.3 %, apart from
the 42.7 % of 2 views on all; 8 views on a quarter, 43.5 %, not apart from 2.
Random weights have 33.4 %, raw pixels 41.5 %. For the same pass over all images, 8
views reach 46.8 %, 4 views 45.3 %, 2 views 42.7 %, ranges apart.
"""

import sys

import grid
import tables
from absl import flags

EQUAL_COST = flags.DEFINE_bool(
    "equal_cost",
    False,
    "Whether more views get fewer images.",
    module_name=sys.argv[0],
)
VIEWS = (2, 4, 8)


def settings(equal_cost):
    return [dict(views=v, fraction=2 / v if equal_cost else 1.0) for v in VIEWS]


def study(runs, out):
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
