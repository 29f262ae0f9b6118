"""Every public name has an example that runs, and an entry in the reference."""

import dataclasses
import inspect
import re
import textwrap

import keras
import numpy as np
import pytest

import keras_mvssl
from guides import build

PUBLIC = {f"{module}.{name}": value for module, name, value in build.public_names()}
# Some have two names.
DISTINCT = {id(value): name for name, value in sorted(PUBLIC.items())}.values()
# Their examples train whole runs, or need such runs.
WHOLE_RUNS = {"keras_mvssl.training.run", "keras_mvssl.report.write"}


def examples_of(value):
    blocks = re.findall(r"(?ms)^ *```python\n(.*?)^ *```$", value.__doc__ or "")
    return [textwrap.dedent(block) for block in blocks]


@pytest.fixture
def names(tmp_path, monkeypatch):
    """Small objects that the examples use, by the names that they have there."""
    monkeypatch.chdir(tmp_path)
    images, labels = keras_mvssl.data.shapes.draw(1024)
    parts = [(images[i : i + 200], labels[i : i + 200]) for i in (0, 200)]
    splits = keras_mvssl.data.Splits("shapes", images, *parts, images.shape[1:])
    augmentation = keras_mvssl.views.Augmentation(size=32)
    engine = keras_mvssl.views.KerasCVViews(augmentation, views=4)
    encoder = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Rescaling(1 / 128, offset=-1),
            keras.layers.Conv2D(16, 4, strides=4, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    projector = keras_mvssl.models.Projector(16, dim=8)
    model = keras_mvssl.MultiViewModel(encoder, projector)
    model.compile(optimizer="adam")

    def make_stream(step):
        return keras_mvssl.data.multiview(images, engine, 256, start_step=step)

    keras.config.set_max_epochs(1)
    keras.config.set_max_steps_per_epoch(1)
    yield dict(
        keras=keras,
        keras_mvssl=keras_mvssl,
        images=images,
        splits=splits,
        augmentation=augmentation,
        encoder=encoder,
        projector=projector,
        model=model,
        make_stream=make_stream,
        stream=make_stream(0),
        features=np.random.default_rng(0).normal(size=(200, 32)),
        projections=np.random.default_rng(0).normal(size=(64, 4, 8)),
    )
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_has_an_example(name):
    assert examples_of(PUBLIC[name])


# In CI on TensorFlow and PyTorch: what differs on JAX is tested elsewhere, and there
# most of the minutes would go to compiling.
on_tensorflow = keras.backend.backend() == "tensorflow"
in_ci = pytest.mark.slow if on_tensorflow else pytest.mark.once


@in_ci
@pytest.mark.parametrize("name", sorted(set(DISTINCT) - WHOLE_RUNS))
def test_examples_run(name, names):
    for example in examples_of(PUBLIC[name]):
        exec(compile(example, name, "exec"), names)


@in_ci
def test_examples_of_whole_runs(names, few_shapes):
    example, own = examples_of(keras_mvssl.training.run)
    exec(example, names)
    exec(example.replace("runs/first", "runs/second"), names)
    exec(own, names)
    (example,) = examples_of(PUBLIC["keras_mvssl.report.write"])
    exec(example, names)


def test_every_module_is_in_the_reference():
    exported = {name: getattr(keras_mvssl, name) for name in keras_mvssl.__all__}
    modules = {value.__name__ for value in exported.values() if inspect.ismodule(value)}
    assert len(modules) > 8
    assert modules <= set(build.REFERENCE)


def test_every_page_of_the_reference_is_in_the_navigation():
    pages = {f"reference/{module.split('.')[-1]}.md" for module in build.REFERENCE}
    navigation = (build.ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"- (reference/.*)", navigation)) == pages


def test_the_reference_describes_all_settings_of_recipes():
    (entry,) = [
        entry
        for entry in build.reference()["keras_mvssl.training"]
        if "heading: keras_mvssl.training.Recipe\n" in entry
    ]
    for field in dataclasses.fields(keras_mvssl.training.Recipe):
        (row,) = re.findall(rf"(?m)^\| `{field.name}` \|.*$", entry)
        assert field.metadata["help"] in row and row.count(" | ") == 2
    assert "| **where** | | |\n| `devices` | `None` |" in entry
    assert "One of `tiny`, `resnet18`, `resnet50`." in entry
