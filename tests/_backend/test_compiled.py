import os
import pathlib
import stat

import keras
import pytest

import helpers
from keras_mvssl import _backend
from keras_mvssl._backend import device
from keras_mvssl._internal.cache_folder import cache_folder

BACKEND = keras.backend.backend()
on_jax = pytest.mark.skipif(BACKEND != "jax", reason="Only JAX keeps what it compiles.")
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has other rights.")
# The product takes long enough to be kept, also on a fast machine.
PROGRAM = """
from keras_mvssl import _backend
print(_backend.keep_compiled())
import jax
jax.monitoring.register_event_listener(lambda event, **_: print(event))
many = lambda x: [jax.numpy.sin(x * i) @ x for i in range(60)]
jax.jit(many)(jax.numpy.eye(8))
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache folder of the user, without one that the user has chosen for JAX."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if BACKEND != "jax":
        yield tmp_path
        return
    import jax

    names = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    kept = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path
    for name, value in kept.items():
        jax.config.update(name, value)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX keeps what it compiles.")
def test_other_backends_keep_nothing(home):
    assert _backend.keep_compiled() is None
    assert not list(home.iterdir())


@on_jax
def test_jax_keeps_what_it_compiles(tmp_path):
    environment = {
        "XDG_CACHE_HOME": str(tmp_path),
        "JAX_COMPILATION_CACHE_DIR": "",
        "XLA_FLAGS": "",
    }
    kept = []
    for expected in ("cache_misses", "cache_hits"):
        result = helpers.run_python("-c", PROGRAM, environment=environment)
        assert result.returncode == 0, result.stderr
        folder, *events = result.stdout.splitlines()
        found = {event.rpartition("/")[2] for event in events}
        assert found & {"cache_misses", "cache_hits"} == {expected}
        assert folder.startswith(str(tmp_path / "keras_mvssl" / "jax"))
        kept.append(sorted(path.name for path in pathlib.Path(folder).glob("*-cache")))
    assert kept[0] and kept[0] == kept[1]


@on_jax
def test_each_processor_has_a_folder(home, monkeypatch):
    import jax

    here = _backend.keep_compiled()
    assert jax.config.jax_compilation_cache_dir == str(here)
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setattr(device, "_processor", lambda: "flags\t: sse2\n")
    assert _backend.keep_compiled().parent == here.parent
    assert jax.config.jax_compilation_cache_dir != str(here)


@on_jax
def test_what_the_user_has_chosen_wins(home):
    import jax

    jax.config.update("jax_compilation_cache_dir", str(home / "own"))
    assert _backend.keep_compiled() is None
    assert jax.config.jax_compilation_cache_dir == str(home / "own")
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        assert _backend.keep_compiled() is None
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    assert not list(home.iterdir())


def test_only_an_absolute_cache_home_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder("x") == tmp_path / ".cache" / "keras_mvssl" / "x"


@posix
@pytest.mark.parametrize("mask", [0o002, 0o022])
def test_folders_are_the_users_own(mask, home):
    before = os.umask(mask)
    try:
        folder = cache_folder("x/y")
    finally:
        os.umask(before)
    assert folder == home / "keras_mvssl/x/y" == cache_folder("x/y")
    for path in (folder, folder.parent, folder.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@posix
def test_folders_of_others_are_not_used(home, monkeypatch):
    folder = cache_folder("x/y")
    for path in (folder, folder.parent, folder.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0
        path.chmod(0o777)
        with pytest.warns(UserWarning, match=f"Others may write to {path}"):
            assert cache_folder("x/y") is None
        path.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.warns(UserWarning, match="belongs to another user"):
        assert cache_folder("x") is None


def test_no_place_for_a_cache(home):
    (home / "keras_mvssl").write_text("a file")
    with pytest.warns(UserWarning, match="there is no cache"):
        assert cache_folder("x") is None
