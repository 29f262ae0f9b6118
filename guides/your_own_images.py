"""
Title: Your own images
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/29
Description: A folder without labels, other sizes and channels, your own encoder, views and loss.
"""

"""
## Three commands

These commands, run in a clone of the repository, install the package and train an encoder on a
folder of images:

```
python3 -m venv .venv
.venv/bin/pip install -c constraints.txt -e .
.venv/bin/keras-mvssl pretrain my_images
```

`my_images` is your folder. The command looks at the number and the sizes of the images and at the
machine, and chooses the size of images, the network, views, batch and epochs; it prints each choice
with its reason, and flags that are given win: `--epochs=20`. `recipes/folder.py`, a script to copy
and change, does the same job with fixed settings.

The folder may hold:

- images directly: there are no labels, and so no probe;
- one sub-folder for each class: the probe uses the classes, and keeps a fifth of the images of
  each class for its test;
- the folder `train` and, optionally, `test` and `unlabelled`.

The names of these folders may be in upper or lower case. The run leaves `encoder.keras` and `report.html` in its folder below
`runs/`. The report shows which images the encoder finds similar.

Every file below the folder is read, refused, or told of. A file that cannot be read stops the run
with an error that names the file; with `--on_bad_image=skip` it is skipped, and listed in
`bad_images.txt`. One printed line says how many files were left out, read in part or changed, with
the first of each kind:

| Kind of file | What is done |
|---|---|
| JPEG, PNG, BMP, GIF, WebP, PPM, TIFF, JPEG 2000, AVIF | read, whichever of their suffixes they have; the content decides on the decoder, and no other one is started |
| other suffixes, such as `.txt` or `.heic` | left out, and told of |
| hidden files and folders, such as `.ipynb_checkpoints` | left out, and told of |
| links to files and folders (symbolic ones) | followed; what is read already is left out and told of, and a file in both the test set and another part is refused |
| broken links, pipes, folders that may not be read | treated as a file that cannot be read |
| parts that are transparent | laid over white, and told of |
| gray of 9 to 16 bits | scaled to 8 bits by the bits of the brightest pixel of the file, and told of |
| color of 16 bits | the upper 8 bits are kept; told of if the file uses less than half of them |
| more than 16 bits, signed or fractional values | treated as a file that cannot be read |
| layouts that Pillow decodes wrongly (some planar, subsampled or signed TIFF) | treated as a file that cannot be read |
| several pages or frames, more channels | the first page, and the first channels, are read; told of |
| more pixels than `max_pixels` of `load` | JPEG (not progressive) and JPEG 2000 are decoded smaller if `image_size` is given, and told of; others are treated as a file that cannot be read |

## In Python

The code below first makes a folder for this guide: 64 pictures of two sizes.
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
`load` takes the folder by name. Without labels, `train` and `test` are None. If sub-folders are no
classes, but days, cameras or patients, `labels="none"` reads the images of all of them.
"""

splits = mv.data.load(f"folder:{folder}", image_size=32)
print(len(splits.pretrain), splits.image_shape, splits.train)

"""
## Your own augmentation

An augmentation says what may happen to an image *without changing what the image shows*: the
encoder learns to ignore these changes. Digits must not be flipped; satellite images may be. Where
colour matters, do not change it. Look at the views before you train:
[Two engines for views](kerascv_and_on_device_views.md) shows how.
"""

