"""Pretrains a tiny ResNet on shapes: the whole pipeline in minutes, on a CPU.

    python recipes/shapes.py --views=4

Views are made by `RandomViews`, in the training step: the images are small and in
memory, and on a CPU, where KerasCV's layers would take cores from training, they cost
a tenth of those.
"""

from keras_mvssl.training import Recipe
from keras_mvssl.training import main
from keras_mvssl.views import Augmentation

RECIPE = Recipe(
    dataset="shapes",
    augmentation=Augmentation.preset("shapes"),
    augment="device",
    backbone="tiny",
    projector_dim=128,
    epochs=4,
    batch_size=128,
    learning_rate=2e-3,
)

if __name__ == "__main__":
    main(RECIPE)
