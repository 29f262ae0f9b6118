"""Keras' own tests of layers, losses and optimizers, run on those of the package.

Keras tests each of its layers with `run_layer_test`: what a layer declares for symbolic
inputs is what it returns, its config and weights come back, it trains within a model,
and it does as its dtype policy says. Losses, optimizers and schedules are tested with
`run_class_serialization_test`. There are two exceptions:

- Encoders and projectors are functional models, and `run_layer_test` needs a class
  that it can call with `init_kwargs`: they are given to it as layers that hold one.
- `MultiViewModel` is no layer of other models, so that `run_layer_test` does not apply:
  the model that it trains the layer in would need a loss without views.
"""

import keras
import pytest
from keras.src import testing

import keras_mvssl as mv
from losses.cases import CASES

# `run_layer_test` fits a model of one layer to a generator.
pytestmark = pytest.mark.filterwarnings(
    "ignore:`shuffle=True` was passed:UserWarning",
    "ignore:The model does not have any trainable weights:UserWarning",
)

AUGMENTATION = mv.views.Augmentation(size=6, blur=0.5, solarize=0.2)


@pytest.fixture
def harness():
    """Keras' test case, outside of its runner."""
    case = testing.TestCase()
    case.setUp()
    return case


@pytest.mark.parametrize(
    "call, views",
    [({"training": True}, 3), ({"training": False}, 1), ({"step": 2}, 3), ({}, 1)],
)
def test_random_views(harness, images, call, views):
    harness.run_layer_test(
        mv.views.RandomViews,
        {"augmentation": AUGMENTATION, "views": 3, "seed": 2**40},
        input_data=keras.ops.convert_to_tensor(images),
        call_kwargs=call,
        # Without an argument, a symbolic call does not know whether it trains.
        expected_output_shape=(8, views if call else None, 6, 6, 3),
        expected_output_dtype="float32",
        expected_num_trainable_weights=0,
        expected_num_non_trainable_weights=1,
        expected_num_seed_generators=0,
    )


@keras.saving.register_keras_serializable("tests")
class Holder(keras.layers.Layer):
    """A layer that holds one of the functional models of the package."""

    def __init__(self, kind, arguments, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.arguments = kind, arguments
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.dtype_policy)
        try:
            self.model = getattr(mv.models, kind)(**arguments)
        finally:
            keras.config.set_dtype_policy(before)
        self.built = True

    def call(self, x, training=None):
        return self.model(x, training=training)

    def compute_output_shape(self, input_shape):
        return self.model.compute_output_shape(input_shape)

    def get_config(self):
        own = {"kind": self.kind, "arguments": self.arguments}
        return {**super().get_config(), **own}


SHAPE = (12, 12, 3)
MODELS = [
    ("TinyResNet", {"input_shape": SHAPE, "width": 8}, 64),
    ("ResNet18", {"input_shape": SHAPE, "width": 8, "stem": "cifar"}, 64),
    pytest.param(
        *("ResNet50", {"input_shape": SHAPE, "width": 8, "stem": "imagenet"}, 256),
        marks=pytest.mark.slow,
    ),
    ("Projector", {"input_dim": 6, "dim": 8}, 8),
]


@pytest.mark.parametrize("kind, arguments, features", MODELS)
def test_functional_models(harness, kind, arguments, features):
    harness.run_layer_test(
        Holder,
        {"kind": kind, "arguments": arguments},
        input_shape=(2, *arguments.get("input_shape", (6,))),
        expected_output_shape=(2, features),
        # The large ones train for half a minute, with the same kinds of layers.
        run_training_check=not kind.startswith("ResNet"),
    )
    model = getattr(mv.models, kind)(**arguments)
    harness.run_class_serialization_test(model)


def test_multi_view_model(harness, model):
    for views in (None, mv.views.RandomViews(mv.views.Augmentation(size=12), 2)):
        made = mv.MultiViewModel(model.encoder, model.projector, views)
        harness.run_class_serialization_test(made)


@pytest.mark.parametrize("name", CASES)
def test_losses(harness, name):
    harness.run_class_serialization_test(CASES[name][0])


@pytest.mark.parametrize(
    "made",
    [
        mv.optimizers.LARS(0.3, 0.8, None, 0.01, clipnorm=1.0, use_ema=True),
        mv.optimizers.LARS(mv.optimizers.warmup_cosine(0.5, 20, 5)),
        mv.optimizers.warmup_cosine(0.5, 20, 5),
        mv.optimizers.warmup_cosine(0.5, 20),
        AUGMENTATION,
    ],
)
def test_optimizers_schedules_and_augmentation(harness, made):
    harness.run_class_serialization_test(made)
