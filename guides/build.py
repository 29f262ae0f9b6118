"""Makes Markdown and a notebook of each guide, and of all of it a site.

    python guides/build.py          # guides/*.md and guides/*.ipynb, from guides/*.py
    python guides/build.py --run    # runs the guides before, and keeps their pictures
    python guides/build.py --site   # build/site, with the reference: pip install .[docs]

A guide has a header of five fields; its text stands in strings of their own, between
the code.
"""

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

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
GUIDES = sorted(path for path in HERE.glob("*.py") if path != pathlib.Path(__file__))
FIELDS = ("Title", "Author", "Date created", "Last modified", "Description")
# Modules of public names, with those that their `__all__` does not have.
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
    "keras_mvssl.fitting": (),
    "keras_mvssl.training": (),
    "keras_mvssl.report": ("write",),
}


def read(path):
    """The header of a guide, a dict, and its cells, `("text" or "code", content)`."""
    parts = f"\n{path.read_text(encoding='utf-8')}".split('\n"""\n')
    header = dict(line.split(": ", 1) for line in parts[1].strip().splitlines())
    kinds = ("code", "text")
    cells = [(kinds[i % 2], part.strip("\n")) for i, part in enumerate(parts)]
    return header, [cell for cell in cells[2:] if cell[1].strip()]


def pictures(code):
    """Names of the files that a cell draws."""
    return re.findall(r'savefig\("([^"]+)"', code)


def markdown(path):
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
    """Runs a guide in a folder of its own, and keeps the pictures it draws."""
    start = time.monotonic()
    (HERE / "pictures").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, path.resolve()], cwd=folder, check=True)
        for kind, content in read(path)[1]:
            for name in pictures(content) if kind == "code" else ():
                shutil.copy(pathlib.Path(folder, name), HERE / "pictures" / name)
    print(f"{path.name}: {time.monotonic() - start:.0f} s", flush=True)


def public_names():
    """`(module, name, object)` of everything that users are meant to call."""
    for module_name, names in REFERENCE.items():
        module = importlib.import_module(module_name)
        exported = (
            getattr(module, "__all__", ()) if module_name != "keras_mvssl" else ()
        )
        for name in (*exported, *names):
            value = module
            for part in name.split("."):
                value = getattr(value, part)
            if callable(value):
                yield module_name, name, value


def site():
    """Lays out the pages as in the repository, so that links hold, and builds them."""
    docs = ROOT / "build/docs"
    shutil.rmtree(docs, ignore_errors=True)
    (docs / "reference").mkdir(parents=True)
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(ROOT / name, docs)
    for name in ("guides", "recipes"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, docs / name, ignore=ignored)
    pages, described = {}, set()

    def describe(page, value, heading):
        """Some have two names: the first page that has them describes them."""
        path = f"{value.__module__}.{value.__qualname__}"
        if path not in described:
            entry = f"::: {path}\n    options:\n      heading: {heading}\n"
            pages.setdefault(page, []).append(entry)
        described.add(path)

    for module, name, value in public_names():
        describe(module, value, f"{module}.{name}")
        returned = getattr(value, "__annotations__", {}).get("return")
        if getattr(returned, "__module__", "").startswith("keras_mvssl."):
            describe(module, returned, f"{returned.__name__}, of {name}")
    for module, entries in pages.items():
        text = "\n".join([f"# {module}", importlib.import_module(module).__doc__, ""])
        page = docs / "reference" / f"{module.split('.')[-1]}.md"
        page.write_text("\n".join([text, *entries]), encoding="utf-8")
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(mkdocs, cwd=ROOT, env=quiet, check=True)


def main():
    for path in GUIDES:
        if "--run" in sys.argv:
            run(path)
        path.with_suffix(".md").write_text(markdown(path), encoding="utf-8")
        path.with_suffix(".ipynb").write_text(notebook(path), encoding="utf-8")
    if "--site" in sys.argv:
        site()


if __name__ == "__main__":
    main()
