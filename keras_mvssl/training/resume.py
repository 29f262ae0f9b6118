"""Settings that may and may not change when a run goes on."""

import json
from typing import Literal

from keras_mvssl._internal import files

Resume = Literal["auto", "never", "must"]
# Settings that may change when a run goes on: its result stays the same. The stream
# version is checked on its own.
FREE_SETTINGS = (
    *("devices", "workers", "data_dir", "checkpoint_minutes", "checkpoint_steps"),
    *("on_bad_image", "command", "commit", "date", "device", "versions"),
    *("stream_version", "processor", "cpu_cores", "verbose"),
    *("own_callbacks", "initial_weights"),
)


def refuse_other_settings(known, settings, workdir):
    """Refuse settings of another run.

    Args:
        known: The configuration that `find` returned.
        settings: Some of the settings of this run, a dict; all of them, if they have an
            entry `format`.
        workdir: The folder.

    Raises:
        ValueError: With the settings that differ.
    """
    settings = json.loads(files.json_text(settings))
    if "format" in settings:
        own = (name for name in known if name.startswith("own_"))
        settings = dict.fromkeys(own) | settings
    if is_longer(known, settings):
        del settings["epochs"]
    differences = [
        f"{name}: {known.get(name)!r} there, {value!r} here"
        for name, value in settings.items()
        if _differs(name, known, settings)
    ]
    if len(differences) == 1 and known.get("epochs", 0) < settings.get("epochs", 0):
        raise ValueError(
            "A run can go on for more epochs than were planned where its learning rate "
            "stays. That of this one decays to 0 by its last epoch: begin a new run "
            f"from its weights, in another folder, with init={workdir}/encoder.keras. "
            f"Received: workdir={workdir}; {differences[0]}"
        )
    if differences:
        raise ValueError(
            "`workdir` holds a run with other settings. Choose another folder, or the "
            f"settings of that run. Received: workdir={workdir}; "
            + "; ".join(differences)
        )


def _differs(name, known, settings):
    return name not in FREE_SETTINGS and known.get(name) != settings[name]


def is_longer(known, settings):
    """Return whether a run goes on for more epochs, which change no earlier step."""
    epochs = known.get("epochs"), settings.get("epochs")
    return (
        settings.get("schedule") == known.get("schedule") == "constant"
        and all(isinstance(x, int) for x in epochs)
        and epochs[1] > epochs[0]
    )
