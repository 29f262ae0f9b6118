"""State of random numbers: of layers, and of the backend."""

import contextlib

import keras

from keras_mvssl._backend.tensors import value_of


def seed_generators(layer):
    """List the `SeedGenerator`s of a layer and of the layers in it, e.g. of dropout."""
    return [
        value for part in layer._flatten_layers() for value in part._seed_generators
    ]


@contextlib.contextmanager
def unchanged_random_state(layer):
    """Put the states of a layer's random numbers back at the end."""
    states = [generator.state for generator in seed_generators(layer)]
    before = [value_of(state) for state in states]
    try:
        yield
    finally:
        for state, value in zip(states, before, strict=True):
            state.assign(value)


def random_state():
    """Return the state of random numbers outside of Keras, `{name: array}`.

    With PyTorch, dropout draws from PyTorch's global generators.
    """
    if keras.backend.backend() != "torch":
        return {}
    import torch

    state = {"random_cpu": torch.get_rng_state().numpy()}
    if torch.cuda.is_available():
        state["random_cuda"] = torch.cuda.get_rng_state().numpy()
    return state


def set_random_state(state):
    """Restore a state that `random_state` returned, perhaps with another backend."""
    if keras.backend.backend() != "torch" or not state:
        return
    import torch

    torch.set_rng_state(torch.from_numpy(state["random_cpu"]))
    if "random_cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.from_numpy(state["random_cuda"]))
