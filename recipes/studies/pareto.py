"""Error against runtime over views, images and projectors, with the frontier.

    python recipes/studies/pareto.py --dataset=shapes --size=small

The study takes all runs of the other studies that are in `workdir` with these seeds,
and makes its own where they are missing: 2 views on all images (the baseline), 4 and 8
views on all, 4 on half and 8 on a quarter. Each point is the mean over the seeds at an
epoch: the error of training that is stopped there. The frontier consists of the points
for which no other point is both cheaper and better. Beside the plot, a table says after
how many seconds, views and images each setting reaches an error. Seconds are seconds of
training, with the 2 to 4 seconds that compilation takes in each run.

Like "Pareto frontier" on the poster, and figure 5 of the paper.

The loss compares all pairs of views at 2 views, and each view with the mean view above:
`formula.py` tells the two apart.

Found on shapes, small size, two CPU cores with TensorFlow, 3 seeds, in seconds after
the other studies: below an error of 60 %, 4 views, on an eighth to all of the images,
are the frontier of error and seconds, but for 8 views at its very end. For the errors
that 2 views on all images reach, down to 35 %, 4 views need 1.5 to 2.3 times less
training (1.1 to 2.2 times less than the fastest setting of 2 views), and see 4.3 to 9.8
times fewer images.
"""

import csv

import numpy as np
from common import grid
from common import tables
from matplotlib.ticker import LogLocator

# Views and share of the images of the runs that this study makes.
SETTINGS = [(2, 1.0), (4, 1.0), (8, 1.0), (4, 0.5), (8, 0.25)]
ERROR_STEP = 0.05  # difference between the errors of the table


def curves_of(runs):
    """Compute the mean curves of all settings.

    Returns:
        `[(setting, curve)]`. A curve has a row for each epoch: seconds, views seen and
        error, means over the seeds.
    """
    curves = []
    for setting, group in tables.by_setting(runs):
        seconds, _, accuracy, _ = tables.mean_curve(group, "seconds")
        seen = tables.mean_curve(group, "views_seen")[0]
        curves.append((setting, np.stack([seconds, seen, 1 - accuracy], axis=1)))
    return curves


def frontier(points):
    """Return the rows `(cost, error)` that no other row beats in both, by cost."""
    points = points[np.lexsort(points.T[::-1])]
    best = np.minimum.accumulate(points[:, 1])
    return points[np.r_[True, best[1:] < best[:-1]]]


def costs_of_errors(curves):
    """Compute what each setting costs to reach each error, in rows for a table."""
    start = min(curve[0, 2] for _, curve in curves)
    best = min(curve[:, 2].min() for _, curve in curves)
    rows = []
    levels = np.arange(np.ceil(best / ERROR_STEP), np.ceil(start / ERROR_STEP))
    for level in levels[::-1] * ERROR_STEP:
        for setting, curve in curves:
            reached = np.flatnonzero(curve[:, 2] <= level + 1e-9)
            if len(reached):
                seconds, seen, _ = curve[reached[0]]
                rows.append(
                    {
                        "error": round(float(level), 3),
                        **setting,
                        "seconds": round(float(seconds), 1),
                        "views_seen": int(seen),
                        "images_seen": int(seen) // setting["views"],
                    }
                )
    return rows


def color_of(views):
    """Return the color of the other plots: the first three for 2, 4 and 8 views."""
    return f"C{int(np.log2(views)) - 1}"


def study(runs, out):
    """Make the missing runs, draw all of them and write the results."""
    own = runs.run([dict(views=v, fraction=f) for v, f in SETTINGS])
    baseline = own[0].setting
    usual = baseline["projector_dim"]
    found = runs.finished_runs()
    curves = curves_of(found)
    figure, axes = tables.plt.subplots(
        1, 2, figsize=(11, 4.2), sharey=True, layout="constrained"
    )
    names = "Seconds of training", "Views seen"
    for column, (axis, name) in enumerate(zip(axes, names)):
        for setting, curve in curves:
            is_baseline = setting == baseline
            color = "k" if is_baseline else color_of(setting["views"])
            marker = "o" if setting["projector_dim"] == usual else "s"
            x, error = curve[1:, column], 100 * curve[1:, 2]
            axis.plot(x, error, "--" if is_baseline else "-", color=color, lw=0.7)
            size = 30 + 30 * np.log2(1 / setting["fraction"])
            axis.scatter(x[-1], error[-1], size, color=color, marker=marker, alpha=0.8)
        points = np.concatenate([curve[1:, [column, 2]] for _, curve in curves])
        edge = frontier(points)
        axis.step(edge[:, 0], 100 * edge[:, 1], "0.5", where="post", lw=3, alpha=0.5)
        axis.set(xlabel=name, xscale="log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.minorticks_off()
    for views in sorted({setting["views"] for setting, _ in curves}):
        axes[0].scatter([], [], color=color_of(views), label=f"{views} views")
    axes[0].plot([], [], "k--o", label="baseline: 2 views, all images")
    if any(setting["projector_dim"] != usual for setting, _ in curves):
        axes[0].scatter([], [], color="0.5", marker="s", label="other projectors")
    axes[0].plot([], [], "0.5", lw=3, alpha=0.5, label="frontier")
    axes[0].set_ylabel("Error of the linear probe, one view (%)")
    axes[0].legend(fontsize=8, title="larger: fewer images", title_fontsize=8)
    figure.suptitle(runs.title)
    rows = costs_of_errors(curves)
    print(f"{'error':>6} {'fastest':>40} {'seconds':>8} {'baseline':>8}  images seen")
    for level in dict.fromkeys(row["error"] for row in rows):
        here = [row for row in rows if row["error"] == level]
        fast = min(here, key=lambda row: row["seconds"])
        base = [r for r in here if all(r[name] == baseline[name] for name in baseline)]
        name = (
            f"{fast['views']} views, {fast['fraction']:.1%}, D {fast['projector_dim']}"
        )
        seconds, seen = (
            (base[0]["seconds"], base[0]["images_seen"]) if base else ("", "")
        )
        print(
            f"{level:6.0%} {name:>40} {fast['seconds']:8} {seconds:>8}  "
            f"{fast['images_seen']:,} {seen and f'for {seen:,}'}"
        )
    tables.write("pareto", runs, found, figure, out, baseline=baseline, targets=rows)
    path = out / f"pareto-{runs.title}-targets.csv"
    with tables.write_table(path) as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["error"])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    grid.main(study)
