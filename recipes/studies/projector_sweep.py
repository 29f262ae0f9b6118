"""Accuracy against the size of the projector, with β scaled with the size and fixed.

    python recipes/studies/projector_sweep.py --dataset=shapes --size=small

The study pretrains with two views and projectors of 16, 64, 256 and 1024 features (64
to 8192 with `--size=paper`), once with the β that goes with each size, about c/D, and
once with the β of the largest projector for all. Bars reach from the lowest to the
highest seed.

The loss compares all pairs of views, as in the original Barlow Twins.

Like "projector size" on the poster, and figure 2 of the paper.

Found on shapes, small size, two CPU cores with TensorFlow, 3 seeds, in 11 minutes: with
β scaled, projectors of 16, 64, 256 and 1024 features reach 57.2, 60.7, 59.8 and 56.3 %:
small projectors do as well as large ones. With the β of the largest, they reach 44.2,
49.5, 64.9 and 56.3 %: at 16 and 64 features each seed does worse (at 64 the ranges are
apart); at 256, whose β is then 1/D, each seed does better.
"""

import numpy as np
from common import grid
from common import tables

PROJECTOR_DIMS = {
    "small": (16, 64, 256, 1024),
    "paper": tuple(2**n for n in range(6, 14)),
}
LINE_LABELS = {
    "scaled": "β scaled with the projector",
    "fixed": "β of the largest for all",
}


def settings(runs, dims):
    """Return `{line: settings}`; both lines end in the same setting."""
    scaled = [dict(views=2, projector_dim=dim) for dim in dims]
    beta = runs.beta_of(scaled[-1])
    fixed = [{**setting, "beta": beta} for setting in scaled]
    scaled = [{**setting, "beta": runs.beta_of(setting)} for setting in scaled]
    return {"scaled": scaled, "fixed": fixed}


def study(runs, out):
    """Make the runs, draw accuracy against projectors and write the results."""
    lines = settings(runs, PROJECTOR_DIMS[runs.title.split("-")[-1]])
    found = runs.run([*lines["scaled"], *lines["fixed"][:-1]])
    rows = {(row["projector_dim"], row["beta"]): row for row in tables.summary(found)}
    figure, axes = tables.plt.subplots(
        1, 2, figsize=(9, 3.8), sharey=True, layout="constrained"
    )
    for axis, probe, name in zip(
        axes, ("probe", "probe_4_views"), ("one view", "mean of 4 views")
    ):
        for line, label in LINE_LABELS.items():
            points = [rows[s["projector_dim"], s["beta"]] for s in lines[line]]
            low, mean, high = (
                100 * np.array([row[probe][key] for row in points])
                for key in ("min", "mean", "max")
            )
            dims = [row["projector_dim"] for row in points]
            bars = mean - low, high - mean
            axis.errorbar(dims, mean, bars, fmt="o-", capsize=3, label=label)
        axis.set_xscale("log")
        axis.set_xticks(dims)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.set(xlabel="Features of the projector", title=f"Linear probe, {name}")
    axes[0].set_ylabel("Accuracy (%)")
    axes[0].legend()
    figure.suptitle(runs.title)
    tables.write("projector_sweep", runs, found, figure, out)


if __name__ == "__main__":
    grid.main(study)
