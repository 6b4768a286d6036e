"""Repair of BatchNorm: moving statistics estimated anew from data, no weight touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.batch_norm import (
    BatchNormMode,
    batch_norm_layers,
    check_decay,
    check_layer,
    explicit_modes,
    moments_of,
    move_statistics,
    observed_inputs,
)
from slim2keras.checkpoint import CheckpointVersion, check_checkpoint_target, open_checkpoint, write_checkpoint
from slim2keras.conversion import plan_conversion
from slim2keras.data import open_images
from slim2keras.doctor import SHA256, Drift
from slim2keras.errors import TrainingDataError, UnsupportedArgumentError
from slim2keras.graph import Shape
from slim2keras.keras_model import build_model, dropout_off
from slim2keras.loading import LoadOptions, LoadPlan, apply_load, layer_variables, planned_values, slim_variables
from slim2keras.model_files import (
    OutputFormat,
    check_target,
    output_format,
    report_path,
    sha256,
    write_model,
    write_weights,
)
from slim2keras.output_files import check_free, whole_or_not_at_all

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras
    from numpy.typing import NDArray

Progress = Callable[[int], None]
"""Called with the number of images done."""


@dataclass(frozen=True)
class Population:
    """Statistics of one layer's input over a whole data set, exact up to float64.

    Attributes:
        count: Values per channel: images times pixels.
        mean: (channels,), float64.
        deviations: Sum of squared deviations from the mean, (channels,), float64.
    """

    count: int
    mean: NDArray[np.float64]
    deviations: NDArray[np.float64]

    def joined(self, other: Population) -> Population:
        """With more data.

        Source: T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979.
        """
        count = self.count + other.count
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        return Population(
            count, mean, self.deviations + other.deviations + shift**2 * (self.count * other.count / count)
        )

    def variance(self, *, unbiased: bool) -> NDArray[np.float64]:
        """Variance, unbiased as slim's fused kernel has it, or biased as the unfused one."""
        return self.deviations / (self.count - 1 if unbiased else self.count)


@dataclass(frozen=True)
class Gap:
    """What the moving statistics cost, on the same images.

    Attributes:
        images: Number of images.
        agreement: Part of the images with the same class from both.
        accuracy_batch: With the statistics of the batch; ``None`` without labels.
        accuracy_moving: With the moving statistics, which is how the network is used.
        loss_batch: Cross entropy with the statistics of the batch.
        loss_moving: Cross entropy with the moving statistics.
    """

    images: int
    agreement: float
    accuracy_batch: float | None = None
    accuracy_moving: float | None = None
    loss_batch: float | None = None
    loss_moving: float | None = None

    def describe(self) -> str:
        """In words."""
        if self.accuracy_batch is None or self.accuracy_moving is None:
            return f"same class as with batch statistics on {self.agreement:.1%} of {self.images} images"
        return (
            f"accuracy {self.accuracy_moving:.1%} with moving statistics, {self.accuracy_batch:.1%} with those of the "
            f"batch, on {self.images} images"
        )


@dataclass(frozen=True)
class Recalibration:
    """What ``recalibrate`` did.

    Attributes:
        before: Gap with the old statistics.
        after: Gap with the new ones.
        drifts: Layer to how far its old statistics were from the new ones, in the order of the model.
    """

    before: Gap
    after: Gap
    drifts: Mapping[str, Drift]

    def to_json(self) -> dict[str, Any]:
        """As plain values; JSON has no NaN, it becomes ``None``."""
        drifts = {
            name: {key: value if np.isfinite(value) else None for key, value in asdict(drift).items()}
            for name, drift in self.drifts.items()
        }
        return {"before": asdict(self.before), "after": asdict(self.after), "drifts": drifts}