augmentation = mv.views.Augmentation(
    size=32,
    crop_area=(0.4, 1.0),  # A crop must not cut off small objects near the edge.
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
## A step of your own in the augmentation

`RandomViews(extra=[...])` applies steps of your own to the views: functions or Keras layers that
take `(N, h, w, C)` in [0, 255] and return the same shape. Under a microscope there is no up or
down. The step below turns each view by 0, 90, 180 or 270 degrees. It asks `draws` for its random
numbers, one for each view in [0, 1), so its views are the same on every backend and number of
devices, and in a run that was stopped and goes on. (Turned views must be square.)
"""


@keras.saving.register_keras_serializable()
def quarter_turns(views, draws):
    turns = ops.reshape(ops.floor(4 * draws("quarter turns")), (-1, 1, 1, 1))
    turned = views
    for count in (1, 2, 3):
        rotated = ops.rot90(views, count, axes=(1, 2))
        turned = ops.where(turns == count, rotated, turned)
    return turned


turned_views = mv.views.RandomViews(augmentation, views=4, extra=[quarter_turns])
print(turned_views(drawn[:8], step=0).shape)

"""
Checkpoints hold the steps, so functions and layers of your own need the decorator, in the script
that goes on as well. A function must take all its random numbers from `draws`.

Layers of Keras without weights work too. Random erasing covers a rectangle, here in half of the
views and with black, so that no single part of an image is enough to recognise it. Such a layer
draws from random state of its own, and a warning says what follows: a run that goes on repeats its
numbers, but other backends, numbers of devices and batch sizes give others, and on several devices
of TensorFlow or PyTorch each device may draw the same numbers for its part of the batch.
"""

erasing = keras.layers.RandomErasing(factor=(0.5, 0.5), fill_value=0.0, seed=0)
erased_views = mv.views.RandomViews(augmentation, views=4, extra=[erasing])
encoder = mv.models.TinyResNet(splits.image_shape, width=8)
model = mv.MultiViewModel(
    encoder, mv.models.Projector(encoder.output_shape[-1], dim=32), erased_views
)
model.compile(optimizer="adam")
model.fit(mv.data.batches(splits.pretrain, batch_size=32), epochs=1, verbose=2)

"""
## Which images are similar

For images without labels, `predict` returns the features. Here `pretrain` holds the images in the
sorted order of their paths, because the folder has no classes (with classes, some images would be
kept for a test), no image was skipped, and all images fit into memory (larger data are streamed in
a shuffled order).
"""

features = encoder.predict(splits.pretrain, verbose=0)
unit = features / np.linalg.norm(features, axis=1, keepdims=True)
names = [path.name for path in sorted(folder.glob("*.png"))]
near = np.argsort(-(unit @ unit[0]))
print(f"Most like {names[0]}:", [names[i] for i in near[1:4]])

"""
The same features can be written to a file from a shell:

```
python recipes/evaluate.py encoder.keras --dataset=folder:drawn_images --image_size=32 --export_features=features.npz
```

## Other sizes, other channels

`TinyResNet` and `ResNet18(stem="cifar")` suit images of 32 to 96 pixels; `ResNet18(stem="imagenet")`
and `ResNet50` suit larger ones. Views may be smaller than images: set `Augmentation(size=...)`, and
build the encoder for the size of the views. Saturation, hue and grayscale need RGB: for images
with another number of channels, choose an augmentation without them, and give the encoder the mean
and the standard deviation of the images.
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

An encoder is any functional or Sequential `keras.Model` from images in [0, 255] to pooled features
`(N, F)`. Its first layer normalises the images, so the saved encoder takes plain images. Models of
`keras.applications` that normalise their own input, such as EfficientNetV2 and MobileNetV3, can be
used with `include_top=False, pooling="avg"`.

Register activation functions of your own with `@keras.saving.register_keras_serializable()`. Keras
3.15 saves other functions by their names alone: if yours is called `gelu`, the encoder that you
load computes with Keras' own `gelu`, without a warning
([findings](../findings/keras_function_named_like_its_own_loads_as_its_own.sh)).
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

A loss is a `keras.losses.Loss` on projections `(B, V, D)`; it ignores `y_true`. It receives the
projections of the whole batch, on all devices. The example below is the spectral contrastive loss
of HaoChen et al. (2021), on mean views: views of one image are similar, and different images are
orthogonal.
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
A loss that draws random numbers declares `step = 0`. The model sets it in each call to the number
of training steps before, and keeps that number in checkpoints. The numbers that `random_normal`
draws by it differ in each step, and are the same on every backend and number of devices, and in a
run that goes on. A `SeedGenerator` in a loss is refused on JAX, where it would give the same
numbers in each step.
"""


class SpectralContrastiveOnSomeFeatures(SpectralContrastive):
    step = 0

    def call(self, y_true, y_pred):
        shape = y_pred.shape[-1], 8
        some = mv.losses.random_normal(shape, seed=0, step=self.step) / 8**0.5
        return super().call(y_true, ops.matmul(y_pred, some))


model.compile(optimizer="adam", loss=SpectralContrastiveOnSomeFeatures())
model.fit(mv.data.batches(splits.pretrain, batch_size=32), epochs=1, verbose=2)

"""
## Your own data set

A data set is an array of images or, with TensorFlow, a `tf.data.Dataset` of single images. For
other data, write a `keras.utils.PyDataset` that returns batches of images (or of views). The
example below reads frames from one memory-mapped file when they are needed.
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
## All in one call

`training.run` does the whole job of a recipe: it trains, probes, saves, writes the report, goes on
where it was stopped, and gives the same weights on one device and on several. Any part may be an
object of your own in place of a name: the encoder (a model, of which a copy is trained, or a
function of the shape of a view that makes one), the loss, the views, callbacks, and the data (an
array, or `Splits` with labels for the probes).
"""

results = mv.training.run(
    mv.training.Recipe(epochs=1, batch_size=32, projector_dim=32),
    "own_run",
    encoder=my_encoder,
    loss=SpectralContrastive(),
    views=mv.views.RandomViews(augmentation, views=4),
    callbacks=[keras.callbacks.TerminateOnNaN()],
    data=splits.pretrain,
)
print(results["loss"], results["views_seen"])

"""
The same call goes on with a run that was stopped. Parts that are not those of the run are refused
by name; what cannot be compared, such as the code of a lambda, is printed. On several devices, give
functions rather than models: TensorFlow and JAX must know the devices before anything is built.
With `devices` above 1, PyTorch starts the script once for each device.

`Recipe.from_config("own_run")` returns the recipe of a run. A new run begins with the weights of a
saved model that fits by `Recipe(init="own_run/encoder.keras")`, or by `--init` in a recipe. A run
that has ended is trained for more epochs by the same call with a larger `epochs`, if its learning
rate stays (`schedule="constant"`): it ends with the weights of a run of so many epochs from the
start. By default the learning rate decays to 0 by the last epoch, and such a run is not made
longer: begin a new one with `init`, whose rate warms up and decays again.

An encoder of your own may have batch normalisation with a momentum that is large for a short
training: with Keras' default of 0.99, 37 % of its moving statistics are from before the training
after 100 steps, with 0.999, 90 %. Its frozen features are distorted. Where the share is above 5 %
(and 30 steps are done), probes and `training.run` warn, and measure the encoder with statistics of
training images instead, as `evaluation.with_batch_statistics` does; `encoder.keras` has them too,
and training goes on with its own. `batch_statistics=False` in a probe measures the encoder as it is.

Recipes take your own data as well: save the images as `x_train` (and, if you have them, `y_train`,
`x_test` and `y_test`) in an `.npz` file, and give it by `Recipe(dataset="npz:PATH")`.
`--augmentation=crop_area=0.3:1,hue=0.1` replaces parts of a recipe's augmentation.

If you have few labels, continue with [Transfer and fine-tuning](transfer_and_fine_tuning.md).
"""
