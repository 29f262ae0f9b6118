"""Tiny data sets on disk, in place of those that must be downloaded."""

import numpy as np
from PIL import Image


def write_folder(folder, count, size):
    """Writes JPEG files of noise in folders of two classes.

    Args:
        folder: To be made.
        count: Images of each class.
        size: `(height, width)`.
    """
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype="uint8"))
            image.save(folder / name / f"{i}.jpg")


def write_tfds(name, labels, data_dir):
    """Writes a TFDS data set of the real name, version and features.

    Args:
        name: Of a data set that TFDS knows.
        labels: `{split: labels}`, names or numbers.
        data_dir: Folder of TFDS data.
    """
    import tensorflow_datasets as tfds

    real = tfds.builder(name, data_dir=data_dir)
    shape = [side or 10 for side in real.info.features["image"].shape]
    with tfds.core.registered.skip_registration():

        class Tiny(tfds.core.GeneratorBasedBuilder):
            VERSION = real.version

            def _info(self):
                return tfds.core.DatasetInfo(
                    builder=self,
                    features=real.info.features,
                    supervised_keys=("image", "label"),
                )

            def _split_generators(self, downloads):
                return {s: self._generate_examples(s) for s in labels}

            def _generate_examples(self, split):
                rng = np.random.default_rng(0)
                for i, label in enumerate(labels[split]):
                    image = rng.integers(0, 256, shape, dtype="uint8")
                    row = dict.fromkeys(real.info.features, "0")
                    if "coarse_label" in row:
                        row["coarse_label"] = 0
                    yield i, {**row, "image": image, "label": label}

        Tiny.name = name
        offline = tfds.download.DownloadConfig(try_download_gcs=False)
        Tiny(data_dir=data_dir).download_and_prepare(download_config=offline)
