"""Guides run, are built from their scripts, and their links and commands work."""

import ast
import json
import re
import shlex
import shutil

import pytest

import helpers
import stand_ins
from guides import build

ROOT = helpers.ROOT
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / "recipes" / name / "README.md" for name in ("results", "benchmarks")),
    *(path.with_suffix(".md") for path in build.GUIDES),
]
CAPS = {
    **{"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "2", "MPLBACKEND": "agg"},
    "XLA_FLAGS": "",  # Guides compute more than they compile.
}


def name_of(path):
    return str(path.relative_to(ROOT))


# What differs between backends: engines for views, devices, how runs go on.
ON_EACH_BACKEND = {
    *("getting_started.py", "kerascv_and_on_device_views.py"),
    *("distributed_training.py", "long_runs.py"),
}
MARK = pytest.mark


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=mark)
        for path in build.GUIDES
        for mark in [MARK.slow if path.name in ON_EACH_BACKEND else MARK.once]
    ],
    ids=name_of,
)
def test_runs(path, tmp_path):
    result = helpers.run_script(path, cwd=tmp_path, environment=CAPS, most_images=1000)
    assert result.returncode == 0, result.stderr
    for kind, content in build.read(path)[1]:
        for name in build.pictures(content) if kind == "code" else ():
            assert (tmp_path / name).exists()


@pytest.mark.slow
def test_the_example_of_a_long_run_goes_on(tmp_path):
    caps = {**CAPS, "KERAS_MAX_EPOCHS": "5"}
    for start in range(2):
        result = helpers.run_script(
            ROOT / "guides/long_runs.py", cwd=tmp_path, environment=caps
        )
        assert result.returncode == 0, result.stderr
        assert ("Going on after step 4" in result.stdout) == bool(start)
        assert (tmp_path / "runs/mine/checkpoint/step-000000004").exists()
        assert (tmp_path / "runs/mine/encoder.keras").exists()


@pytest.mark.parametrize("path", build.GUIDES, ids=name_of)
def test_is_in_the_tutobook_form_and_built(path):
    header, cells = build.read(path)
    assert tuple(header) == build.FIELDS
    assert len(header["Description"]) <= 100
    code = "\n\n\n".join(content for kind, content in cells if kind == "code")
    assert code.strip() and "```" not in code
    # Python in a text would not be run.
    assert not any("```python" in text for kind, text in cells if kind == "text")
    built = "Run `python guides/build.py`."
    page = build.markdown(path)
    assert path.with_suffix(".md").read_text(encoding="utf-8") == page, built
    book = path.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert book == build.notebook(path), built
    sources = [x["source"] for x in json.loads(book)["cells"]]
    assert sources[1:] == [content for _, content in cells]


def test_examples_of_extension_are_short():
    tree = ast.parse((ROOT / "guides/your_own_images.py").read_text(encoding="utf-8"))
    lines = {
        node.name: node.end_lineno - node.lineno + 1
        for node in tree.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    }
    assert set(lines) == {
        "SpectralContrastiveOnSomeFeatures",
        "quarter_turns",
        "my_encoder",
        "SpectralContrastive",
        "Frames",
    }
    assert max(lines.values()) < 25


def test_each_failure_of_a_long_run_names_its_tests():
    page = (ROOT / "guides/long_runs.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\|.*\| ([^|]*\.py`) \|$", page)
    assert len(rows) > 20
    for name in re.findall(r"`([^`]+)`", " ".join(rows)):
        assert (ROOT / "tests" / name).is_file(), name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = outside_fences(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue  # Tests do not use the network.
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path), target


def outside_fences(page):
    return re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))


def anchors(page):
    headings = re.findall(r"(?m)^#+ (.*)$", outside_fences(page))
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def commands(pattern):
    """Return the arguments of Python that match in all pages, without `--workdir`.

    Those of the README that CI runs in full are left out.
    """

    def find(text):
        found = re.findall(pattern, text)
        return {re.sub(r" --workdir=\S+", "", command) for command in found}

    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    in_full = re.findall(r"(?ms)^##+ (?:Run it|Without TensorFlow)$.*?^#", pages[0])
    return sorted(find("\n".join(pages)) - find("\n".join(in_full)))


OF_RECIPES = commands(r"recipes/(?!evaluate)\w+\.py(?: --[^\s`]+)+")
OF_STUDIES = commands(r"recipes/studies/\w+\.py(?: --[^\s`]+)+")
ON_RUNS = commands(
    r"(?:-m keras_mvssl\.report|recipes/evaluate\.py|keras-mvssl (?:report|evaluate))"
    r"(?: [^\s`]+)+"
)


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """Make a folder with the data that the commands name."""
    home = tmp_path_factory.mktemp("user")
    few = {"train": [0, 1] * 200, "test": [0, 1] * 20}
    stand_ins.write_tfds("cifar10", few, home / "tensorflow_datasets")
    stand_ins.write_folder(home / "my_images", 150, (48, 64))
    stand_ins.write_folder(home / "drawn_images", 20, (48, 64))
    return home


def run_command(command, user, *flags):
    environment = {**CAPS, "TFDS_DATA_DIR": str(user / "tensorflow_datasets")}
    script, *rest = shlex.split(command)
    if script.endswith(".py"):
        script = ROOT / script
    result = helpers.run_script(
        script, *rest, *flags, cwd=user, environment=environment, most_images=500
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.once
@pytest.mark.parametrize("command", OF_RECIPES)
def test_commands_of_recipes_run(command, user):
    fewer = ["--devices=2"] * ("--devices" in command)
    run_command(command, user, "--backbone=tiny", *fewer)


@pytest.mark.once
@pytest.mark.parametrize("command", OF_STUDIES)
def test_commands_of_studies_run(command, user):
    run_command(command, user, "--seeds=1")


@pytest.mark.once
def test_commands_on_runs_run(user):
    for run in ("first", "second"):
        run_command(f"recipes/shapes.py --workdir=runs/{run}", user)
    shutil.copy(user / "runs/first/encoder.keras", user)
    assert len(ON_RUNS) == 5
    for command in ON_RUNS:
        command = command.replace("keras-mvssl", "-m keras_mvssl")
        run_command(command.replace("RUN", "runs/first"), user)
