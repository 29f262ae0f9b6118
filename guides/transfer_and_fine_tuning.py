"""
Title: Transfer and fine-tuning
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/30
Description: Frozen features, fine-tuning, few labels, and the encoder in other programs.
"""

"""
After pretraining, the encoder is an ordinary `keras.Model` from images in [0, 255] to features.
The code below briefly pretrains an encoder without labels, to have an example. You would load your
own from its `encoder.keras`.
"""

import pathlib

import keras
import numpy as np

import keras_mvssl as mv

keras.utils.set_random_seed(0)
images, labels = mv.data.shapes.draw(3000, seed=0)
test = mv.data.shapes.draw(1000, seed=1)

encoder = mv.models.TinyResNet((32, 32, 3))
model = mv.MultiViewModel(
    encoder,
    mv.models.Projector(encoder.output_shape[-1], dim=64),
    mv.views.RandomViews(mv.views.Augmentation.preset("shapes"), views=4),
)
model.compile(keras.optimizers.AdamW(2e-3))
model.fit(mv.data.batches(images, batch_size=64), epochs=3, verbose=2)
encoder.save("encoder.keras")

"""
## Frozen features

The cheapest use: extract the features once, and train any classifier on them. With `fraction`, the
probe uses only that share of the labels of each class.
"""

pretrained = keras.saving.load_model("encoder.keras")
features = mv.evaluation.extract_features(pretrained, (images, labels))
test_features = mv.evaluation.extract_features(pretrained, test)
for fraction in (0.01, 0.1, 1.0):
    found = mv.evaluation.linear_probe(features, test_features, fraction=fraction)
    print(f"{fraction:4.0%} of the labels: {found.accuracy:.1%}")

"""
The protocol of the paper averages the features over several views of each image. It needs one
forward pass for each view.
"""

views = mv.views.RandomViews(mv.views.Augmentation.preset("shapes"), views=4)
averaged = [
    mv.evaluation.extract_features(pretrained, x, views=views)
    for x in ((images, labels), test)
]
print(f"Mean of 4 views: {mv.evaluation.linear_probe(*averaged).accuracy:.1%}")

"""
## Fine-tuning

With more labels, train the encoder too. First train the new head alone, so that its random weights
do not spoil the features. Then train the whole network at a tenth of the learning rate.
`trainable = False` also keeps the statistics of batch normalisation as they are.
"""

few = np.arange(500)


def classifier(encoder):
    inputs = keras.Input((32, 32, 3))
    logits = keras.layers.Dense(10)(encoder(inputs))
    return keras.Model(inputs, logits)


def train(model, rate, epochs):
    model.compile(
        keras.optimizers.AdamW(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(images[few], labels[few], batch_size=50, epochs=epochs, verbose=0)
    return model.evaluate(*test, verbose=0)[1]


x, y = features
frozen = mv.evaluation.linear_probe((x[few], y[few]), test_features)
print(f"Probe of frozen features: {frozen.accuracy:.1%}")
pretrained.trainable = False
tuned = classifier(pretrained)
print(f"Head alone: {train(tuned, 1e-2, epochs=10):.1%}")
pretrained.trainable = True
print(f"All of it: {train(tuned, 1e-3, epochs=10):.1%}")

"""
Compare with the same network trained from random weights. If its accuracy is as high, pretraining
brought nothing.
"""

scratch = classifier(mv.models.TinyResNet((32, 32, 3)))
print(f"From random weights: {train(scratch, 1e-2, epochs=20):.1%}")

"""
With these 500 labels, TensorFlow on a CPU gave 57.1 % for the probe of frozen features, 52.0 % for
the head alone, 68.0 % for the whole network, and 58.9 % from random weights.

## The encoder in other programs

`encoder.keras` holds stock Keras layers. It loads without this package and on any backend,
whichever backend trained it; its features agree to 1e-4. Give it plain images in [0, 255].

`encoder.export` writes the encoder for programs without Keras:

| Backend | `format="tf_saved_model"` | `format="onnx"` |
|---|---|---|
| TensorFlow | yes | needs `tf2onnx` |
| JAX | needs TensorFlow | needs `jax2onnx` |
| PyTorch | no, in Keras 3.15 | needs `onnx` and `onnxscript` |

Before an export to ONNX, call the encoder once. Since `encoder.keras` loads on any backend, you
can export on the backend that offers the format you need. An encoder for images of any size, such
as `TinyResNet((None, None, 3))`, is exported for any size. On JAX it needs
`jax2tf_kwargs={"with_gradient": False}` as well: JAX cannot write the gradients of strided
convolutions of unknown sizes.

Under `mixed_bfloat16`, an ONNX file is written that ONNX Runtime refuses to load, as its
convolutions have no bfloat16 (Keras 3.15, onnxruntime 1.32); under `mixed_float16` it loads, with
features in float16. Export a float32 copy, whose features are those of the encoder within the
rounding of its precision:
"""


def in_float32(model):
    def clone(layer):
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(model, clone_function=clone, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


encoder = in_float32(encoder)

if keras.backend.backend() != "torch":
    import tensorflow as tf

    encoder.export("exported", format="tf_saved_model", verbose=False)
    served = tf.saved_model.load("exported")
    out = np.asarray(served.serve(test[0][:8].astype("float32")))
    expected = mv.evaluation.extract_features(encoder, (test[0][:8], test[1][:8]))[0]
    print(f"Largest difference: {np.abs(out - expected).max():.1e}")
print(sorted(path.name for path in pathlib.Path().iterdir()))
