"""Every variable of network and checkpoint is accounted for, before anything is read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slim2keras.checkpoints.load_plan import LoadPlan, check_plan, plan_load
from slim2keras.errors import CheckpointMismatchError, UnsupportedArgumentError
from slim2keras.graphs.graph import Variable
from slim2keras.scopes import VariableInfo, classify_variables, ema_name

WANTED = [
    Variable("net/conv/weights", (3, 3, 3, 8)),
    Variable("net/conv/BatchNorm/moving_mean", (8,), trainable=False),
    Variable("net/logits/weights", (8, 5)),
]

FITTING = {variable.name: VariableInfo(variable.shape, "float32") for variable in WANTED}


def plan(variables: dict[str, VariableInfo], **options: object) -> LoadPlan:
    return plan_load(WANTED, variables, classify_variables(variables), **options)  # type: ignore[arg-type]


def test_a_fitting_checkpoint_is_loaded_whole() -> None:
    """Each variable comes from the one of its name; what training added is left out by kind."""
    slots = {"net/conv/weights/Momentum": FITTING["net/conv/weights"], "global_step": VariableInfo((), "int64")}
    planned = plan({**FITTING, **slots})
    assert planned.fits
    assert planned.sources == {name: name for name in FITTING}
    assert planned.unused == {"net/conv/weights/Momentum": "optimizer slot", "global_step": "step counter"}


def test_all_problems_are_told_at_once() -> None:
    """One message lists what is missing, of another shape or dtype and unused, and the option that helps."""
    variables = {
        "net/conv/weights": VariableInfo((3, 3, 1, 8), "float32"),
        "net/logits/weights": VariableInfo((8, 5), "float64"),
        "net/extra/weights": VariableInfo((2,), "float32"),
    }
    with pytest.raises(CheckpointMismatchError) as caught:
        check_plan(plan(variables), "net", len(WANTED), "model.ckpt")
    message = str(caught.value)
    assert (
        "model.ckpt does not fit net (3 variables): 1 missing, 2 of another shape or dtype, 1 in the checkpoint"
        in message
    )
    assert "- net/conv/BatchNorm/moving_mean   model (8,)" in message
    assert "~ net/conv/weights   model (3, 3, 3, 8) float32   checkpoint (3, 3, 1, 8) float32" in message
    assert "~ net/logits/weights   model (8, 5) float32   checkpoint (8, 5) float64" in message
    assert "+ net/extra/weights" in message
    assert "--exclude net/conv" in message


def test_excluded_scopes_start_afresh_and_drop_what_the_checkpoint_has() -> None:
    """Another shape there, and variables that the model lacks, are no problem."""
    variables = {
        **FITTING,
        "net/logits/weights": VariableInfo((8, 1000), "float32"),
        "head/w": VariableInfo((1,), "float32"),
    }
    planned = plan(variables, exclude=["net/logits", "head"])
    assert planned.fits
    assert planned.fresh == ["net/logits/weights"]
    assert planned.unused == {"head/w": "excluded"}


@pytest.mark.parametrize("scope", ["net/logit", "logits", "net/conv/weights/x"])
def test_a_scope_that_matches_nothing_is_an_error(scope: str) -> None:
    """A slip in ``exclude`` does not load what was to start afresh."""
    with pytest.raises(UnsupportedArgumentError, match="matches nothing"):
        plan(FITTING, exclude=[scope])


def test_ema_takes_the_shadows_of_statistics_too() -> None:
    """Every variable comes from its shadow, moving statistics included."""
    shadows = {ema_name(name): info for name, info in FITTING.items()}
    planned = plan({**FITTING, **shadows}, use_ema=True)
    assert planned.fits
    assert planned.sources == {name: ema_name(name) for name in FITTING}
    assert not planned.raw_statistics


def test_statistics_without_shadow_are_taken_raw_and_weights_without_are_missing() -> None:
    """Raw statistics are named; a raw weight among shadows is never taken."""
    shadows = {ema_name("net/conv/weights"): FITTING["net/conv/weights"]}
    planned = plan({**FITTING, **shadows}, use_ema=True)
    assert planned.raw_statistics == ["net/conv/BatchNorm/moving_mean"]
    assert [variable.name for variable in planned.missing] == [ema_name("net/logits/weights")]


def test_ema_without_shadows_is_refused() -> None:
    """Raw weights are not passed off as averaged ones."""
    with pytest.raises(UnsupportedArgumentError, match="no ExponentialMovingAverage shadows"):
        plan(FITTING, use_ema=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_widens_without_loss(dtype: str) -> None:
    """A checkpoint of float16 or bfloat16 fits a model of float32."""
    halves = {name: replace(info, dtype=dtype) for name, info in FITTING.items()}
    assert plan(halves).fits
