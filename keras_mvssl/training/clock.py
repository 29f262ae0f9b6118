"""Seconds of the parts of a run."""

import contextlib
import time


class Clock:
    """Clock that adds up the seconds of each part of a run, over all starts of the run.

    Attributes:
        seconds: `{part: seconds}`.
    """

    def __init__(self):
        self.seconds = {}
        self._name, self._since = None, None

    @contextlib.contextmanager
    def part(self, name):
        """Count the time within this context for one part of the run."""
        self._name, self._since = name, time.perf_counter()
        try:
            yield
        finally:
            self._count()
            self._name = None

    def get_state(self):
        """Return the seconds so far, for a checkpoint."""
        self._count()
        return self.seconds

    def set_state(self, state):
        """Add the seconds of an earlier start."""
        for name, seconds in state.items():
            self._add(name, seconds)

    def move(self, source, target, seconds):
        """Count some seconds of one part as those of another."""
        self._add(source, -seconds)
        self._add(target, seconds)

    def _count(self):
        if self._name is not None:
            now = time.perf_counter()
            self._add(self._name, now - self._since)
            self._since = now

    def _add(self, name, seconds):
        self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 3)
