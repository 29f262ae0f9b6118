"""The step of training, for losses that draw random numbers by it."""

import contextlib

from keras import ops

from keras_mvssl import _backend


def prepare(model, loss):
    """Give a model the weight `loss_step` if its loss declares `step = 0`, or take it.

    The weight exists for such losses alone, so that models with other losses are saved
    with the weights that they have always had. An attribute `step` of another value is
    one of the loss's own settings.

    Args:
        model: The model, which is about to be compiled.
        loss: The loss.

    Raises:
        ValueError: On JAX, for a loss with variables of its own.
    """
    _backend.refuse_frozen_state(loss, model)
    declared = getattr(loss, "step", None)
    if type(declared) is not int or declared != 0:
        if model.loss_step is not None:
            del model.loss_step
    elif model.loss_step is None:
        model.loss_step = model.add_weight(
            shape=(),
            initializer="zeros",
            dtype="int",
            trainable=False,
            aggregation="only_first_replica",  # All devices count the same steps.
            name="loss_step",
        )


@contextlib.contextmanager
def told(model, evaluation_step):
    """Set the step of the loss of a model meanwhile, and count it in training.

    Args:
        model: A compiled model.
        evaluation_step: The step for evaluation, an int; None in training.
    """
    loss = model.loss
    if model.loss_step is None:
        yield
        return
    if evaluation_step is None:
        step = ops.cast(model.loss_step.value * 1, "int32")  # a copy
        model.loss_step.assign_add(1)
    else:
        step = ops.convert_to_tensor(evaluation_step, "int32")
    try:
        loss.step = step
        yield
    finally:
        # A tensor of a compiled step must not outlive it: Keras saves losses.
        loss.step = 0