def recalibrate(
    model: tf_keras.Model,
    dataset: Iterable[Any],
    *,
    sequential: bool = False,
    decay: float | None = None,
    progress: Progress | None = None,
) -> Recalibration:
    """Estimate the moving means and variances of a model anew; weights, gamma and beta stay.

    By default they become the exact statistics of the whole data set, every layer in one sweep, the layers before it
    normalising with the batch as in training. Dropout is off. Statistics are assigned at the end: interrupted, the
    model is as it was.

    Args:
        model: Model of ``convert``, ``build`` or ``finetune``, or any functional model; changed in place.
        dataset: Batches of images as the network takes them, or of (images, labels); gone through more than once.
        sequential: Layer by layer instead, each under the already repaired statistics of those before it, as the
            network will be used. Takes a sweep for every layer.
        decay: slim's moving average with this decay instead, from the statistics that are there, a step a batch.
        progress: Called with the number of images done.

    Returns:
        Gap before and after, and how far off each layer was.

    Raises:
        TrainingDataError: If there is no data, or too little, or it makes NaN of a layer.
        UnsupportedArgumentError: If a layer is none that can be recalibrated, or the arguments exclude each other.

    Example:
        >>> report = recalibrate(model, tf.data.Dataset.from_tensor_slices((images, labels)).batch(64))
        >>> print(report.before.describe(), report.after.describe())
    """
    check_decay(decay)
    if sequential and decay is not None:
        raise UnsupportedArgumentError("sequential is about exact statistics; leave it or decay out.")
    layers = batch_norm_layers(model)
    if not layers:
        raise UnsupportedArgumentError(f"{model.name} has no BatchNorm layer, so there is nothing to recalibrate.")
    for layer in layers:
        check_layer(layer, BatchNormMode.FROZEN)
    before = measure_gap(model, dataset)
    old = _statistics(layers)
    try:
        if decay is not None:
            _move_over(model, layers, dataset, decay, progress)
        elif sequential:
            _assign_one_by_one(model, layers, dataset, progress)
        else:
            _assign(layers, population_statistics(model, dataset, progress=progress))
        new = _statistics(layers)
        after = measure_gap(model, dataset)
    except BaseException:
        for layer, (mean, variance) in zip(layers, old, strict=True):
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        raise
    drifts = {
        layer.name: Drift.between(*was, *now, epsilon=layer.epsilon)
        for layer, was, now in zip(layers, old, new, strict=True)
    }
    return Recalibration(before, after, drifts)


def population_statistics(
    model: tf_keras.Model, dataset: Iterable[Any], *, progress: Progress | None = None
) -> dict[str, Population]:
    """Exact statistics of what each BatchNorm layer gets over a data set, the layers normalising with the batch.

    Returns:
        Layer name to statistics, in the order of the model.

    Raises:
        TrainingDataError: If there is no data, or one value per channel, or NaN.
    """
    import tensorflow as tf

    layers = batch_norm_layers(model)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def moments(images: tf.Tensor) -> dict[str, tuple[tf.Tensor, ...]]:
        with observed_inputs(layers) as seen:
            model(images, training=True)
        return seen

    found: dict[str, Population] = {}
    with dropout_off(model):
        for images in _images(dataset, progress):
            for name, values in moments(images).items():
                found[name] = _joined(found.get(name), values)
    return {layer.name: _checked(found.get(layer.name), layer.name) for layer in layers}


def _joined(so_far: Population | None, values: Sequence[Any]) -> Population:
    count, mean, deviations = (value.numpy() for value in values)
    more = Population(int(count), mean, deviations)
    return more if so_far is None else so_far.joined(more)


def _checked(population: Population | None, name: str) -> Population:
    if population is None:
        raise TrainingDataError("The data set has no images.")
    if population.count < 2:
        raise TrainingDataError(f"{name} gets one value per channel, whose variance is undefined. Give more images.")
    if not (np.isfinite(population.mean).all() and np.isfinite(population.deviations).all()):
        raise TrainingDataError(
            f"{name} gets values that are NaN or infinite: the images have them, or the weights before it. Nothing was "
            "changed."
        )
    return population


