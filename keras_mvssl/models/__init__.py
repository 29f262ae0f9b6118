"""The multi-view model, encoders and the projector."""

from keras_mvssl.models.multi_view_model import MultiViewModel
from keras_mvssl.models.projector import Projector
from keras_mvssl.models.resnet import ResNet18
from keras_mvssl.models.resnet import ResNet50
from keras_mvssl.models.resnet import TinyResNet

__all__ = ["MultiViewModel", "Projector", "ResNet18", "ResNet50", "TinyResNet"]
