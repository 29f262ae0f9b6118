"""Changes to an augmentation, written as the text of a flag."""

import dataclasses
from typing import Any

from keras_mvssl.views import Augmentation


def changed(augmentation: Augmentation, text: str) -> Augmentation:
    """Return an augmentation of which a text replaces parts.

    Args:
        augmentation: An `Augmentation`.
        text: `name=value` with commas between them; a range is `low:high`. Example:
            `"crop_area=0.2:1,hue=0.1"`.

    Returns:
        An `Augmentation`.

    Raises:
        ValueError: For a text of another form, an unknown or repeated name, and a value
            outside its range.
    """
    names = [x.name for x in dataclasses.fields(augmentation) if x.name != "size"]
    found: dict[str, Any] = {}
    for part in filter(None, (x.strip() for x in text.split(","))):
        name, _, value = (x.strip() for x in part.partition("="))
        if name not in names:
            note = " The size of views is `view_size`." if name == "size" else ""
            raise ValueError(
                f"`augmentation` changes {', '.join(names)}.{note} "
                f"Received: augmentation={text!r}, with {name!r}"
            )
        if name in found:
            raise ValueError(
                f"`augmentation` says {name!r} twice. Received: augmentation={text!r}"
            )
        is_range = isinstance(getattr(augmentation, name), tuple)
        form = "low:high" if is_range else "a number"
        try:
            numbers = [float(x) for x in value.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) != (2 if is_range else 1):
            raise ValueError(
                f"`{name}` in `augmentation` must be {form}. "
                f"Received: augmentation={text!r}"
            )
        found[name] = tuple(numbers) if is_range else numbers[0]
    return dataclasses.replace(augmentation, **found)
