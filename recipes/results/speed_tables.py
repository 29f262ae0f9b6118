"""The tables of speed: of the front page and of `recipes/benchmarks/README.md`."""

import cells

ENCODERS = {"tiny": "tiny ResNet", "resnet18": "ResNet-18"}
# Hardware, backend, files of `views.py` and of `step.py` that the front page shows.
MACHINES = [
    *(("2 CPU cores", x, f"views-{x}", f"step-{x}") for x in cells.BACKENDS),
    *(
        ("1 H100", x, f"views-{x}-h100", f"step-{x}-h100-bfloat16")
        for x in ("jax", "torch")
    ),
]


def speed():
    """Tabulate views per second for 4 views of 32 pixels, for the front page."""
    rows = []
    for machine, backend, of_views, of_step in MACHINES:
        made = cells.read(of_views)["rows"]
        made = next(x for x in made if (x["size"], x["views"]) == (32, 4))
        steps = cells.read(of_step)
        step = next(
            x for x in steps["rows"] if (x["batch_size"], x["views"]) == (256, 4)
        )
        names = "KerasCV stock", "KerasCVViews", "RandomViews"
        row = [machine, cells.BACKENDS[backend]]
        row += [cells.rate(made[x]) if x in made else "-" for x in names]
        row += [f"{ENCODERS[step['backbone']]}, {steps['precision']}"]
        row += [cells.rate(step["encoder"])]
        rows.append([*row, cells.share_of(step["RandomViews"], step["encoder"])])
    return cells.table(
        "On | Backend | KerasCV's layers | `KerasCVViews` | `RandomViews` | Encoder "
        "| Encoder alone | Step with `RandomViews`",
        rows,
    )


def views():
    """Tabulate views per second on two CPU cores, and factors over KerasCV's layers."""
    names = "KerasCV stock", "KerasCVViews", "RandomViews"
    found = {x: cells.read(f"views-{x}")["rows"] for x in cells.BACKENDS}
    rows = []
    for places in zip(*found.values()):
        first = places[0]
        row = [first["size"], first["views"], first["batch_size"]]
        row.append(cells.rate(first[names[0]]))
        row.append(_factor(first, names[1], names[0]))
        rows.append([*row, *(_factor(x, names[2], names[0]) for x in places)])
    return cells.table(
        "Pixels | Views | Images | KerasCV's layers | `KerasCVViews` "
        "| `RandomViews` on TensorFlow | on JAX | on PyTorch",
        rows,
    )


def draw_times():
    """Tabulate milliseconds of a training step, and of the draws of its views."""
    rows = []
    for backend, name in cells.BACKENDS.items():
        for x in cells.read(f"draws-{backend}")["rows"]:
            times = f"{1e3 * x['step']:.0f}", f"{1e3 * x['draws']:.2f}"
            rows.append(
                [name, x["views"], *times, f"{x['share']:.2%}".replace("%", " %")]
            )
    return cells.table("Backend | Views | Step, ms | Draws, ms | Share", rows)


def _factor(row, name, reference):
    return f"{cells.rate(row[name])} (x {row[name] / row[reference]:.1f})"


def steps():
    """Tabulate views per second of training steps on two CPU cores."""
    rows = []
    for backend, name in cells.BACKENDS.items():
        rows += _steps(f"step-{backend}", name)
    return _table_of_steps(rows)


def beside_peer():
    """Tabulate steps beside a step written in PyTorch by hand."""
    rows = []
    for backend, name in cells.BACKENDS.items():
        for row in cells.read(f"peer-{backend}")["rows"]:
            line = [name, f"{ENCODERS[row['backbone']]}, {row['batch_size']}"]
            line.append(f"{row['first_step']:.1f}")
            for unit in ("cpu_second", "second"):
                line.append(f"{row[f'views_per_{unit}']:,.0f}")
                line.append(f"{row[f'ratio_per_{unit}']:.2f}")
            rows.append(line)
    return cells.table(
        "Backend | Encoder, images | First step, s | Views per CPU-second "
        "| of PyTorch by hand | Views per second | of PyTorch by hand",
        rows,
    )


def memory():
    """Tabulate a step on PyTorch with and without memory that is kept."""
    kept, default = (
        cells.read(f"step-torch{x}")["rows"] for x in ("", "-glibc-default")
    )
    kept = next(x for x in kept if (x["backbone"], x["views"]) == ("tiny", 4))
    names = "encoder", "ready views", "RandomViews", "KerasCVViews"
    rows = [
        [title, *(cells.rate(row[name]) for name in names)]
        for title, row in (("kept", kept), ("glibc as it is", default[0]))
    ]
    return cells.table(
        "Freed memory | Encoder alone | Ready views | `RandomViews` | `KerasCVViews`",
        rows,
    )


def h100_views():
    """Tabulate views per second of `RandomViews` on an H100."""
    rows = []
    for backend in ("jax", "torch"):
        for row in cells.read(f"views-{backend}-h100")["rows"]:
            names = "RandomViews", "RandomViews, no blur"
            numbers = [row["size"], row["views"], row["batch_size"]]
            numbers += [cells.rate(row[name]) for name in names]
            rows.append([cells.BACKENDS[backend], *numbers])
    return cells.table(
        "Backend | Pixels | Views | Images | `RandomViews` | without blur", rows
    )


