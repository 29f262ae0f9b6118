"""The step of `torch_peer.py` beside a step of the package, in turn."""

import pathlib
import statistics
import subprocess
import sys
import time

# Width and blocks in a stage of each encoder.
NETWORKS = {"tiny": (16, 1), "resnet18": (64, 2)}


class Peer:
    """The program `torch_peer.py`, which runs steps when asked to.

    Args:
        backbone: Name in `NETWORKS`.
        images: Images B of a step.
        views: Views V.
        size: Pixels of a view.
        dim: Features D of the projector.
    """

    def __init__(self, backbone, images, views, size, dim):
        program = pathlib.Path(__file__).with_name("torch_peer.py")
        arguments = *NETWORKS[backbone], images, views, size, dim
        self.process = subprocess.Popen(
            [sys.executable, program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, steps):
        """Run steps, and return their CPU-seconds and seconds."""
        if self.process.poll() is None:
            print(steps, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().split()
        if len(answer) != 2:
            raise RuntimeError("The step in PyTorch has ended, see its error above.")
        return tuple(map(float, answer))

    def close(self):
        """End the program."""
        self.process.stdin.close()
        self.process.wait()


def beside_peer(step, make_peer, views, rounds, least_seconds):
    """Time a step and the peer's in turn.

    Args:
        step: Function of a number of steps, which trains for an epoch before the one
            that it times if `epochs` is 2, and returns CPU-seconds and seconds.
        make_peer: Function that returns a `Peer`.
        views: Views of all images of a step, B·V.
        rounds: Number of timings of each.
        least_seconds: Seconds that a timing takes, about.

    Returns:
        A dict with the seconds to the end of the first step, medians of views per
        CPU-second and per second of both, and medians of their ratios.
    """
    begin = time.perf_counter()
    step(1, epochs=1)
    first = time.perf_counter() - begin
    peer = make_peer()
    peer(1)
    steps = max(2, round(2 * least_seconds / step(2)[1]))
    pairs = [(step(steps), peer(steps)) for _ in range(rounds)]
    peer.close()
    row = {"first_step": first}
    for index, unit in enumerate(("cpu_second", "second")):
        ours = [steps * views / mine[index] for mine, _ in pairs]
        other = [steps * views / theirs[index] for _, theirs in pairs]
        ratios = [a / b for a, b in zip(ours, other, strict=True)]
        row[f"views_per_{unit}"] = statistics.median(ours)
        row[f"peer_views_per_{unit}"] = statistics.median(other)
        row[f"ratio_per_{unit}"] = statistics.median(ratios)
        row[f"ratios_per_{unit}"] = ratios
    return row


def describe(row):
    """Print a row in words."""
    print(
        f"{row['backbone']}, B = {row['batch_size']}, V = {row['views']}: first step "
        f"{row['first_step']:.1f} s, {row['views_per_cpu_second']:,.1f} views per "
        f"CPU-second, {row['ratio_per_cpu_second']:.2f} of PyTorch by hand (by the "
        f"clock {row['views_per_second']:,.1f} and {row['ratio_per_second']:.2f})",
        flush=True,
    )
