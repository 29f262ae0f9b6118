"""Contexts in which signals stop a run, in its training and outside of it."""

from keras_mvssl import distribution
from keras_mvssl._internal.signals import on_signals
from keras_mvssl.callbacks.interrupted import Interrupted

# Seconds until a process that has nothing to save is ended, e.g. where it waits for
# processes that do not come, or where a library has dropped the exception.
LIMIT = 5.0
# Seconds until a process is ended that waits in a step, perhaps for one that is gone.
STEP_LIMIT = 60.0


def stop_outside_of_training(ends_process=False):
    """Return a context in which HUP, INT and TERM raise `Interrupted`.

    Args:
        ends_process: Whether the process ends where `Interrupted` leaves the context.
    """
    return on_signals(_stop, limit=LIMIT, ends_process=ends_process)


def stop_after_the_step(checkpoint):
    """Return a context in which HUP, INT and TERM are left to a `Checkpoint`."""

    def stop(name):
        checkpoint.stop = name

    return on_signals(stop, deaf_limit=STEP_LIMIT if _has_peers() else None)


def _has_peers():
    return distribution.processes()[1] > 1 or distribution.saves_together()


def _stop(reason):
    raise Interrupted(reason)
