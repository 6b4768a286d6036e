"""What ``import slim2keras`` promises."""

from __future__ import annotations

import subprocess
import sys

import pytest

import slim2keras


def test_public_names_are_importable() -> None:
    """Each name in ``__all__`` is there, and ``dir`` shows it."""
    for name in slim2keras.__all__:
        assert callable(getattr(slim2keras, name)), name
    assert set(slim2keras.__all__) <= set(dir(slim2keras))


def test_modules_are_reached_without_an_import_of_their_own() -> None:
    """``import slim2keras`` is enough."""
    code = "import slim2keras; slim2keras.drop_path.scheduled_drop_path, slim2keras.preprocessing.preprocess"
    code += "; slim2keras.errors.OutputError, slim2keras.keras3.finetune"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = slim2keras.nonsense


@pytest.mark.parametrize(
    "code",
    [
        "import slim2keras; slim2keras.list_nets()",
        "from slim2keras.nets.spec import NetSpec; NetSpec.make('vgg_16', None, {}).trace()",
        "from slim2keras.cli.app import app; app(['nets'], standalone_mode=False)",
    ],
)
def test_tensorflow_is_not_imported_before_it_is_needed(code: str) -> None:
    """What needs no model answers at once."""
    check = "import sys; assert not {'tensorflow', 'tf_keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{code}\n{check}"], check=True, capture_output=True)
