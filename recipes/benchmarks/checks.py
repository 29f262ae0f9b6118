"""Share of a run's time that is spent in checks of its input.

    python recipes/benchmarks/checks.py recipes/shapes.py

It runs a script, with the flags that follow its name, under Python's profiler, and adds
up the time in functions of the modules of checks, with all that they call. The
profiler slows Python down, and checks are Python: the share without it is smaller.
"""

import cProfile
import pathlib
import pstats
import runpy
import sys

MODULES = (
    "_internal/checks.py",
    "_internal/pixels.py",
    "models/inputs.py",
    "models/watched.py",
)


def is_check(function):
    """Return whether a function, as the profiler names it, is one of the checks."""
    path = pathlib.Path(function[0]).as_posix()
    return path.endswith(MODULES) and "keras_mvssl" in path


def seconds_in_checks(stats):
    """Return the seconds between the calls of checks by others and their returns."""
    return sum(
        times[3]  # cumulative, of the calls by this caller
        for function, (*_, callers) in stats.items()
        if is_check(function) and function[2] != "<module>"
        for caller, times in callers.items()
        if not is_check(caller)
    )


def main():
    script, *flags = sys.argv[1:]
    sys.argv = [script, *flags]
    profiler = cProfile.Profile()
    try:
        profiler.runcall(runpy.run_path, script, run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    stats = pstats.Stats(profiler)
    checks, whole = seconds_in_checks(stats.stats), stats.total_tt
    print(f"{checks:.3f} s of {whole:.1f} s in checks: {checks / whole:.2%}")


if __name__ == "__main__":
    main()
