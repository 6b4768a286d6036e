"""Files of Keras 3."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.deployment.elsewhere import run_elsewhere
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.proof import prove
from slim2keras.deployment.subject import Subject
from slim2keras.deployment.ways import Written

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write(subject: Subject, draft: Path, options: DeploymentOptions) -> Written:
    """Write a ``.keras`` of Keras 3, let Keras 3 read it in a process of its own, and compare."""
    from slim2keras.keras3.building import to_keras3

    to_keras3(subject.model, batch_norm_layer=options.batch_norm_layer).save(draft)
    images, of = subject.images()
    outputs, runtime = run_elsewhere("keras3", draft, {"images": images})

    def theirs(images: NDArray[Any]) -> list[NDArray[Any]]:  # noqa: ARG001
        return outputs

    return Written(prove(subject.outputs, theirs, images, runtime=runtime, of=of))
