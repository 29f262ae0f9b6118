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
    *("stream_version", "processor", "cpu_cores"),
)


def refuse_other_settings(known, settings, workdir):
    """Refuse settings of another run.

    Args:
        known: The configuration that `find` returned.
        settings: Some of the settings of this run, a dict.
        workdir: The folder.

    Raises:
        ValueError: With the settings that differ.
    """
    settings = json.loads(files.json_text(settings))
    differences = [
        f"{name}: {known.get(name)!r} there, {value!r} here"
        for name, value in settings.items()
        if name not in FREE_SETTINGS and known.get(name) != value
    ]
    if differences:
        raise ValueError(
            "`workdir` holds a run with other settings. Choose another folder, or the "
            f"settings of that run. Received: workdir={workdir}; "
            + "; ".join(differences)
        )
