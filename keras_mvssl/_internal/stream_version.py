"""The version of what the same settings compute."""

# Raised whenever the same settings would give other views, another order, subset,
# pixels, default loss or network. Each entry of CHANGES says what it changed.
STREAM_VERSION = 1
CHANGES: dict[int, str] = {}


def check_stream_version(content, place):
    """Refuse to go on with a run of another version.

    Args:
        content: A dict that was written with the run; without `stream_version` it is
            of version 1.
        place: What was read, for the error, e.g. `"workdir=runs/first"`.

    Raises:
        ValueError: For another version, with what changed.
    """
    found = content.get("stream_version", 1)
    if found == STREAM_VERSION:
        return
    changes = [text for version, text in sorted(CHANGES.items()) if version > found]
    changed = f" Since then: {'; '.join(changes)}." if changes else ""
    raise ValueError(
        "The run was begun by a version of keras_mvssl that computes something else "
        f"from the same settings, and cannot go on.{changed} Begin it anew in another "
        "folder, or go on with the version that it was begun with. Its `encoder.keras` "
        f"still loads. Received: {place}, with stream_version={found}, where this "
        f"version has {STREAM_VERSION}"
    )
