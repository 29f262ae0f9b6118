"""Pretrains a tiny ResNet on shapes: the whole pipeline in minutes, on a CPU.

python recipes/shapes.py --views=4
"""

from keras_mvssl.training import Recipe
from keras_mvssl.training import main
from keras_mvssl.views import Augmentation

RECIPE = Recipe(
    dataset="shapes",
    augmentation=Augmentation.preset("shapes"),
    backbone="tiny",
    projector_dim=128,
    epochs=4,
    batch_size=128,
    learning_rate=2e-3,
)

if __name__ == "__main__":
    main(RECIPE)
