"""What a step of the losses holds, read from the program that JAX traces."""

import math

import keras
import pytest

from losses.cases import CASES
from losses.cases import projections
from losses.cases import total

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="Only JAX shows its program."
)
BATCH, VIEWS, DIM = 16, 8, 100


def shapes_of(program):
    """The shapes of everything that a program and those within it compute."""
    import jax

    for equation in program.eqns:
        yield from (variable.aval.shape for variable in equation.outvars)
        for inner in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from shapes_of(inner)


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_larger_than_the_projections(case):
    import jax

    loss = CASES[case][0]
    step = jax.make_jaxpr(jax.value_and_grad(lambda x: total(loss, x)))
    shapes = set(shapes_of(step(projections(BATCH, VIEWS, DIM)).jaxpr))
    assert max(math.prod(shape) for shape in shapes) <= BATCH * VIEWS * DIM
    # Only the covariance over all B·V = 128 rows is cheaper in the space of features.
    squares = {s for s in shapes if s.count(DIM) > 1}
    assert squares == ({(DIM, DIM)} if case == "reformulated" else set())
    assert not [s for s in shapes if s.count(VIEWS) > 1]
