"""Callback that writes logs and pictures for TensorBoard, without TensorFlow."""

import io
import os
import time
from collections.abc import Sequence

import keras
import numpy as np

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.checks import check_labelled
from keras_mvssl._internal.files import atomic_write
from keras_mvssl._internal.files import local_path
from keras_mvssl._internal.files import warn_on_error
from keras_mvssl.callbacks.eigenspectrum import Spectrum
from keras_mvssl.callbacks.lazy_logs import numbers_in
from keras_mvssl.callbacks.probe import check_encoder
from keras_mvssl.callbacks.probe import check_fit
from keras_mvssl.callbacks.probe import flat_labels
from keras_mvssl.callbacks.view_gallery import ViewGallery
from keras_mvssl.evaluation import extract_features


class TensorBoard(keras.callbacks.Callback):
    """Callback that writes the logs of each epoch, and pictures, as event files.

    `keras.callbacks.TensorBoard` needs TensorFlow; this callback needs the
    `tensorboard` package instead. List it after the callbacks whose logs it should see;
    entries that are no single numbers are left out. Among several processes, the first
    one writes.

    Args:
        log_dir: Folder for the event files.
        gallery: Optional `ViewGallery`, listed before, whose picture is shown.
        spectrum: Optional `Spectrum`, listed before, whose eigenvalues are drawn after
            each measurement.
        embedding: Optional labelled images, `(images, labels)` arrays. Their features
            after training are written for the embedding projector, with the images.
        class_names: Names of the labels, for the embedding projector.

    Raises:
        ValueError: For an `embedding` that is not labelled images, or with a `log_dir`
            of another scheme, such as a bucket.

    Example:
    ```python
    probe = keras_mvssl.callbacks.LinearProbe(splits.train, splits.test)
    board = keras_mvssl.callbacks.TensorBoard("logs")
    model.fit(stream, epochs=10, callbacks=[probe, board])
    # tensorboard --logdir logs
    ```
    """

    def __init__(
        self,
        log_dir: str | os.PathLike,
        gallery: ViewGallery | None = None,
        spectrum: Spectrum | None = None,
        embedding: tuple | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.log_dir = os.fspath(log_dir)
        # TensorBoard's writer takes `gs://`, but we and `pathlib` do not.
        if "://" not in self.log_dir or embedding is not None:
            self.log_dir = str(local_path(log_dir, "log_dir"))
        self.gallery = gallery
        self.spectrum = spectrum
        if embedding is not None:
            embedding = flat_labels(embedding)
            check_labelled(embedding, "embedding")
            if hasattr(embedding, "element_spec"):
                raise ValueError(
                    "`embedding` must be arrays, (images, labels). "
                    f"Received: embedding of type {type(embedding).__name__}"
                )
            embedding = np.asarray(embedding[0]), np.asarray(embedding[1])
        self.embedding = embedding
        self.class_names = class_names
        self._writer = None
        self._is_writing = False

    def on_train_begin(self, logs=None):
        if not distribution.is_chief():
            return
        from tensorboard.compat.proto.event_pb2 import SessionLog

        if self.embedding is not None:
            check_encoder(self.model)
            check_fit(self.model, self.embedding[0].shape[1:], "embedding")
        self._is_writing = True
        # Makes TensorBoard drop the later steps that an interrupted run has written.
        start = SessionLog(status=SessionLog.START)
        self._write(step=self._step() + 1, session_log=start)
        # A measurement of an earlier `fit` is not drawn again.
        self._drawn = self.spectrum and self.spectrum.latest
        if self.gallery is not None and self.gallery.picture is not None:
            from keras_mvssl.callbacks import figures

            png = figures.picture(self.gallery.picture)
            self._write_picture("views", png, self._step())

    def on_epoch_end(self, epoch, logs=None):
        if not self._is_writing:
            return
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in numbers_in(logs).items()
        ]
        self._write(step=self._step(), summary=Summary(value=values))
        latest = self.spectrum and self.spectrum.latest
        if latest is not None and latest is not self._drawn:
            from keras_mvssl.callbacks import figures

            self._drawn = latest
            png = figures.spectra({"": latest.eigenvalues})
            self._write_picture("spectrum", png, self._step())

    def on_train_end(self, logs=None):
        if self.embedding is not None:
            # All processes take part: those of TensorFlow compute features together.
            features, labels = distribution.once(
                lambda: extract_features(self.model.encoder, self.embedding)
            )
        if not self._is_writing:
            return
        if self.embedding is not None:
            names = [
                self.class_names[label] if label < len(self.class_names) else label
                for label in labels
            ]
            with warn_on_error(self.log_dir):
                write_embedding(self.log_dir, features, names, self.embedding[0])
        if self._writer is not None:
            with warn_on_error(self.log_dir, Exception):
                self._writer.close()

    def _step(self):
        return int(_backend.value_of(self.model.optimizer.iterations))

    def _write(self, **event):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        writer, self._writer = self._writer, None
        # Where TensorFlow is installed, errors are of its own classes. A writer that
        # has raised an error raises it at every call, so it is replaced.
        with warn_on_error(self.log_dir, Exception):
            writer = writer or EventFileWriter(self.log_dir)
            writer.add_event(Event(wall_time=time.time(), **event))
            writer.flush()
            self._writer = writer

    def _write_picture(self, tag, png, step):
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = Image.open(io.BytesIO(png)).size
        image = Summary.Image(
            encoded_image_string=png, width=width, height=height, colorspace=3
        )
        value = Summary.Value(tag=tag, image=image)
        self._write(step=step, summary=Summary(value=[value]))


def write_embedding(log_dir, features, names, images):
    """Write the files for TensorBoard's embedding projector.

    Args:
        log_dir: Folder of the event files.
        features: `(N, F)`.
        names: Names of the N points.
        images: `(N, H, W, C)` in [0, 255], shown with a side of at most 48 pixels.
    """
    from PIL import Image

    folder = local_path(log_dir, "log_dir")
    with atomic_write(folder / "embedding.tsv") as path:
        np.savetxt(path, features, fmt="%.5g", delimiter="\t")
    # Each point has one line, so names must not contain line breaks or tabs.
    lines = [" ".join(str(name).split()) + "\n" for name in names]
    with atomic_write(folder / "labels.tsv") as path:
        path.write_text("".join(lines), encoding="utf-8")
    side = min(48, *images.shape[1:3])
    columns = int(np.ceil(np.sqrt(len(images))))
    sprite = Image.new("RGB", (columns * side, columns * side))
    for i, image in enumerate(np.clip(images, 0, 255).astype("uint8")):
        pixels = image if image.shape[-1] == 3 else np.repeat(image[..., :1], 3, -1)
        place = (i % columns) * side, (i // columns) * side
        sprite.paste(Image.fromarray(pixels).resize((side, side)), place)
    with atomic_write(folder / "sprite.png") as path:
        sprite.save(path)
    with atomic_write(folder / "projector_config.pbtxt") as path:
        path.write_text(
            'embeddings {\n  tensor_name: "features of test images"\n'
            '  tensor_path: "embedding.tsv"\n  metadata_path: "labels.tsv"\n'
            '  sprite {\n    image_path: "sprite.png"\n'
            f"    single_image_dim: {side}\n    single_image_dim: {side}\n  }}\n}}\n"
        )
