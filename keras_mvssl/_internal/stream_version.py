"""The version of the numbers that the package computes from given settings."""

# Increased by one whenever the same settings would give other views, another order,
# subset, pixels, default loss or network.
STREAM_VERSION = 5
# What each version changed, from version 2 on: {version: text for the error message}.
CHANGES: dict[int, str] = {
    2: "`RandomViews` draws other numbers, the same ones on each backend",
    3: (
        "encoders pad strided layers by one rule for all sizes, which changes their "
        "numbers for sizes that are odd at some stage"
    ),
    4: (
        "Barlow Twins compares with the mean view at 2 views too, unless "
        "`pairing='all'` is set, and subsets are drawn without labels"
    ),
    5: (
        "image files with transparent parts are laid over white, gray ones of 9 to 16 "
        "bits keep their contrast, and links are followed"
    ),
}


def check_stream_version(content, place):
    """Refuse to continue a run of another stream version.

    Args:
        content: A dict that was saved with the run. Without an entry `stream_version`,
            the run is of version 1.
        place: The source of `content`, for the error message, e.g.
            `"workdir=runs/first"`.

    Raises:
        ValueError: For another version. The message lists what changed since.
    """
    found = content.get("stream_version", 1)
    if found == STREAM_VERSION:
        return
    changes = [text for version, text in sorted(CHANGES.items()) if version > found]
    changed = f" Since then: {'; '.join(changes)}." if changes else ""
    raise ValueError(
        "The run was started by a version of keras_mvssl that computes other numbers "
        f"from the same settings, and cannot be continued.{changed} Start the run "
        "again in another folder, or continue with the version of keras_mvssl that "
        "started it. The `encoder.keras` of the run still loads. "
        f"Received: {place}, with stream_version={found}, where this "
        f"version has {STREAM_VERSION}"
    )
