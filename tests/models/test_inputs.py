"""Data sets of others in `fit` and `evaluate`; what a failed training leaves."""

import collections
import contextlib
import types

import keras
import numpy as np
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl import _backend
from keras_mvssl._internal.pixels import PixelWatch
from keras_mvssl.models.watched import watched


def some_views(batch=8):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (batch, 2, 12, 12, 3)).astype("float32")


class Batches(keras.utils.PyDataset):
    """Batches of four; counts its epochs."""

    def __init__(self, views, **kwargs):
        super().__init__(**kwargs)
        self.views, self.epochs = views, 0

    def __len__(self):
        return -(-len(self.views) // 4)

    def __getitem__(self, index):
        return (self.views[4 * index : 4 * index + 4],)

    def on_epoch_end(self):
        self.epochs += 1


def dataset(views):
    tf = _backend.tensorflow_for_data()
    return tf.data.Dataset.from_tensor_slices(views)


def of_unknown_length(views):
    return dataset(views).filter(lambda x: True).batch(4)


def loader(views):
    torch = pytest.importorskip("torch")
    views = torch.utils.data.TensorDataset(torch.as_tensor(views))
    return torch.utils.data.DataLoader(views, 4)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        Batches,
        loader,
        lambda x: dataset(x).batch(4),
        lambda x: dataset(x).batch(4).prefetch(1),
    ],
    ids=["array", "PyDataset", "DataLoader", "tf.data", "tf.data, prefetched"],
)
def test_a_last_batch_of_one_is_refused_before_training(make, model):
    with pytest.raises(ValueError, match="last batch of one.*Received: "):
        model.fit(make(some_views(9)), batch_size=4, verbose=0)
    assert model.optimizer.iterations == 0
    model.fit(make(some_views(10)), batch_size=4, verbose=0)
    assert model.optimizer.iterations == 3


class Steps(keras.callbacks.Callback):
    """Counts the steps; on TensorFlow, Keras counts one at the end of the data too."""

    count = 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1


@pytest.mark.filterwarnings("ignore:.*input ran out of data")
def test_predict_keeps_batches_of_one(model):
    batches = Batches(some_views(9))
    for x in (of_unknown_length(some_views(9)), (batches[i] for i in range(3))):
        assert len(model.predict(x, verbose=0)) == 9


@pytest.mark.filterwarnings("ignore:.*input ran out of data")
def test_a_batch_of_one_is_left_out_where_the_length_is_unknown(model):
    batches = Batches(some_views(9))
    for x in (of_unknown_length(some_views(9)), (batches[i] for i in range(3))):
        steps = Steps()
        model.fit(x, verbose=0, callbacks=[steps])
        assert steps.count == 2


def test_several_inputs_are_refused(model):
    views = some_views()
    named = dataset({"views": views}).batch(4)
    for x in ([views], {"views": views}, (views, views), named):
        for use in (model.fit, model.evaluate, model.predict):
            with pytest.raises(ValueError, match="`x` must be one array.*Received: x"):
                use(x, verbose=0)
    with pytest.raises(ValueError, match="`x` must be one array.*Received: x"):
        model.train_on_batch([views])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_checked_pydataset_is_used_as_it_is(workers, model):
    batches = Batches(some_views(), workers=workers, max_queue_size=3)
    model.fit(batches, epochs=2, verbose=0)
    assert batches.epochs >= 2 and model.optimizer.iterations == 4
    batches.views[6] = -1
    with pytest.raises(ValueError, match=r"\[0, 255\].*Received: minimum=-1"):
        model.fit(batches, verbose=0)


def test_no_attribute_of_a_data_set_opens_a_door(model):
    for batches in (Batches(some_views() - 300), dataset(some_views() - 300).batch(4)):
        batches.steps_per_epoch = 2
        with pytest.raises(ValueError, match=r"\[0, 255\].*Received: minimum=-"):
            model.fit(batches, verbose=0)


def test_workers_that_live_on_check_too(model):
    if keras.backend.backend() != "torch":
        pytest.skip("Workers are forked, which the threads of JAX and TensorFlow mind.")
    torch = pytest.importorskip("torch")
    views = some_views()
    views[6] = -1
    data = torch.utils.data.TensorDataset(torch.as_tensor(views))
    lasting = torch.utils.data.DataLoader(
        data, 4, num_workers=1, persistent_workers=True
    )
    with pytest.raises(ValueError, match=r"\[0, 255\].*Received: minimum=-1"):
        model.fit(lasting, verbose=0)


