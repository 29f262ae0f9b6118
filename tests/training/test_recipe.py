import dataclasses
import re

import pytest

from keras_mvssl import losses
from keras_mvssl.training import Recipe
from keras_mvssl.training import results
from keras_mvssl.training import tuned
from keras_mvssl.training.build import compile_model
from keras_mvssl.training.provenance import known_settings

RECIPE = Recipe(dataset="shapes", projector_dim=256, views=2)
TABLE = {
    2: {"beta": {64: 0.04, 256: 0.02}, "batch_size": 64, "learning_rate": 1e-3},
    4: {"beta": {256: 0.01}, "batch_size": 100, "learning_rate": 4e-3},
}


def settings(keep=(), table=TABLE, **changes):
    recipe = tuned(dataclasses.replace(RECIPE, **changes), table, keep)
    return recipe.beta, recipe.batch_size, recipe.learning_rate


def test_settings_of_a_number_of_views(capsys):
    assert settings() == (0.02, 64, 1e-3)
    assert settings(views=4) == (0.01, 100, 4e-3)
    assert not capsys.readouterr().out
    assert settings(keep=["beta"], beta="auto") == ("auto", 64, 1e-3)
    assert settings(table={}) == (None, RECIPE.batch_size, RECIPE.learning_rate)


def test_settings_in_between_are_interpolated_and_told(capsys):
    beta, batch_size, rate = settings(views=3)
    assert 0.01 < beta < 0.02 and 64 < batch_size < 100 and 1e-3 < rate < 4e-3
    assert isinstance(batch_size, int)
    assert "views=3" in capsys.readouterr().out
    assert settings(views=16) == pytest.approx(settings(views=4))
    assert "views=16" in capsys.readouterr().out
    # The product β·D is a line between projectors, and level outside.
    assert settings(projector_dim=128)[0] == pytest.approx((2.56 * 5.12) ** 0.5 / 128)
    assert settings(projector_dim=512)[0] == pytest.approx(0.01)
    assert "projector_dim=512" in capsys.readouterr().out


def test_each_loss_has_its_settings(model):
    def change(**settings):
        return dataclasses.replace(RECIPE, **settings)

    assert change(beta=0.5, pairing="all").make_loss().pairing == "all"
    assert change(loss="reformulated", beta=0.5).make_loss().beta == 0.5
    for wrong in (dict(beta=1.0), dict(pairing="all")):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"does not apply.*Received: {name}="):
            change(loss="vicreg", **wrong).check()
    with pytest.raises(ValueError, match="does not apply.*Received: pairing="):
        change(loss="reformulated", pairing="mean").check()
    with pytest.raises(ValueError, match="Received: loss='simclr'"):
        change(loss="simclr").check()
    # The table's β is that of Barlow Twins.
    vicreg = tuned(change(loss="vicreg"), TABLE)
    vicreg.check()
    assert isinstance(vicreg.make_loss(), losses.VICReg)
    compile_model(model, vicreg, steps_per_epoch=2)
    written = results.describe(dataclasses.asdict(vicreg), model)
    assert (written["loss"], written["beta"], written["pairing"]) == (
        "vicreg",
        None,
        None,
    )
    assert known_settings(vicreg)["beta"] is None


def test_learning_rate_may_stay(model):
    constant = dict(schedule="constant", warmup_epochs=0, optimizer="adam")
    recipe = dataclasses.replace(RECIPE, **constant, learning_rate=0.25)
    recipe.check()
    compile_model(model, recipe, 3)
    assert type(model.optimizer).__name__ == "Adam"
    assert float(model.optimizer.learning_rate) == 0.25
    with pytest.raises(ValueError, match="Received: warmup_epochs=1.0, schedule='cons"):
        dataclasses.replace(recipe, warmup_epochs=1.0).check()


def test_settings_of_a_fraction_and_settings_that_are_words():
    rows = {
        2: dict(pairing="all", l2_normalize=True, beta={8: 0.5}),
        4: dict(beta={8: 0.3}, fractions={0.5: dict(beta={8: 0.2}, batch_size=7)}),
    }

    def made(keep=(), **changes):
        recipe = dataclasses.replace(RECIPE, projector_dim=8, **changes)
        found = tuned(recipe, rows, keep)
        return found.pairing, found.beta, found.batch_size

    default = RECIPE.batch_size
    assert made(views=2) == ("all", 0.5, default)
    assert made(views=4) == (None, 0.3, default)
    assert made(views=4, fraction=0.5) == (None, 0.2, 7)
    assert made(views=4, fraction=0.4) == (None, 0.3, default)
    assert made(views=8, fraction=0.5)[:2] == (None, 0.2)
    # β is that of rows with the same pairing.
    assert made(views=3)[:2] == (None, 0.3)
    assert made(views=2, pairing="mean", keep=["pairing"])[:2] == ("mean", 0.3)
    assert made(views=4, pairing="all", keep=["pairing"])[:2] == ("all", 0.5)
    assert made(views=2, pairing="mean", keep=["pairing"])[0] == "mean"
    assert made(views=2, loss="vicreg") == (None, None, default)
    for loss in ("vicreg", "reformulated"):
        tuned(dataclasses.replace(RECIPE, loss=loss), rows).check()
    assert tuned(RECIPE, rows).l2_normalize


@pytest.mark.parametrize(
    "settings, told",
    [
        (dict(views=2), ""),
        (dict(views=4), ""),
        (dict(views=4, fraction=0.5), ""),
        (dict(views=4, fraction=0.25), "views=4 .* fraction=0.25 and pairing=mean"),
        (dict(views=8, fraction=0.5), "views=8 .* fraction=0.5 and pairing=mean"),
        (dict(views=2, fraction=0.5), "views=2 .* fraction=0.5 and pairing=all"),
        (dict(views=2, pairing="mean"), "views=2 .* pairing=mean.*: beta=0.3"),
    ],
)
def test_what_is_not_known_is_told(settings, told, capsys):
    rows = {
        2: dict(pairing="all", beta={8: 0.5}),
        4: dict(beta={8: 0.3}, fractions={0.5: dict(beta={8: 0.2})}),
    }
    recipe = dataclasses.replace(RECIPE, projector_dim=8, **settings)
    tuned(recipe, rows, keep=settings)
    out = capsys.readouterr().out
    assert bool(out) == bool(told)
    assert re.search(told, out)


def test_size_of_views():
    recipe = dataclasses.replace(RECIPE, view_size=16)
    assert recipe.augmentation_for((32, 32, 3)).size == (16, 16)
    assert RECIPE.augmentation_for((32, 32, 3)).size == (32, 32)
