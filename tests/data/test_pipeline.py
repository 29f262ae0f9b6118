import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_mvssl
from keras_mvssl import distribution
from keras_mvssl.data import batches
from keras_mvssl.data import multiview
from keras_mvssl.data import pipeline
from keras_mvssl.views import Augmentation
from keras_mvssl.views import KerasCVViews
from keras_mvssl.views import RandomViews

AUGMENTATION = Augmentation(size=8)


def numbered(count):
    """Images whose pixels are their own number."""
    return np.arange(count, dtype="uint8")[:, None, None, None] * np.ones(
        (1, 2, 2, 3), "uint8"
    )


def copies(images, step, offset, batch_size):
    return tf.stack([images, images], axis=1)


def take(stream, count):
    return [np.asarray(batch) for batch in stream.take(count)]


def as_stream(images):
    return tf.data.Dataset.from_tensor_slices(images)


@pytest.mark.parametrize("source", [np.asarray, as_stream], ids=["array", "stream"])
@pytest.mark.parametrize("batch_size", [4, 130], ids=["one chunk", "chunks"])
def test_same_views_for_any_workers_and_from_any_step(source, batch_size, monkeypatch):
    rng = np.random.default_rng(0)
    images = source(rng.integers(0, 256, (300, 12, 12, 3), dtype="uint8"))

    def first(count, **arguments):
        views = KerasCVViews(AUGMENTATION, 3)
        return take(multiview(images, views, batch_size, **arguments), count)

    # As if a chunk held the whole batch, up to rounding.
    whole = first(2, workers=1)
    monkeypatch.setattr(pipeline, "CHUNK_VALUES", 50 * 12 * 12 * 3)
    one = first(7, workers=1)
    difference = np.abs(np.array(whole, int) - np.array(one[:2], int))
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
    assert one[0].shape == (batch_size, 3, 8, 8, 3)
    np.testing.assert_array_equal(first(7, workers=4), one)
    np.testing.assert_array_equal(first(2, start_step=5, workers=4), one[5:])
    flat = np.concatenate(one).reshape(-1, 8 * 8 * 3)
    assert len(np.unique(flat, axis=0)) == len(flat)
    assert (np.array(first(1, seed=1)) != one[0]).any()


@pytest.mark.parametrize("source", [np.asarray, as_stream], ids=["array", "stream"])
def test_every_epoch_shows_each_image_once_in_a_new_order(source):
    stream = multiview(source(numbered(30)), copies, batch_size=10)
    assert stream.steps_per_epoch == 3
    epochs = [
        np.concatenate(take(stream.skip(3 * i), 3))[:, 0, 0, 0, 0] for i in range(3)
    ]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(30))
    assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()


def test_remainder_is_dropped():
    stream = multiview(numbered(34), copies, batch_size=10)
    assert stream.steps_per_epoch == 3
    assert all(len(batch) == 10 for batch in take(stream, 7))


def test_fits(model):
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype="uint8")
    views = KerasCVViews(Augmentation(size=12), 3)
    stream = multiview(images, views, batch_size=8)
    assert stream.element_spec.shape == (8, 3, 12, 12, 3)
    history = model.fit(stream, epochs=2, validation_data=stream, verbose=0)
    assert int(model.optimizer.iterations) == 10 and len(history.epoch) == 2
    assert "val_loss" in history.history
    assert model.predict(stream, verbose=0).shape == (40, 3, 8)


def test_endless_data_sets_of_others_need_a_length(model):
    stream = multiview(numbered(20), copies, batch_size=10)
    with pytest.raises(ValueError, match="never ends.*steps_per_epoch"):
        model.fit(stream.map(lambda x: x), verbose=0)


@pytest.mark.parametrize(
    "images, batch_size, message",
    [
        (numbered(8), 1, "batch_size=1"),
        (numbered(8), 9, "number of images, 8. Received: batch_size=9"),
        (numbered(8)[0], 2, r"\(N, H, W, C\). Received: images.shape=\(2, 2, 3\)"),
        (numbered(8) / 255.0, 2, "Multiply them by 255"),
        (numbered(8) - 5.0, 2, r"within \[0, 255\]"),
        (numbered(8) * np.float32("nan"), 2, r"within \[0, 255\]"),
        (as_stream(numbered(8)).batch(2), 2, "single images"),
        (as_stream(numbered(8)).repeat(), 2, "must end"),
        (as_stream(numbered(8)), 9, "batch_size=9"),
        (as_stream(numbered(8) / 255.0), 2, "Multiply them by 255"),
        (as_stream((numbered(8), np.arange(8))), 2, "without labels"),
        ((numbered(8), np.arange(8)), 2, "images alone"),
    ],
)
def test_bad_input(images, batch_size, message):
    with pytest.raises(ValueError, match=message):
        multiview(images, copies, batch_size)


def pixels(stream, count):
    """The first pixel of each image of some batches of `batches`."""
    if isinstance(stream, tf.data.Dataset):
        read = take(stream, count)
    else:
        read = [ops.convert_to_numpy(stream[index][0]) for index in range(count)]
    assert all(batch.dtype == "uint8" for batch in read)
    return np.array(read)[:, :, 0, 0, 0]


@pytest.mark.parametrize("source", [np.asarray, as_stream], ids=["array", "stream"])
def test_batches_of_images_in_a_new_order_each_epoch(source):
    stream = batches(source(numbered(34)), batch_size=10)
    assert stream.steps_per_epoch == 3
    read = pixels(stream, 7)
    first, second = read[:3].ravel(), read[3:6].ravel()
    assert len(set(first)) == len(set(second)) == 30 and (first != second).any()
    again = batches(source(numbered(34)), 10, start_step=4)
    np.testing.assert_array_equal(pixels(again, 3), read[4:])
    assert (pixels(batches(source(numbered(34)), 10, seed=1), 3) != read[:3]).any()


@pytest.mark.parametrize("source", [np.asarray, as_stream], ids=["array", "stream"])
def test_processes_read_their_parts_of_each_batch(source, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype="uint8")

    def read(index, count):
        monkeypatch.setattr(distribution, "processes", lambda: (index, count))
        views = KerasCVViews(AUGMENTATION, 2)
        made = np.array(take(multiview(source(images), views, 10), 5), int)
        return made, pixels(batches(source(images), 10), 5)

    for whole, *parts in zip(read(0, 1), read(0, 2), read(1, 2)):
        assert np.abs(np.concatenate(parts, axis=1) - whole).max() <= 1  # rounding


@pytest.mark.parametrize("source", [np.asarray, as_stream], ids=["array", "stream"])
def test_fits_batches_of_images(model, source):
    views = RandomViews(Augmentation(size=12), 2)
    model = keras_mvssl.MultiViewModel(model.encoder, model.projector, views)
    model.compile()
    images = np.random.default_rng(0).integers(0, 256, (20, 16, 14, 3), dtype="uint8")
    model.fit(batches(source(images), batch_size=8), epochs=3, verbose=0)
    assert int(views.step) == int(model.optimizer.iterations) == 6


def test_batches_refuse_bad_input():
    for images, batch_size, message in (
        (numbered(4), 1, "`batch_size`.*batch_size=1"),
        (numbered(4), 5, "must not exceed"),
        (numbered(4)[0], 2, r"\(N, H, W, C\)"),
        (numbered(4) / 255.0, 2, "Multiply"),
        ((numbered(4), np.arange(4)), 2, "without labels"),
    ):
        with pytest.raises(ValueError, match=message):
            batches(images, batch_size)
    with pytest.raises(ValueError, match="`start_step`.*-1"):
        batches(numbered(4), 2, start_step=-1)