def h100_steps():
    """Tabulate views per second of training steps on an H100."""
    rows = []
    for backend in ("jax", "torch"):
        rows += _steps(f"step-{backend}-h100-bfloat16", cells.BACKENDS[backend])
    return _table_of_steps(rows)


def _steps(file, backend):
    names = "ready views", "RandomViews", "KerasCVViews", "Keras' norm", "own precision"
    for row in cells.read(file)["rows"]:
        line = [backend, f"{ENCODERS[row['backbone']]}, {row['batch_size']}"]
        line += [row["views"], cells.rate(row["encoder"])]
        yield [*line, *(cells.share_of(row.get(x), row["encoder"]) for x in names)]


def _table_of_steps(rows):
    header = ["Backend", "Encoder, images", "Views", "Encoder alone", "Ready views"]
    header += ["`RandomViews`", "`KerasCVViews`"]
    header += ["Batch normalisation of Keras", "Loss in the backend's precision"]
    for place in range(len(header) - 1, 0, -1):
        if all(row[place] == "-" for row in rows):
            del header[place]
            rows = [row[:place] + row[place + 1 :] for row in rows]
    return cells.table(" | ".join(header), rows)


def losses():
    """Tabulate milliseconds and MiB of the losses, beside loops over pairs of views."""
    names = {
        "Barlow Twins, mean": "Barlow Twins, mean view",
        "Barlow Twins, all": "all pairs",
        "Barlow Twins, loop": "loop over pairs",
        "VICReg": "VICReg",
        "VICReg, loop": "loop over pairs",
        "Reformulated": "Reformulated",
    }
    rows = []
    for row in cells.read("losses-tensorflow")["rows"]:
        line = [f"{row['dim']:,}", row["views"]]
        for name in names:
            found = row[name]
            line.append(f"{found['ms']:,.1f}, {found['mib']:,.0f}" if found else "-")
        rows.append(line)
    return cells.table(" | ".join(["D", "Views", *names.values()]), rows)


def probes():
    """Tabulate seconds and accuracies of the probes, beside scikit-learn's best."""
    finer = cells.read("evaluation-finer-strengths")["probes"]
    rows = []
    for row in cells.read("evaluation-tensorflow")["probes"]:
        line = [row["features"], row["classes"]]
        for name in ("logistic", "ridge", "knn", "spectrum"):
            cell = f"{row[f'{name} seconds']:.1f} s"
            if f"{name} accuracy" in row:
                cell += f", {cells.percent(row[f'{name} accuracy'])}"
            line.append(cell)
        beside = [x for x in (row, *finer) if "scikit-learn accuracy" in x]
        same = [x for x in beside if (x["features"], x["classes"]) == tuple(line[:2])]
        best = max((x["scikit-learn accuracy"] for x in same), default=None)
        rows.append([*line, cells.percent(best) if best else "-"])
    return cells.table(
        "Features | Classes | Logistic probe | Ridge | Neighbours | Spectrum "
        "| scikit-learn",
        rows,
    )


def scaling():
    """Tabulate views per second and the bytes that devices send, on two CPU cores."""
    names = "projections", "gradients", "batch normalisation"
    rows = []
    for backend in ("tensorflow", "torch"):
        for row in cells.read(f"scaling-{backend}")["rows"]:
            line = [cells.BACKENDS[backend], row["devices"]]
            line += [cells.rate(row["views_per_second"])]
            rows.append([*line, *(f"{row[name] / 1e6:.2f}" for name in names)])
    return cells.table(
        "Backend | Devices | Views/s | Projections | Gradients | Batch normalisation",
        rows,
    )


def scaling_plan():
    """Tabulate the bytes that each of many devices would send: arithmetic alone."""
    names = "projections", "gradients", "batch normalisation"
    rows = []
    for row in cells.read("scaling-tensorflow")["plan"]["rows"]:
        line = [row["encoder"], f"{row['projector_dim']:,}"]
        line += [f"{row[name] / 1e6:,.1f}" for name in names]
        rows.append([*line, f"{1000 * row['seconds']:.0f} ms"])
    return cells.table(
        "Encoder | D | Projections | Gradients | Batch normalisation | Time", rows
    )


def checkpoints():
    """Tabulate the share of a run's time that checkpoints take."""
    rows = [
        [
            *(row["every"], row["checkpoints"], row["megabytes"]),
            *(row["seconds_each"], row["seconds_of_run"]),
            cells.percent(row["share"]),
        ]
        for row in cells.read("checkpoints-tensorflow")["rows"]
    ]
    return cells.table(
        "Checkpoints | Number | MB each | Seconds each | Seconds of the run | Share",
        rows,
    )


TABLES = (
    *(speed, views, draw_times, steps, beside_peer, memory, h100_views, h100_steps),
    *(losses, probes, scaling, scaling_plan, checkpoints),
)