def test_a_sampler_says_how_many_images_there_are(model):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.as_tensor(some_views(9)))
    sampler = torch.utils.data.SubsetRandomSampler(range(8))
    model.fit(torch.utils.data.DataLoader(data, 4, sampler=sampler), verbose=0)
    assert model.optimizer.iterations == 2


def test_batches_of_another_number_than_was_batched(model):
    views = some_views()
    tf = _backend.tensorflow_for_data()
    indices = tf.data.Dataset.range(9).batch(4).map(lambda i: views)
    model.fit(indices, verbose=0)
    assert model.optimizer.iterations == 3


def test_named_parts_of_a_data_set(model):
    Part = collections.namedtuple("Part", "views label")
    batches = dataset(Part(some_views(), np.arange(8))).batch(4)
    model.fit(batches, verbose=0)
    assert model.optimizer.iterations == 2


def test_weights_of_validation_data_are_refused(model):
    views = some_views()
    with pytest.raises(ValueError, match="`sample_weight` is not supported"):
        model.fit(views, validation_data=(views, None, np.zeros(8)), verbose=0)


def test_an_error_of_another_kind_stays():
    bad = Batches(some_views() - 300)
    with pytest.raises(KeyError, match="mine"), watched((bad, "x")) as (batches,):
        with contextlib.suppress(ValueError):
            batches[1]  # as a worker reads ahead
        raise KeyError("mine")


def test_an_engine_that_reads_ahead_finds_other_bad_images_first():
    stream = types.SimpleNamespace(watches=[PixelWatch()])
    with pytest.raises(ValueError, match="maximum=256"), watched((stream, "x")):
        for value in (256, 257):  # The second is found before the first is told.
            with contextlib.suppress(ValueError):
                stream.watches[0].check(np.full(8, value))
        first = stream.watches[0].errors[0]
        raise RuntimeError(f"in the engine: {first}")


def test_masked_values_are_refused(model):
    views = np.ma.masked_greater(some_views(), 254)
    with pytest.raises(ValueError, match="no masked values.*Received: x with"):
        model.fit(views, verbose=0)


def test_a_refused_fit_leaves_a_model_that_trains(model):
    model = mv.MultiViewModel(
        model.encoder,
        model.projector,
        mv.views.RandomViews(mv.views.Augmentation(size=12), views=2),
    )
    model.compile(optimizer="adam")
    images = np.full((16, 12, 12, 3), 9, "uint8")
    with pytest.raises(ValueError, match="RGB"):
        model.fit(images[..., :1], batch_size=8, verbose=0)
    model.fit(images, batch_size=8, verbose=0)
    assert int(model.optimizer.iterations) == 2


def test_an_error_leaves_the_weights_of_the_last_step(model):
    before = helpers.weights_of(model)
    good, bad = some_views(), some_views()
    bad[3] = np.nan
    with pytest.raises(ValueError, match="finite.*Received: minimum=nan"):
        model.fit(((x,) for x in (good, good, bad)), steps_per_epoch=3, verbose=0)
    after = helpers.weights_of(model)
    assert all(np.isfinite(x).all() for x in after)
    assert any((x != y).any() for x, y in zip(before, after, strict=True))
    model.fit(good, verbose=0)


def test_an_error_while_evaluating_leaves_the_weights(model):
    before = helpers.weights_of(model)
    views = some_views(12)
    views[6] = np.nan
    with pytest.raises(ValueError, match="finite.*Received: minimum=nan"):
        model.evaluate(Batches(views), verbose=0)
    for x, y in zip(before, helpers.weights_of(model), strict=True):
        np.testing.assert_array_equal(x, y)
    model.fit(some_views(), verbose=0)


def test_an_error_in_the_first_step_leaves_the_weights(model):
    def broken(y_true, y_pred):
        raise RuntimeError("broken")

    before = helpers.weights_of(model)
    model.compile("sgd", loss=broken)
    for use in (model.fit, model.evaluate):
        with pytest.raises(RuntimeError, match="broken"):
            use(some_views(), verbose=0)
    for x, y in zip(before, helpers.weights_of(model), strict=True):
        np.testing.assert_array_equal(x, y)
