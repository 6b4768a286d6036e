"""What the outputs of a network are to a loss, in tf_keras and in Keras 3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from slim2keras.errors import UnsupportedArgumentError

_OF_PROBABILITIES = ("categorical_crossentropy", "sparse_categorical_crossentropy", "binary_crossentropy")


def num_auxiliary(output_names: Sequence[str]) -> int:
    """Outputs that are auxiliary logits, all those behind the first; outputs of another name are none.

    Args:
        output_names: Of a model, as slim has them.
    """
    others = output_names[1:]
    return len(others) if all(name.rpartition("/")[2] == "AuxLogits" for name in others) else 0


def check_takes_logits(losses: Iterable[Any]) -> None:
    """Refuse a loss of probabilities: on logits it runs, and is quietly wrong.

    Raises:
        UnsupportedArgumentError: If it is one.
    """
    for item in losses:
        if hasattr(item, "get_config"):
            wrong = item.get_config().get("from_logits") is False
        else:
            wrong = getattr(item, "__name__", item) in _OF_PROBABILITIES
        if wrong:
            raise UnsupportedArgumentError(
                f"The network gives logits, and the loss takes probabilities. Received: loss={item!r}. Give "
                "slim2keras.losses.SoftmaxCrossEntropy(), or a loss of Keras with from_logits=True."
            )
