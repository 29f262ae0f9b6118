"""
Title: Getting started
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/25
Description: Pretrain an encoder without labels, probe it, save it and load it again.
"""

"""
## What happens

```
images -> V views of each -> encoder -> projector -> loss
```

Each image is cropped, flipped and recoloured at random into V views. The encoder sees all of
them; the loss asks that views of one image agree, and that different features say different
things. No label is used. Afterwards the projector is thrown away, and the encoder is yours.

Choose the backend before Keras is imported: `KERAS_BACKEND=tensorflow`, `jax` or `torch`.

## Fit a data set of views

`"shapes"` is drawn by code, so that there is nothing to download. Its labels are for the probe
alone.
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
`multiview_ds` is an endless `tf.data.Dataset` of `(128, 4, 32, 32, 3)` views in [0, 255], which
tells `fit` how long an epoch is. `probe_accuracy` in the logs is what a linear classifier reads
from the frozen features, on test images.

The loss itself says little: it falls as views agree, and does not tell what the features are
worth. [Reading the diagnostics](reading_the_diagnostics.md) says what to look at.

## Save and load

The encoder holds stock Keras layers only. It takes plain images in [0, 255], and the file loads
in Keras 3 on any backend, without this package.
"""

encoder.save("encoder.keras")
loaded = keras.saving.load_model("encoder.keras")
features = loaded.predict(splits.test[0][:8], verbose=0)
print(features.shape)

"""
## Probe afterwards

Features are extracted once, and any classifier may use them.
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

does all of this, and leaves curves, pictures and settings in a folder of its own.

Next: [the method step by step](multi_view_barlow_twins.md), or
[your own images](your_own_images.md).
"""
