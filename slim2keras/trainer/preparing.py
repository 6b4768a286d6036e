"""From a request to what trains: the plan, the images, and the model, compiled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm.decay import AUTO, decay_for
from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers, plan_modes
from slim2keras.conversion.facts import FactSource
from slim2keras.conversion.report import format_network
from slim2keras.graphs.network import Network
from slim2keras.losses import SoftmaxCrossEntropy
from slim2keras.models.strategies import Team
from slim2keras.models.variables import slim_variables
from slim2keras.preprocessing.factory import preprocessing_meaning
from slim2keras.scopes import first_matches
from slim2keras.trainer.images import TrainingImages, choose_classes, list_images
from slim2keras.trainer.network import AdaptedNetwork, Source, adapt, open_source
from slim2keras.trainer.plan import TrainingPlan
from slim2keras.trainer.request import TrainingRequest
from slim2keras.trainer.steps import Steps, describe_optimizer, describe_schedule, make_optimizer, make_schedule
from slim2keras.training.finetuning import finetune
from slim2keras.training.model import FineTunedModel
from slim2keras.training.plan import learnable_variables

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True)
class Training:
    """All that a training needs.

    Attributes:
        request: What was asked.
        plan: What follows from it.
        images: To train on, and to validate.
        steps: How many.
        model: That trains, compiled.
        team: The devices and workers that share each step.
    """

    request: TrainingRequest
    plan: TrainingPlan
    images: TrainingImages
    steps: Steps
    model: FineTunedModel
    team: Team

    @property
    def network(self) -> Network:
        """The network of the model."""
        found = self.model.slim_network
        assert found is not None, "it was built from one"
        return found


def prepare(request: TrainingRequest, team: Team) -> Training:
    """Open the checkpoint, list the images, and make the model.

    Raises:
        Slim2KerasError: If anything of it cannot be; nothing was written.
    """
    with open_source(request) as source:
        classes = choose_classes(request, source.network.num_classes)
        images = list_images(request, classes)
        adapted = adapt(source, request, classes)
        steps = Steps.of(request, len(images.training))
        with team.scope():
            model = _fine_tuned(adapted.model(source.checkpoint), request, steps)
            compile_model(model, request, steps)
        plan = _plan(request, source, adapted, images, steps, model)
    return Training(request, plan, images, steps, model, team)


def _fine_tuned(model: tf_keras.Model, request: TrainingRequest, steps: Steps) -> FineTunedModel:
    step = request.step
    assert step.batch_norm is not None, "StepOptions refuses it"
    # Here by the name that it has here; finetune calls it train_only.
    first_matches(step.trainable_scopes, learnable_variables(model), "trainable_scopes")
    tuned: FineTunedModel = finetune(
        model,
        batch_norm=step.batch_norm,
        decay=_settled_decay(model, request, steps),
        train_only=step.trainable_scopes or None,
        exclude_from_training=step.exclude_from_training,
        clip_gradient_norm=step.clip_gradient_norm,
        aux_weight=step.aux_weight,
        ema_decay=step.moving_average_decay,
        accumulate=step.accumulate,
        dropout_seed=request.loop.seed,
    )
    return tuned


def _settled_decay(model: tf_keras.Model, request: TrainingRequest, steps: Steps) -> float | None:
    """The decay as a number, ``None`` for that of each layer; ``"auto"`` is settled now, when the steps are known."""
    decay = request.step.decay
    if decay != AUTO:
        return decay  # type: ignore[return-value]
    assert request.step.batch_norm is not None, "StepOptions refuses it"
    layers = batch_norm_layers(model)
    modes = plan_modes(layers, request.step.batch_norm)
    moving = [layer.momentum for layer in layers if modes[layer.name] is BatchNormMode.UPDATE]
    return decay_for(steps.total * request.step.accumulate, max(moving)) if moving else None


def compile_model(model: FineTunedModel, request: TrainingRequest, steps: Steps) -> None:
    """Give a model optimizer, loss and accuracy of a request."""
    import tf_keras

    optimizer = make_optimizer(request.optimizer, make_schedule(request.schedule, steps))
    accuracy = tf_keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    others: list[list[Any]] = [[] for _ in model.outputs[1:]]
    metrics: Any = [[accuracy], *others] if others else [accuracy]
    model.compile(optimizer, SoftmaxCrossEntropy(request.step.label_smoothing), metrics=metrics)


def _plan(
    request: TrainingRequest,
    source: Source,
    adapted: AdaptedNetwork,
    images: TrainingImages,
    steps: Steps,
    model: FineTunedModel,
) -> TrainingPlan:
    network = adapted.network
    return TrainingPlan(
        source={"path": str(request.checkpoint), "global_step": source.checkpoint.global_step},
        net=format_network(network),
        input_shape=(*network.input_shape[:-3], *network.image_size, network.input_shape[-1]),
        input_shape_source=(FactSource.GIVEN if request.images.image_size else adapted.plan.input_shape_source).value,
        preprocessing=preprocessing_meaning(network) or "",
        augmentation=_describe_augmentation(request, network),
        numbering=images.training.numbering,
        classifier=_describe_classifier(adapted, source.network, images),
        fresh=tuple(adapted.plan.load.fresh),
        regularization=_describe_regularization(request, network),
        of_graph=adapted.plan.remarks,
        variables=_count_variables(model),
        modes=_count_modes(model),
        decay=max((float(layer.momentum) for layer in model.moving_layers()), default=None),
        decay_is_auto=request.step.decay == AUTO,
        **_of_images(images),
        **_of_request(request, steps),
    )


def _of_images(images: TrainingImages) -> dict[str, Any]:
    parts = {"training": images.training, "validation": images.validation}
    return {
        "classes": images.class_names,
        "images": {**{name: len(part) for name, part in parts.items()}, "origin": images.origin},
        "fingerprint": fingerprint_of(images),
        "left_out": tuple(dict.fromkeys(name for part in parts.values() for name in part.broken)),
    }


def fingerprint_of(images: TrainingImages) -> str:
    """SHA-256 of training and of validation images, see ``data.examples``."""
    return f"{images.training.fingerprint} {images.validation.fingerprint}"


def _of_request(request: TrainingRequest, steps: Steps) -> dict[str, Any]:
    return {
        "steps_per_epoch": steps.per_epoch,
        "total_steps": steps.total,
        "epochs": steps.epochs_after(0),
        "batch_size": request.images.batch_size,
        "accumulate": request.step.accumulate,
        "schedule": describe_schedule(request.schedule, steps),
        "optimizer": describe_optimizer(request.optimizer),
        "precision": request.network.precision,
        "seed": request.loop.seed,
        "deterministic": request.loop.deterministic,
    }


def replanned(plan: TrainingPlan, request: TrainingRequest, steps: Steps) -> TrainingPlan:
    """The plan of a run that goes on, with what may have changed since."""
    return replace(plan, **_of_request(request, steps))


def _describe_augmentation(request: TrainingRequest, network: Network) -> str:
    options = request.images
    order = "shuffled anew each epoch" if options.shuffle else "in the order listed"
    if not options.augment:
        return f"none, images as in evaluation; {order}"
    speed = f", {'fast' if options.fast_mode else 'slow'}" if network.preprocessing == "inception" else ""
    return f"slim's {network.preprocessing or 'own'}{speed}; {order}"


def _describe_classifier(adapted: AdaptedNetwork, before: Network, images: TrainingImages) -> str:
    count = len(images.class_names)
    if adapted.fresh:
        had = f"has {before.num_classes} classes" if before.num_classes else "has no classifier"
        return f"afresh: the checkpoint {had}, the data {count}"
    kept = [name for name in adapted.plan.load.fresh if not name.endswith(("/moving_mean", "/moving_variance"))]
    return f"that of the checkpoint, {count} classes" + (", but for what was excluded" if kept else "")


def _describe_regularization(request: TrainingRequest, network: Network) -> str:
    step = request.step
    found = {
        "weight decay": network.arguments.get("weight_decay"),
        "label smoothing": step.label_smoothing or None,
        "gradients clipped to": step.clip_gradient_norm or None,
        "moving averages": step.moving_average_decay,
    }
    told = [f"{name} {value:g}" for name, value in found.items() if value is not None]
    if "weight_decay" not in network.arguments:
        told.insert(0, "regularizers of the network's own")
    if request.images.class_weights:
        told.append(f"classes weighed {request.images.class_weights}")
    return ", ".join(told)


def _count_variables(model: FineTunedModel) -> Mapping[str, int]:
    variables = slim_variables(model).values()
    return {
        "learning": len(model.trainable_variables),
        "all": len(variables),
        "learning_parameters": _parameters(model.trainable_variables),
        "parameters": _parameters([*variables]),
    }


def _parameters(variables: Sequence[Any]) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)


def _count_modes(model: FineTunedModel) -> Mapping[str, int]:
    return dict(Counter(mode.value for mode in model.plan.modes.values()))
