"""
Title: Your own images
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/25
Description: A folder without labels, other sizes and channels, your own encoder, views and loss.
"""

"""
## Three commands

From nothing to a trained encoder on a folder of images:

```
python3 -m venv .venv
.venv/bin/pip install -c constraints.txt -e .
.venv/bin/python recipes/folder.py --data_dir=my_images --image_size=64 --backbone=tiny --epochs=20
```

`my_images` is your folder. Without `--backbone=tiny` the encoder is a ResNet-18, which wants a
GPU, and without `--epochs` it trains for 100; `--augment=device` is faster where the images
fit into memory.

The folder may hold images directly (no labels, no probe), or one sub-folder for each class; then
the classes are used by the probe, and a fifth of each is kept for its test. Images of several
sizes need `--image_size`; what cannot be read is refused by name, or skipped with
`--on_bad_image=skip`. A folder `train` may have `test` and `unlabelled` beside it. The run leaves
`encoder.keras` and `report.html` in its folder below `runs/`; the report shows what the encoder
finds alike.

## In Python

For this guide, a folder is made first: 64 pictures of two sizes.
"""

import pathlib

import keras
import numpy as np
from keras import ops
from PIL import Image

import keras_mvssl as mv

drawn, classes = mv.data.shapes.draw(64, seed=3)
folder = pathlib.Path("drawn_images")
folder.mkdir(exist_ok=True)
for i, pixels in enumerate(drawn):
    side = 32 if i % 2 else 48
    Image.fromarray(pixels).resize((side, side)).save(folder / f"{i:03}.png")

"""
`load` takes it by name. Without labels, `train` and `test` are None.
"""

splits = mv.data.load(f"folder:{folder}", image_size=32)
print(len(splits.pretrain), splits.image_shape, splits.train)

"""
## Your own augmentation

Say what may happen to an image *without changing what it shows*: the encoder learns to ignore it.
Digits must not be flipped, satellite images may be; where colour is what matters, leave it alone.
Look at the views before training: [Two engines for views](kerascv_and_on_device_views.md).
"""

augmentation = mv.views.Augmentation(
    size=32,
    crop_area=(0.4, 1.0),  # small things at the rim must not be cut off
    flip=0.5,
    jitter=0.8,
    hue=0.0,
    grayscale=0.0,
)
views = mv.views.RandomViews(augmentation, views=4)
encoder = mv.models.TinyResNet(splits.image_shape, width=8)
projector = mv.models.Projector(encoder.output_shape[-1], dim=32)
model = mv.MultiViewModel(encoder, projector, views)
model.compile(optimizer="adam")
model.fit(mv.data.batches(splits.pretrain, batch_size=32), epochs=2, verbose=2)
encoder.save("encoder.keras")

"""
## Which images are alike

Features of images alone are what `predict` returns. Here `pretrain` has the images in the sorted
order of their paths: the folder has no classes, of which some would be kept for a test; all are
good; and they fit into memory (a stream is permuted).
"""

features = encoder.predict(splits.pretrain, verbose=0)
unit = features / np.linalg.norm(features, axis=1, keepdims=True)
names = [path.name for path in sorted(folder.glob("*.png"))]
near = np.argsort(-(unit @ unit[0]))
print(f"Most like {names[0]}:", [names[i] for i in near[1:4]])

"""
From a shell, the same features in a file:

```
python recipes/evaluate.py encoder.keras --dataset=folder:drawn_images --image_size=32 --export_features=features.npz
```

## Other sizes, other channels

`TinyResNet` and `ResNet18(stem="cifar")` suit 32 to 96 pixels, `ResNet18(stem="imagenet")` and
`ResNet50` larger ones. Views may be smaller than images: set `Augmentation(size=...)`, and build
the encoder for the views. Images with other than three channels need an augmentation without
saturation, hue and grayscale, which are about RGB; give the encoder their mean and deviation.
"""

bands = np.random.default_rng(0).integers(0, 256, (64, 24, 24, 5), dtype="uint8")
no_color = mv.views.Augmentation(size=16, saturation=0.0, hue=0.0, grayscale=0.0)
encoder = mv.models.TinyResNet(
    (16, 16, 5), width=8, mean=float(bands.mean()), std=float(bands.std())
)
model = mv.MultiViewModel(
    encoder,
    mv.models.Projector(encoder.output_shape[-1], dim=32),
    mv.views.RandomViews(no_color, views=2),
)
model.compile(optimizer="adam")
model.fit(mv.data.batches(bands, batch_size=32), epochs=1, verbose=2)

"""
## Your own encoder

Any functional or Sequential `keras.Model` from images in [0, 255] to pooled features `(N, F)`.
Normalising is its first layer, so that the saved encoder takes plain images. Models of
`keras.applications` that normalise within, such as EfficientNetV2 and MobileNetV3, fit as well, with
`include_top=False, pooling="avg"`.
"""


def my_encoder(input_shape):
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(input_shape),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(16, 3, strides=2, activation="gelu"),
            layers.BatchNormalization(),
            layers.Conv2D(32, 3, strides=2, activation="gelu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
        ]
    )


"""
## Your own loss

A `keras.losses.Loss` on projections `(B, V, D)`; `y_true` means nothing. It sees the whole batch,
of all devices. This one is the spectral contrastive loss of HaoChen et al. (2021), on mean views: views
of an image are alike, different images are orthogonal.
"""


class SpectralContrastive(keras.losses.Loss):
    def call(self, y_true, y_pred):
        z = ops.cast(y_pred, "float32")
        batch, views = ops.cast(ops.shape(z)[0], "float32"), z.shape[1]
        total = ops.sum(z, axis=1)
        squares = ops.sum(ops.square(z))
        alike = (ops.sum(ops.square(total)) - squares) / (batch * views * (views - 1))
        mean = total / views
        products = ops.square(ops.matmul(mean, ops.transpose(mean)))
        others = ops.sum(products) - ops.sum(ops.square(ops.sum(mean * mean, axis=1)))
        return others / (batch * (batch - 1)) - 2 * alike


encoder = my_encoder((32, 32, 3))
model = mv.MultiViewModel(
    encoder,
    mv.models.Projector(encoder.output_shape[-1], dim=32),
    mv.views.RandomViews(augmentation, views=4),
)
model.compile(optimizer="adam", loss=SpectralContrastive())
model.fit(mv.data.batches(splits.pretrain, batch_size=32), epochs=2, verbose=2)

"""
## Your own data set

An array of images, or with TensorFlow a `tf.data.Dataset` of single ones, is a data set. What
fits in neither is a `keras.utils.PyDataset` of batches of images (or of views): here, frames that
are read from one memory-mapped file as they are needed.
"""


class Frames(keras.utils.PyDataset):
    def __init__(self, path, batch_size, seed=0):
        super().__init__(workers=1)
        self.frames = np.load(path, mmap_mode="r")
        self.batch_size = batch_size
        self.rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self):
        return len(self.frames) // self.batch_size

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return (self.frames[np.sort(rows)],)

    def on_epoch_end(self):
        self.order = self.rng.permutation(len(self.frames))


np.save("frames.npy", drawn)
model.fit(Frames("frames.npy", batch_size=32), epochs=2, verbose=2)

"""
Recipes take your own data as well: save it as `x_train` (and `y_train`, `x_test`, `y_test`) of an
`.npz` file, and give `Recipe(dataset="npz:PATH")` to `keras_mvssl.training.run`.

Few labels? [Transfer and fine-tuning](transfer_and_fine_tuning.md).
"""
