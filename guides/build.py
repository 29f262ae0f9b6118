"""Script that builds Markdown and a notebook of each guide, and the web site.

    python guides/build.py          # write guides/*.md and *.ipynb from guides/*.py
    python guides/build.py --run    # run the guides first, and keep their pictures
    python guides/build.py --site   # build/site with the reference: pip install .[docs]

A guide begins with a header of five fields. Its texts are strings between the code,
each on lines of its own.
"""

import dataclasses
import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import typing

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
GUIDES = sorted(path for path in HERE.glob("*.py") if path != pathlib.Path(__file__))
FIELDS = ("Title", "Author", "Date created", "Last modified", "Description")
# The modules of the reference, each with the public names that are not in its `__all__`.
REFERENCE = {
    "keras_mvssl": ("MultiViewModel",),
    "keras_mvssl.losses": (),
    "keras_mvssl.models": (),
    "keras_mvssl.views": (),
    "keras_mvssl.data": ("shapes.draw",),
    "keras_mvssl.callbacks": (),
    "keras_mvssl.evaluation": (),
    "keras_mvssl.optimizers": (),
    "keras_mvssl.distribution": (),
    "keras_mvssl.training": (),
    "keras_mvssl.command": (),
    "keras_mvssl.report": ("write",),
}


def read(path):
    """Return the header of a guide, a dict, and its cells, pairs of kind and content.

    The kind of a cell is `"text"` or `"code"`.
    """
    parts = f"\n{path.read_text(encoding='utf-8')}".split('\n"""\n')
    header = dict(line.split(": ", 1) for line in parts[1].strip().splitlines())
    kinds = ("code", "text")
    cells = [(kinds[i % 2], part.strip("\n")) for i, part in enumerate(parts)]
    return header, [cell for cell in cells[2:] if cell[1].strip()]


def pictures(code):
    """Return the names of the pictures that a cell draws."""
    return re.findall(r'savefig\("([^"]+)"', code)


def markdown(path):
    """Return a guide as Markdown, with its pictures."""
    header, cells = read(path)
    links = f"[Notebook]({path.stem}.ipynb) · [script]({path.name})"
    page = [f"# {header['Title']}", header["Description"], links]
    for kind, content in cells:
        page.append(content if kind == "text" else f"```python\n{content}\n```")
        if kind == "code":
            drawn = [x for x in pictures(content) if (HERE / "pictures" / x).exists()]
            page += [f"![{name}](pictures/{name})" for name in drawn]
    return "\n\n".join(page) + "\n"


def notebook(path):
    """Return a guide as the JSON of a notebook, without outputs."""
    header, cells = read(path)
    title = f"# {header['Title']}\n\n{header['Description']}"
    content = []
    for i, (kind, source) in enumerate([("text", title), *cells]):
        cell = {"id": f"cell-{i}", "metadata": {}, "source": source}
        if kind == "text":
            content.append({"cell_type": "markdown", **cell})
        else:
            run = {"execution_count": None, "outputs": []}
            content.append({"cell_type": "code", **cell, **run})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel}
    book = dict(cells=content, metadata=metadata, nbformat=4, nbformat_minor=5)
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def run(path):
    """Run a guide in a folder of its own, and keep the pictures that it draws."""
    start = time.monotonic()
    (HERE / "pictures").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, path.resolve()], cwd=folder, check=True)
        for kind, content in read(path)[1]:
            for name in pictures(content) if kind == "code" else ():
                shutil.copy(pathlib.Path(folder, name), HERE / "pictures" / name)
    print(f"{path.name}: {time.monotonic() - start:.0f} s", flush=True)


def public_names():
    """Yield `(module, name, object)` for each public class and function."""
    for module_name, names in REFERENCE.items():
        module = importlib.import_module(module_name)
        is_root = module_name == "keras_mvssl"  # Its `__all__` has all of the modules.
        exported = () if is_root else getattr(module, "__all__", ())
        for name in (*exported, *names):
            value = module
            for part in name.split("."):
                value = getattr(value, part)
            if callable(value):
                yield module_name, name, value


def settings_table(cls):
    """Return a Markdown table of the settings of a dataclass, by group of flags.

    The fields carry their descriptions as metadata, which mkdocstrings cannot see.
    Without such fields the table is empty.
    """
    groups = {}
    for field in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
        if "help" in field.metadata:
            groups.setdefault(field.metadata["group"], []).append(field)
    rows = []
    for group in sorted(groups, key=lambda group: group is not None):
        rows.append(f"| **{group or 'without a flag'}** | | |")
        for field in groups[group]:
            is_required = field.default is dataclasses.MISSING
            default = "required" if is_required else f"`{field.default!r}`"
            meaning = field.metadata["help"]
            choices = [f"`{choice}`" for choice in choices_of(field.type)]
            if not all(choice in meaning for choice in choices):
                meaning += f" One of {', '.join(choices)}."
            rows.append(f"| `{field.name}` | {default} | {meaning} |")
    head = ["| Setting | Default | Meaning |", "|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n" if rows else ""


def choices_of(hint):
    """Return the strings that an annotation allows, if it allows strings alone."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    parts = [x for x in typing.get_args(hint) if x is not type(None)]
    return choices_of(parts[0]) if len(parts) == 1 else ()


def lay_out(docs):
    """Copy the pages into a folder, placed as in the repository: links stay valid."""
    shutil.rmtree(docs, ignore_errors=True)
    (docs / "reference").mkdir(parents=True)
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(ROOT / name, docs)
    for name in ("guides", "recipes", "findings"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, docs / name, ignore=ignored)


def reference():
    """Return the entries of the reference for mkdocstrings, a list for each module.

    An object with two names is described once, in the first module that has it.
    """
    pages, described = {}, set()

    def describe(module, value, heading):
        path = f"{value.__module__}.{value.__qualname__}"
        if path in described:
            return
        described.add(path)
        entry = f"::: {path}\n    options:\n      heading: {heading}\n"
        if table := settings_table(value):
            # The signature would repeat the descriptions of all settings.
            entry += "      show_signature: false\n      separate_signature: false\n"
            entry += f"\n### Settings of {value.__name__}\n\n{table}"
        pages.setdefault(module, []).append(entry)

    for module, name, value in public_names():
        describe(module, value, f"{module}.{name}")
        returned = getattr(value, "__annotations__", {}).get("return")
        if getattr(returned, "__module__", "").startswith("keras_mvssl."):
            describe(module, returned, f"{returned.__name__}, of {name}")
    return pages


def site():
    """Build the web site: the README, the guides, the recipes and the reference."""
    docs = ROOT / "build/docs"
    lay_out(docs)
    for module, entries in reference().items():
        text = "\n".join([f"# {module}", importlib.import_module(module).__doc__, ""])
        page = docs / "reference" / f"{module.split('.')[-1]}.md"
        page.write_text("\n".join([text, *entries]), encoding="utf-8")
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(mkdocs, cwd=ROOT, env=quiet, check=True)


def main():
    """Run what the command line asks for."""
    for path in GUIDES:
        if "--run" in sys.argv:
            run(path)
        path.with_suffix(".md").write_text(markdown(path), encoding="utf-8")
        path.with_suffix(".ipynb").write_text(notebook(path), encoding="utf-8")
    if "--site" in sys.argv:
        site()


if __name__ == "__main__":
    main()