def _assign(layers: Sequence[Any], populations: Mapping[str, Population]) -> None:
    for layer in layers:
        population = populations[layer.name]
        layer.moving_mean.assign(population.mean.astype("float32"))
        layer.moving_variance.assign(population.variance(unbiased=bool(layer.fused)).astype("float32"))


def _assign_one_by_one(
    model: tf_keras.Model, layers: Sequence[Any], dataset: Iterable[Any], progress: Progress | None
) -> None:
    import tensorflow as tf
    import tf_keras

    for layer in layers:
        before_it = tf_keras.Model(model.input, layer.input)

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def moments(images: tf.Tensor, before_it: Any = before_it) -> tuple[tf.Tensor, ...]:
            return moments_of(before_it(images, training=False))

        found: Population | None = None
        for images in _images(dataset, progress):
            found = _joined(found, moments(images))
        _assign([layer], {layer.name: _checked(found, layer.name)})


def _move_over(
    model: tf_keras.Model, layers: Sequence[Any], dataset: Iterable[Any], decay: float, progress: Progress | None
) -> None:
    import tensorflow as tf

    modes = {layer.name: BatchNormMode.UPDATE for layer in layers}

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(images: tf.Tensor) -> None:
        with explicit_modes(layers, modes) as batches:
            model(images, training=True)
        for batch in batches:
            move_statistics(batch.layer, batch.mean, batch.variance, decay)

    with dropout_off(model):
        for images in _images(dataset, progress):
            step(images)
    for layer, (mean, variance) in zip(layers, _statistics(layers), strict=True):
        _checked(Population(2, mean, variance), layer.name)


