"""
Title: Getting started
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/28
Description: Pretrain an encoder without labels, probe it, save it and load it again.
"""

"""
## What happens

```
images -> V views of each image -> encoder -> projector -> loss
```

Random crops, flips and changes of colour turn each image into V *views*. The *encoder*, a neural
network, turns each view into a vector of *features*. The *projector*, a small network on top of the
encoder, turns the features into the vectors that the loss compares. The loss is low where the
views of an image agree, and where different features carry different information. Training uses no
labels. After training, the projector is discarded and you keep the encoder.

Choose the backend before Keras is imported: set the environment variable `KERAS_BACKEND` to
`tensorflow`, `jax` or `torch`.

## Train on a data set of views

The images of the data set `"shapes"` are drawn by code, so nothing is downloaded. Only the probe,
which measures the features, uses their labels.
"""

import keras

import keras_mvssl as mv

splits = mv.data.load("shapes")
views = mv.views.KerasCVViews(mv.views.Augmentation.preset("shapes"), views=4)
multiview_ds = mv.data.multiview(splits.pretrain, views, batch_size=128)

encoder = mv.models.TinyResNet(splits.image_shape)
projector = mv.models.Projector(encoder.output_shape[-1], dim=128)
model = mv.MultiViewModel(encoder, projector)
model.compile(optimizer=keras.optimizers.AdamW(2e-3), loss=mv.losses.BarlowTwins())
probe = mv.callbacks.LinearProbe(splits.train, splits.test)
model.fit(multiview_ds, epochs=2, callbacks=[probe], verbose=2)

"""
`multiview_ds` is an endless `tf.data.Dataset` of views of shape `(128, 4, 32, 32, 3)`: 128 images,
4 views of each, 32 x 32 pixels, 3 channels, with values in [0, 255]. It tells `fit` the number of
steps of an epoch. `probe_accuracy` in the logs is the accuracy on test images of a linear
classifier that is trained on the frozen features.

`load` also takes `"folder:PATH"`, `"npz:PATH"` and the name of any data set of TensorFlow Datasets
(TFDS) with images and labels. The encoder may be any functional or Sequential `keras.Model` with
pooled output. Images and views are in [0, 255] everywhere; the first layer of the encoder
normalises them. `MultiViewModel` is a `keras.Model` that is trained by Keras' own `train_step` of
each backend. It adds only `compute_loss` and checks of its inputs, so mixed precision, callbacks
and `.keras` files work as usual.

The loss alone does not measure the features: it falls as the views agree, whether the features
are useful or not. [Reading the diagnostics](reading_the_diagnostics.md) explains what to watch.

## Save and load

The encoder consists of stock Keras layers and takes plain images in [0, 255]. Keras 3 loads the
saved file on any backend, without this package.
"""

encoder.save("encoder.keras")
loaded = keras.saving.load_model("encoder.keras")
features = loaded.predict(splits.test[0][:8], verbose=0)
print(features.shape)

"""
## Measure the features after training

Extract the features once; any classifier can then be trained on them.
"""

train, test = (
    mv.evaluation.extract_features(loaded, x) for x in (splits.train, splits.test)
)
print(f"Linear probe: {mv.evaluation.linear_probe(train, test).accuracy:.1%}")
print(f"20 nearest neighbours: {mv.evaluation.knn(train, test, k=20).accuracy:.1%}")

"""
## The same as a recipe

```
python recipes/shapes.py --views=4
```

This command does all of the above, and leaves curves, pictures and settings in a folder of its
own. Its first line names the device that it runs on.

Each recipe has a table of settings for 2, 4 and 8 views. For another number of views, such as
`--views=3`, the recipe interpolates between the numbers of the table, and prints them. Flags take
precedence over the table. `--loss=vicreg` and `--loss=reformulated` change the objective. Recipes
for TFDS data sets can do without TensorFlow: for `--data_dir`, give an npz file with the arrays
`x_train`, `y_train`, `x_test` and `y_test`.

Next: [the method step by step](multi_view_barlow_twins.md), or
[your own images](your_own_images.md).
"""
