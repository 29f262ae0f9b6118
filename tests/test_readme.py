import re
import runpy

import pytest

import helpers

README = (helpers.ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "heading", ["## Run it", "## Test it", "### Without TensorFlow"]
)
def test_one_command_below_its_heading(heading):
    section = README.split(f"\n{heading}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    assert block.count("\n") == 1


@pytest.mark.slow
def test_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    monkeypatch.setenv("KERAS_MAX_STEPS_PER_EPOCH", "2")
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    result = helpers.run_python("-c", code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "encoder.keras").exists()


def test_tables_are_those_of_the_results():
    table = runpy.run_path(str(helpers.ROOT / "recipes/results/table.py"))
    assert table["fill"](README) == README, "python recipes/results/table.py"
    assert README.count("<!-- end -->") == 2 and "80.9 %" in table["runs"]()
