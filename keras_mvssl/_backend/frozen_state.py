"""State of a loss, which JAX would compile as a constant."""

import keras


def refuse_frozen_state(loss, model):
    """Refuse, on JAX, a loss with variables that are not those of a model.

    Keras passes the variables of the model through the compiled step. Any other has
    the same value in each step, and `SeedGenerator` the same numbers, without a word.

    Raises:
        ValueError: With the name of the variable.
    """
    if keras.backend.backend() != "jax":
        return
    known = {id(variable) for variable in model.variables}
    for path, variable in _variables(loss, "loss", set()):
        if id(variable) not in known:
            raise ValueError(
                "`loss` must have no variables or seed generators of its own: JAX "
                "compiles their values into the step, so that random numbers would be "
                "the same in each step. Declare `step = 0` in the loss, which "
                "`MultiViewModel` then sets in each step, and draw by it, e.g. "
                "with `keras_mvssl.losses.random_normal(shape, seed, self.step)`. "
                f"Received: loss={loss}, {path}={variable}"
            )


def _variables(part, path, seen):
    """Yield the variables that an object holds, with the path of each."""
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, keras.Variable):
        yield path, part
    elif isinstance(part, keras.random.SeedGenerator):
        yield path, part.state
    elif isinstance(part, keras.layers.Layer):
        yield from ((f"{path}.{x.path}", x) for x in part.variables)
    elif isinstance(part, dict):
        for name, value in part.items():
            yield from _variables(value, f"{path}[{name!r}]", seen)
    elif isinstance(part, (list, tuple)):
        for i, value in enumerate(part):
            yield from _variables(value, f"{path}[{i}]", seen)
    else:
        yield from _variables_of_object(part, path, seen)


def _variables_of_object(part, path, seen):
    """Look into losses and other objects with attributes, and into functions."""
    module = str(getattr(type(part), "__module__", ""))
    if isinstance(part, type) or module.split(".")[0] in ("jax", "jaxlib", "numpy"):
        return
    for name, value in list(getattr(part, "__dict__", {}).items()):
        yield from _variables(value, f"{path}.{name}", seen)
    if getattr(part, "__self__", None) is not None:  # of a bound method
        yield from _variables(part.__self__, path, seen)
    for name, value in zip(
        getattr(getattr(part, "__code__", None), "co_freevars", ()),
        getattr(part, "__closure__", None) or (),
        strict=False,
    ):
        with_value = getattr(value, "cell_contents", None)
        yield from _variables(with_value, f"{path}.{name}", seen)
