"""The commit is that of the package, and asking for it starts nothing."""

import subprocess

import pytest

from keras_mvssl.training import commit as commits

COMMIT = commits.commit.__wrapped__


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Git in a clone of the package, whose settings leave a mark where they start."""
    root = tmp_path / "clone"
    (root / "keras_mvssl").mkdir(parents=True)
    (root / "keras_mvssl/__init__.py").write_text("a = 1\n")
    (root / "pyproject.toml").write_text('[project]\nname = "keras_mvssl"\n')
    mark = tmp_path / "started"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch '{mark}'\ncat\n")
    hook.chmod(0o755)
    monkeypatch.setattr(commits, "PACKAGE", root / "keras_mvssl")

    def git(*words):
        names = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        command = ["git", *names, "-C", str(root), *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    git.root, git.mark, git.hook = root, mark, hook
    return git


def test_the_commit_and_whether_files_differ(git):
    found = git("rev-parse", "HEAD")
    assert COMMIT() == found
    module = git.root / "keras_mvssl/__init__.py"
    module.write_bytes(b"a = 1\r\n")  # as Git writes it on Windows
    assert COMMIT() == found
    module.write_text("a = 2\n")
    assert COMMIT() == f"{found}+changes"
    module.unlink()
    assert COMMIT() == f"{found}+changes"


@pytest.mark.parametrize("setting", ["core.fsmonitor", "filter.x.clean", "core.pager"])
def test_settings_of_the_repository_start_nothing(git, setting):
    (git.root / ".git/info/attributes").write_text("*.py filter=x\n")
    git("config", setting, str(git.hook))
    (git.root / "keras_mvssl/__init__.py").write_text("a = 2\n")
    assert COMMIT().endswith("+changes")
    assert not git.mark.exists()


@pytest.mark.parametrize(
    "pyproject", ['[project]\nname = "other"\n', "project = 1\n", "[", None]
)
def test_the_repository_of_others_is_not_asked(git, pyproject):
    path = git.root / "pyproject.toml"
    path.unlink() if pyproject is None else path.write_text(pyproject)
    assert COMMIT() is None


def test_a_package_that_is_not_tracked_has_no_commit(git):
    git("rm", "-q", "--cached", "keras_mvssl/__init__.py")
    git("commit", "-qm", "second", "--allow-empty")
    assert COMMIT() is None


def test_a_repository_further_up_is_not_asked(git, monkeypatch):
    site = git.root / "venv/site-packages"
    (site / "keras_mvssl").mkdir(parents=True)
    (site / "pyproject.toml").write_text('[project]\nname = "keras_mvssl"\n')
    (site / "keras_mvssl/__init__.py").write_text("a = 1\n")
    git("add", "--force", "venv")
    git("commit", "-qm", "second")
    monkeypatch.setattr(commits, "PACKAGE", site / "keras_mvssl")
    assert COMMIT() is None
    (site / ".git").mkdir()  # no repository: Git would look further up
    assert COMMIT() is None


def test_variables_of_git_lead_nowhere_else(git, tmp_path, monkeypatch):
    found = git("rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    assert COMMIT() == found
