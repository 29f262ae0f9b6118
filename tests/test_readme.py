"""The front page is short, holds recorded figures alone, and its commands are whole."""

import re
import runpy

import pytest

import helpers
from keras_mvssl.training import results

FOLDER = helpers.ROOT / "recipes/results"
PAGES = [
    helpers.ROOT / "README.md",
    FOLDER / "README.md",
    helpers.ROOT / "recipes/benchmarks/README.md",
]
README = PAGES[0].read_text(encoding="utf-8")
NUMBER = r"(?:\d[\d.,]*|one|two|three|four|five|six|seven|eight|nine|ten)"
UNITS = r"ms|s|min|h|seconds?|minutes?|hours?|days?|[kKMG]i?B|bytes"
# Percentages, durations, memory and rates.
FIGURES = re.compile(
    rf"\d\s?%|per ?cent|\b{NUMBER}[\s-]?(?:{UNITS})\b|\d\s?\w+(?:/s\b| per second)"
)


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return runpy.run_path(str(FOLDER / "table.py"))


def section(heading):
    return README.split(f"\n{heading}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    "heading", ["## Run it", "## Test it", "### Without TensorFlow"]
)
def test_one_command_below_its_heading(heading):
    (block,) = re.findall(r"```\n(.*?)```", section(heading), re.DOTALL)
    assert block.count("\n") == 1


@pytest.mark.slow
def test_python_examples_run(tmp_path):
    caps = {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "2", "XLA_FLAGS": ""}
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    result = helpers.run_script("-c", code, cwd=tmp_path, environment=caps)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "encoder.keras").exists()


def test_the_front_page_is_short():
    assert len(README.splitlines()) <= 160
    assert len(README.split()) <= 1600


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_tables_are_those_of_the_results(page, table):
    text = page.read_text(encoding="utf-8")
    assert table["fill"](text) == text, "python recipes/results/table.py"
    assert text.count("<!--") == 2 * len(table["MARKED"].findall(text)) > 0


def test_each_table_has_its_place(table):
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    found = [name for text in texts for name in table["MARKED"].findall(text)]
    assert sorted(found) == sorted(table["TABLES"])


def test_figures_of_the_front_page_are_recorded_ones(table):
    text = README.replace(section("## Run it"), "")
    text = re.sub(r"(?ms)^```.*?^```$", "", table["MARKED"].sub("", text))
    assert not FIGURES.findall(text)
    for figure in ("43 %", "two hours", "9 s", "1.9 GB", "20,000 views/s", "3 MiB"):
        assert FIGURES.search(f"It is {figure}.")


def test_the_first_command_ends_as_it_says(table, capsys):
    recorded = runpy.run_path(str(FOLDER / "cells.py"))["read"]("shapes-tensorflow")
    assert "recipes/shapes.py --views=4" in recorded["command"]
    results.summarize(recorded, helpers.ROOT)
    outcome = table["outcome"]().removeprefix("```text\n").removesuffix("```")
    assert capsys.readouterr().out.startswith(outcome)
    seconds, memory = sum(recorded["time"].values()), recorded["peak_memory"] / 1e9
    text = section("## Run it")
    assert f"{seconds:.0f} seconds and {memory:.1f} GB on two CPU cores" in text
    assert recorded["cpu_cores"] == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [x for x in targets if not x.startswith(("http://", "https://"))]
    assert local and all((page.parent / x).exists() for x in local)


def test_files_to_open_for_a_change_exist():
    text = (helpers.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("| I want to change ... |")[1].split("\n\n")[0]
    names = re.findall(r"`([\w/]+(?:\.py|/))`", table)
    assert len(names) > 40
    for name in names:
        assert list(helpers.ROOT.glob(f"*/**/{name}")) or (helpers.ROOT / name).exists()


def test_every_plot_is_shown():
    texts = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    plots = [path.name for path in FOLDER.glob("*.png")]
    assert plots and all(f"{name})" in texts for name in plots)


def test_the_picture_of_the_idea_is_drawn(monkeypatch, tmp_path):
    runpy.run_path(str(FOLDER / "idea.py"))["draw"](tmp_path / "idea.png")
    assert (tmp_path / "idea.png").stat().st_size > 10_000
