"""The faults of `programs/faults.py` can be planted where the code is now."""

import ast
import re

import pytest

import helpers
from programs import faults

ROOMS = (
    *("losses", "views", "data", "distribution", "resume", "probes", "reports"),
    *("models", "nothing stops", "optimizers", "recipes", "backends", "files and logs"),
)


@pytest.mark.parametrize("room", ROOMS)
def test_faults_can_be_planted_and_have_a_test(room):
    assert len(faults.FAULTS[room]) >= 2
    for fault in faults.FAULTS[room]:
        text = (helpers.ROOT / fault.file).read_text(encoding="utf-8")
        faulty = fault.plant(text)
        assert ast.dump(ast.parse(faulty)) != ast.dump(ast.parse(text)), fault
        path, name = fault.test.split("[")[0].split("::")
        tests = (helpers.ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", tests, re.MULTILINE), fault
        assert fault.backend in ("any", *faults.BACKENDS), fault


def test_all_rooms_and_backends_have_faults():
    assert set(faults.FAULTS) == set(ROOMS)
    backends = [fault.backend for room in ROOMS for fault in faults.FAULTS[room]]
    assert all(backends.count(name) >= 3 for name in faults.BACKENDS)