def _statistics(layers: Sequence[Any]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    return [(layer.moving_mean.numpy(), layer.moving_variance.numpy()) for layer in layers]


def measure_gap(model: tf_keras.Model, dataset: Iterable[Any]) -> Gap:
    """Compare the outputs with moving statistics with those with the statistics of each batch; dropout is off.

    Args:
        model: The first output are logits.
        dataset: Batches of images, or of (images, labels); labels are numbers of classes, or have a column a class.

    Raises:
        TrainingDataError: If there is no data.
    """
    import tensorflow as tf

    layers = batch_norm_layers(model)
    modes = {layer.name: BatchNormMode.BATCH for layer in layers}

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def outputs(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        moving = model(images, training=False)
        with explicit_modes(layers, modes):
            batch = model(images, training=True)
        logits = (tf.nest.flatten(item)[0] for item in (batch, moving))
        return tuple(tf.reshape(item, (tf.shape(images)[0], item.shape[-1])) for item in logits)

    tallies = []
    with dropout_off(model):
        for images, labels in _images_and_labels(dataset):
            batch, moving = outputs(images)
            tallies.append(_tally(batch, moving, labels))
    if not tallies:
        raise TrainingDataError("The data set has no images.")
    columns = {name: np.concatenate([tally[name] for tally in tallies]) for name in tallies[0]}
    return Gap(len(columns["agreement"]), **{name: float(np.mean(column)) for name, column in columns.items()})


def _tally(batch: tf.Tensor, moving: tf.Tensor, labels: Any) -> dict[str, NDArray[Any]]:
    """Columns of a ``Gap``, a value for each image."""
    import tensorflow as tf

    logits = {"batch": batch.numpy(), "moving": moving.numpy()}
    classes = {name: item.argmax(1) for name, item in logits.items()}
    found = {"agreement": classes["batch"] == classes["moving"]}
    if labels is None:
        return found
    numbers = np.asarray(labels)
    numbers = numbers.argmax(-1) if numbers.ndim > 1 and numbers.shape[-1] > 1 else numbers.reshape(-1)
    if numbers.min() < 0 or numbers.max() >= logits["batch"].shape[1]:
        raise TrainingDataError(
            f"There are labels from {numbers.min()} to {numbers.max()}, but the network has {logits['batch'].shape[1]} "
            "classes. Give labels that number them from 0, or images alone."
        )
    for name, item in logits.items():
        found[f"accuracy_{name}"] = classes[name] == numbers
        found[f"loss_{name}"] = tf.nn.sparse_softmax_cross_entropy_with_logits(numbers, item).numpy()
    return found


def _images_and_labels(dataset: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    import tensorflow as tf

    for element in dataset:
        images, labels = (element[0], element[1]) if isinstance(element, (tuple, list)) else (element, None)
        yield tf.convert_to_tensor(images), labels


def _images(dataset: Iterable[Any], progress: Progress | None) -> Iterator[Any]:
    done = 0
    for images, _ in _images_and_labels(dataset):
        yield images
        done += len(images)
        if progress:
            progress(done)


@dataclass(frozen=True)
class RecalibrationRequest:
    """What ``recalibrate_file`` is asked for; ``convert`` and ``recalibrate`` describe the arguments."""

    net: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input_shape: Shape | None = None
    use_ema: bool = False
    batch_size: int = 32
    sequential: bool = False
    decay: float | None = None


def recalibrate_file(
    checkpoint: str | Path,
    data: str | Path,
    output: str | Path,
    request: RecalibrationRequest,
    *,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Recalibration:
    """Recalibrate a checkpoint with images, and write it anew.

    Args:
        checkpoint: As in ``convert``; its statistics may be NaN, its weights may not.
        data: Images, see ``data.open_images``.
        output: ``.keras``, ``.h5`` or ``.weights.h5``; any other name is that of a slim checkpoint, which gets
            everything else bit for bit, slots included. With ``use_ema`` it is the shadows that are repaired.
        progress: Called with what is done, the number of images done and in all.

    Returns:
        Gap before and after, and how far off each layer was; also written as ``<output>.json``.

    Raises:
        DataReadError: If the images cannot be read.
        OutputError: If the output exists already or cannot be written; nothing is left behind.
    """
    target = Path(output).absolute()
    is_model = target.suffix in (".keras", ".h5")
    if is_model:
        check_target(target, overwrite=overwrite)
    else:
        check_checkpoint_target(target, CheckpointVersion.V2, overwrite=overwrite)
        check_free(report_path(target), overwrite=overwrite)
    with open_checkpoint(checkpoint) as opened:
        options = LoadOptions(use_ema=request.use_ema, allow_nonfinite=True)
        plan = plan_conversion(opened, request.net, request.arguments, request.input_shape, options)
        images = open_images(Path(data), plan.spec, request.batch_size)
        model = build_model(plan.spec)
        apply_load(model, planned_values(model, plan.load, opened, allow_nonfinite=True))
        step = partial(_report, progress, len(images)) if progress else None
        report = recalibrate(model, images, sequential=request.sequential, decay=request.decay, progress=step)
        if is_model:
            written = _write_model(model, target)
        else:
            values = {**opened, **_repaired(model, plan.load)}
            written = write_checkpoint(target, values, CheckpointVersion.V2, overwrite=overwrite).files[0]
    facts = {"source": str(checkpoint), "data": str(data), **report.to_json(), SHA256: sha256(written)}
    with whole_or_not_at_all(report_path(target)) as (draft,):
        draft.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return report


def _write_model(model: tf_keras.Model, target: Path) -> Path:
    its_format = output_format(target)
    with whole_or_not_at_all(target) as (draft,):
        if its_format is OutputFormat.WEIGHTS:
            write_weights(model, ((name, item.numpy()) for name, item in slim_variables(model).items()), draft)
        else:
            write_model(model, draft, its_format)
    return target


def _report(progress: Callable[[str, int, int], None], total: int, done: int) -> None:
    progress("recalibrating", done, total)


def _repaired(model: tf_keras.Model, load: LoadPlan) -> dict[str, NDArray[Any]]:
    """Moving statistics by the names that the checkpoint has them under."""
    found = {}
    for layer in batch_norm_layers(model):
        for name, variable in layer_variables(layer).items():
            if name in load.sources and name.rpartition("/")[2].startswith("moving_"):
                found[load.sources[name]] = variable.numpy()
    return found
