"""Settings of a training that must stay the same where it goes on."""

import json

import keras

from keras_mvssl._internal.files import json_text

# Parts of the config of a model that do not change what is computed.
_IGNORED = {
    *("module", "registered_name", "build_config", "build_input_shape"),
    *("compile_config", "quantization_config"),
}
# Most differences that a message lists.
_LISTED = 5


def training_settings(model):
    """Describe what a compiled model computes in training, as a dict for JSON.

    Optimizers with a number as learning rate are described with its present value, so
    the settings must be taken before training.
    """
    return {
        "model": _described(model),
        "optimizer": _described(model.optimizer),
        "loss": _described(model.loss),
        "loss_weights": _loss_weights(model),
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
    }


def refuse_others(known, now, settings, where):
    """Refuse to go on with a training of other settings.

    Between versions of Keras, settings that only one of them knows do not count.

    Args:
        known: The settings of the training, as they were when it began.
        now: The same as they were in the end, where callbacks may have changed them:
            a model that has been trained still has these.
        settings: Those of the present one.
        where: What the settings belong to, for the error message.

    Raises:
        ValueError: With the settings that differ.
    """
    settings = json.loads(json_text(settings))
    same_keras = known.get("keras") == settings["keras"]

    def compare(before):
        return [
            difference
            for part in ("model", "optimizer", "loss", "loss_weights")
            for difference in _differences(
                _numbered(before.get(part)), _numbered(settings[part]), part, same_keras
            )
        ]

    found = compare(known)
    changed = {x.partition(":")[0] for x in compare(now)}
    found = [x for x in found if x.partition(":")[0] in changed]
    if found:
        more = f"; and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise ValueError(
            "The training began with other settings. Give it those, or begin another "
            "one in a new folder: the `model.keras` of a checkpoint holds the weights "
            f"for `model.load_weights`. Received: {'; '.join(found[:_LISTED])}{more}; "
            f"{where}"
        )


def described(part):
    """Describe an object with a config as JSON can hold it, without made-up names."""
    return _numbered(_described(part))


def not_described(part):
    """List what two objects may differ in though they are described alike, in words."""
    found = []

    def look(config):
        if isinstance(config, dict):
            for value in config.values():
                look(value)
        elif isinstance(config, list):
            for value in config:
                look(value)
        elif config == "lambda":
            found.append("a lambda")
        elif isinstance(config, str) and config.startswith("function "):
            found.append(f"the {config} (by its name alone)")

    config = _described(part)
    look(config)
    if set(config) == {"class_name"} or _has_no_config_of_its_own(part):
        found.append(f"the settings of {_kind(part)}, which has no `get_config`")
    return list(dict.fromkeys(found))


def _has_no_config_of_its_own(part):
    """Return whether a class takes arguments that an inherited config may not have."""
    classes = type(part).__mro__
    made_in, described_in = (
        next((i for i, x in enumerate(classes) if name in vars(x)), len(classes))
        for name in ("__init__", "get_config")
    )
    return made_in < described_in


def _loss_weights(model):
    try:
        config = model.get_compile_config() or {}
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return None
    return config.get("loss_weights")


def _described(part):
    try:
        config = keras.saving.serialize_keras_object(part)
        return json.loads(json.dumps(_cleaned(config), default=_kind))
    except (NotImplementedError, TypeError, ValueError):
        return {"class_name": _kind(part)}  # One without a config cannot be compared.


def _cleaned(config):
    if isinstance(config, dict):
        kind, inner = config.get("class_name"), config.get("config")
        if kind == "__lambda__":
            return "lambda"  # Its code says nothing that another Python understands.
        if kind == "function":
            return f"function {inner}"
        if kind == "RandomCrop" and isinstance(inner, dict):
            # Keras 3.15 makes up a seed where none is given; its state is kept.
            config = config | {"config": {k: inner[k] for k in inner if k != "seed"}}
        if str(config.get("class_name")).endswith("DTypePolicy"):
            return json_text(config["config"])  # Its `name` is no made-up one.
        return {k: _cleaned(v) for k, v in config.items() if k not in _IGNORED}
    if isinstance(config, (list, tuple)):
        return [_cleaned(x) for x in config]
    return config


def _kind(value):
    return type(value).__name__


def _numbered(config):
    """Replace names by numbers: Keras makes up names, which differ between builds."""
    names = {}

    def collect(part):
        if isinstance(part, dict):
            if isinstance(part.get("name"), str):
                names.setdefault(part["name"], len(names))
            for value in part.values():
                collect(value)
        elif isinstance(part, list):
            for value in part:
                collect(value)

    def replace(part):
        if isinstance(part, dict):
            return {
                k: names[v] if k == "name" and isinstance(v, str) else replace(v)
                for k, v in part.items()
            }
        if isinstance(part, list):
            # Layers are named in lists [name, node, tensor].
            if len(part) == 3 and isinstance(part[0], str) and part[0] in names:
                return [names[part[0]], *part[1:]]
            return [replace(x) for x in part]
        return part

    collect(config)
    return replace(config)


def _differences(known, here, path, same_keras):
    if isinstance(known, dict) and isinstance(here, dict):
        names = [*known, *(name for name in here if name not in known)]
        if not same_keras:
            names = [name for name in names if name in known and name in here]
        for name in names:
            inner = path if name == "config" else f"{path}.{name}"
            yield from _differences(known.get(name), here.get(name), inner, same_keras)
    elif isinstance(known, list) and isinstance(here, list) and len(known) == len(here):
        for i, pair in enumerate(zip(known, here, strict=True)):
            yield from _differences(*pair, f"{path}[{i}]", same_keras)
    elif json.dumps(known) != json.dumps(here):  # NaN differs from itself.
        yield f"{path}: {_short(known)} there, {_short(here)} here"


def _short(value):
    if isinstance(value, dict) and "class_name" in value:
        return str(value["class_name"])
    if isinstance(value, float):
        return f"{value:.7g}"  # float32 has no more digits.
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
