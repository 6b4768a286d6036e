"""Repair of BatchNorm: moving statistics estimated anew from data, no weight touched."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from slim2keras.batch_norm.batches import UNMIXED, batches_of_worker, images_and_labels
from slim2keras.batch_norm.decay import check_decay
from slim2keras.batch_norm.drift import Drift
from slim2keras.batch_norm.kernels import explicit_modes, move_statistics, observed_inputs
from slim2keras.batch_norm.modes import BatchNormMode, batch_norm_layers, moving_statistics
from slim2keras.batch_norm.population import Population, checked_count, joined, of_all_workers
from slim2keras.batch_norm.probe import FEWEST_IMAGES, BatchNormProbe, Gap
from slim2keras.batch_norm.soundness import check_weights
from slim2keras.checkpoints.locating import CheckpointVersion
from slim2keras.checkpoints.reading import Checkpoint
from slim2keras.checkpoints.writing import check_checkpoint_target, write_checkpoint
from slim2keras.conversion.converting import converted_model
from slim2keras.conversion.plan import ConversionPlan, plan_conversion, warn_of_default_size
from slim2keras.conversion.report import describe_model, describe_plan
from slim2keras.conversion.request import CheckpointRequest, check_asks_nothing
from slim2keras.data.images import image_counter, open_images
from slim2keras.data.listing import check_images_path
from slim2keras.errors import MovingStatisticsWarning, TrainingDataError, UnsupportedArgumentError
from slim2keras.files.output_files import check_free, report_path
from slim2keras.files.reports import Report
from slim2keras.models.folding import refuse_folded
from slim2keras.models.networks import find_network, network_of
from slim2keras.models.overrides import Overrides, dropout_off
from slim2keras.models.strategies import Team
from slim2keras.models.variables import layer_variables, slim_variables
from slim2keras.outputs.formats import OutputFormat, check_target
from slim2keras.outputs.writing import write_with_report
from slim2keras.preprocessing.factory import pipeline_named
from slim2keras.progress import ImageProgress, StepProgress
from slim2keras.training.model_variables import ModelVariables, open_variables

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras
    from numpy.typing import NDArray

_RECALIBRATED = "recalibrated"


@dataclass(frozen=True, repr=False)
class Recalibration(Report):
    """What ``recalibrate`` did.

    Attributes:
        before: Gap with the old statistics.
        after: Gap with the new ones.
        drifts: Layer to how far its old statistics were from the new ones, in the order of the model.
        is_mixed: Whether the batches held the classes alike; if not, the statistics are not those of training.
        numbering: How the labels of images from a path were numbered, in words.
    """

    before: Gap
    after: Gap
    drifts: Mapping[str, Drift]
    is_mixed: bool = True
    numbering: str = ""

    def summary(self) -> str:
        """In one line."""
        return f"{len(self.drifts)} layers from {self.before.images} images, now {self.after.describe()}"

    def page(self) -> Iterator[RenderableType]:
        """Gap before and after, and the layer that was furthest off."""
        yield Text(f"before: {self.before.describe()}")
        yield Text(f"after:  {self.after.describe()}")
        worst = max(self.drifts, key=lambda name: self.drifts[name].size)
        yield Text(f"furthest off: {worst}, {self.drifts[worst].describe()}")
        if self.numbering:
            yield Text(f"labels: {self.numbering}")
        if not self.is_mixed:
            yield Text(f"remark: {UNMIXED} These statistics will be off.", "yellow")
        if self.before.images < FEWEST_IMAGES:
            yield Text(
                f"remark: {self.before.images} images are few; {FEWEST_IMAGES} or more make statistics", "yellow"
            )

    def to_json(self) -> dict[str, Any]:
        """As plain values, for machines."""
        drifts = {name: drift.to_json() for name, drift in self.drifts.items()}
        gaps = {"before": self.before.to_json(), "after": self.after.to_json()}
        return {**gaps, "drifts": drifts, "mixed": self.is_mixed, "labels": self.numbering or None}


def recalibrate(
    model: tf_keras.Model,
    dataset: Iterable[Any],
    *,
    sequential: bool = False,
    decay: float | None = None,
    progress: ImageProgress | None = None,
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
        progress: Called after each batch with its number of images; ``num_sweeps`` says how often each image comes.

    Returns:
        Gap before and after, and how far off each layer was.

    Warns:
        MovingStatisticsWarning: If the batches hold some of the classes each, as of a data set that is not shuffled.

    Raises:
        TrainingDataError: If there is no data, or too little, or it makes NaN of a layer.
        NonFiniteError: If weights are NaN or infinite.
        UnsupportedArgumentError: If a layer is none that can be recalibrated, or the arguments exclude each other.

    Examples:
        >>> model = slim2keras.convert("train_dir/")
        >>> report = slim2keras.recalibrate(model, tf.data.Dataset.from_tensor_slices((images, labels)).batch(6))
        >>> print(report.after.describe())
        accuracy ...% with moving statistics, ...% with those of the batch, on 12 images
    """
    check_decay(decay)
    refuse_folded(find_network(model), _RECALIBRATED)
    if sequential and decay is not None:
        raise UnsupportedArgumentError("sequential is about exact statistics; leave it or decay out.")
    team = Team.of(model)
    if decay is not None and team.replicas > 1:
        raise UnsupportedArgumentError(
            "decay takes one batch after the other, which cannot be shared by several devices. Leave it out for exact "
            "statistics, or the strategy."
        )
    probe = BatchNormProbe(model)
    layers = probe.layers
    check_weights(model)
    seen = probe.measure(dataset, progress)
    if not seen.is_mixed:
        warnings.warn(f"{UNMIXED} The statistics will be off.", MovingStatisticsWarning, stacklevel=2)
    old = [moving_statistics(layer) for layer in layers]
    with Overrides() as overrides:
        for layer in layers:
            overrides.keep([layer.moving_mean, layer.moving_variance])
        if decay is not None:
            _move_over(model, layers, dataset, decay, progress)
        elif sequential:
            _assign_one_by_one(model, layers, dataset, progress)
        else:
            assign_statistics(layers, seen.populations)
        new = [moving_statistics(layer) for layer in layers]
        after = probe.measure(dataset, progress).gap
        overrides.pop_all()
    drifts = {
        layer.name: Drift.between(*was, *now, epsilon=layer.epsilon)
        for layer, was, now in zip(layers, old, new, strict=True)
    }
    return Recalibration(seen.gap, after, drifts, seen.is_mixed)


def num_sweeps(model: tf_keras.Model, *, sequential: bool = False, decay: float | None = None) -> int:
    """How often ``recalibrate`` goes through the data: before, after, and what lies between."""
    return 2 + (len(batch_norm_layers(model)) if sequential else decay is not None)


def assign_statistics(layers: Sequence[Any], populations: Mapping[str, Population]) -> None:
    """Give layers the statistics of a data set, unbiased where the kernel is fused, as in slim."""
    for layer in layers:
        population = populations[layer.name]
        _check_finite(population, layer.name)
        layer.moving_mean.assign(population.mean.astype("float32"))
        layer.moving_variance.assign(population.variance(unbiased=bool(layer.fused)).astype("float32"))


def _check_finite(population: Population, name: str) -> None:
    if not population.is_finite:
        raise TrainingDataError(
            f"{name} gets values that are NaN or infinite: the images have them, or the weights before it. Nothing was "
            "changed."
        )


def _assign_one_by_one(
    model: tf_keras.Model, layers: Sequence[Any], dataset: Iterable[Any], progress: ImageProgress | None
) -> None:
    import tensorflow as tf

    team = Team.of(model)
    for layer in layers:

        @tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
        def moments(images: tf.Tensor, layer: Any = layer) -> tuple[tf.Tensor, ...]:
            with observed_inputs([layer]) as seen:
                model(images, training=False)  # what lies behind the layer is pruned
            return seen[layer.name]

        found: Population | None = None
        for *_, values in team.mapped(moments, batches_of_worker(dataset, team, progress)):
            found = joined(found, values)
        every = of_all_workers({layer.name: found}, {layer.name: int(layer.moving_mean.shape[0])}, team)
        assign_statistics([layer], {layer.name: checked_count(every[layer.name], layer.name)})


def _move_over(
    model: tf_keras.Model, layers: Sequence[Any], dataset: Iterable[Any], decay: float, progress: ImageProgress | None
) -> None:
    import tensorflow as tf

    modes = {layer.name: BatchNormMode.UPDATE for layer in layers}

    @tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(images: tf.Tensor) -> None:
        with explicit_modes(layers, modes) as batches:
            model(images, training=True)
        for batch in batches:
            move_statistics(batch.layer, batch.mean, batch.variance, decay)

    with dropout_off(model):
        for images, _ in images_and_labels(dataset, progress):
            step(images)
    for layer in layers:
        _check_finite(Population(1, *moving_statistics(layer)), layer.name)


def recalibrate_file(
    checkpoint: str | Path,
    data: str | Path,
    output: str | Path,
    request: CheckpointRequest | None = None,
    *,
    split: str | None = None,
    labels: bool = True,
    labels_offset: int = 0,
    skip_broken: bool = False,
    workers: int | None = None,
    preprocessing_name: str | None = None,
    batch_size: int = 32,
    sequential: bool = False,
    decay: float | None = None,
    overwrite: bool = False,
    progress: StepProgress | None = None,
) -> Recalibration:
    """Recalibrate a checkpoint with images, and write it anew.

    Within the scope of a strategy of ``tf.distribute`` its devices and workers share the images. The result is that of
    one device, and the chief writes it.

    Args:
        checkpoint: As in ``convert``, or a model file; its statistics may be NaN, its weights may not.
        data: Images, see ``data.listing.list_examples``.
        output: ``.keras``, ``.h5`` or ``.weights.h5``; any other name is that of a slim checkpoint, which gets
            everything else bit for bit, slots included. With ``use_ema`` it is the shadows that are repaired.
        request: What is asked of the checkpoint; nothing of a model file.
        split: Of images that have splits.
        labels: Whether to read the labels of the images.
        labels_offset: Taken off the numbers in the data; slim's flag.
        skip_broken: Leave images out that cannot be read.
        workers: Images that are prepared at once; ``None`` lets ``tf.data`` find out.
        preprocessing_name: slim's: a network whose preprocessing is taken, or a pipeline.
        batch_size: Images a batch.
        sequential: As in ``recalibrate``.
        decay: The same.
        overwrite: Whether the output may exist already.
        progress: Called with what is done, the number of images done and in all.

    Returns:
        Gap before and after, and how far off each layer was; also written as ``<output>.json``.

    Raises:
        DataReadError: If the images cannot be read.
        OutputError: If the output exists already or cannot be written; nothing is left behind.
    """
    check_images_path(Path(data))
    target, its_format = check_recalibration_target(Path(output), overwrite=overwrite)
    request = request or CheckpointRequest()
    check_asks_nothing(Path(checkpoint), request)
    with open_variables(checkpoint, request.of_graph) as opened:
        model, plan = model_and_plan(opened, request, data, preprocessing_name)
        refuse_folded(find_network(model), _RECALIBRATED, checkpoint)
        how: dict[str, Any] = {"split": split, "labels": labels, "labels_offset": labels_offset}
        how |= {"skip_broken": skip_broken, "workers": workers}
        images = open_images(data, network_of(model), batch_size, **how)
        way: dict[str, Any] = {"sequential": sequential, "decay": decay}
        count = image_counter(progress, "recalibrating", images, num_sweeps(model, **way))
        found = replace(recalibrate(model, images, **way, progress=count), numbering=images.numbering)
        about = (
            describe_model(model) if plan is None else describe_plan(plan, request.load, opened, model.count_params())
        )
        facts = {"source": str(checkpoint), "data": str(data), **found.to_json(), **about}
        if not Team.of(model).is_chief:
            return found
        if its_format is not None:
            current = ((name, item.numpy()) for name, item in slim_variables(model).items())
            write_with_report(model, current, target, its_format, facts, overwrite=overwrite)
        else:
            sources = {name: name for name in opened} if plan is None else plan.load.sources
            values = {**opened, **_repaired(model, sources)}
            opened.check_unchanged()
            write_checkpoint(target, values, CheckpointVersion.V2, overwrite=overwrite, report=facts)
    return found


def model_and_plan(
    checkpoint: Checkpoint, request: CheckpointRequest, data: Any, preprocessing_name: str | None = None
) -> tuple[tf_keras.Model, ConversionPlan | None]:
    """The model of a checkpoint, its statistics as they are, and how it was made; no plan of a model file."""
    pipeline = None if preprocessing_name is None else pipeline_named(preprocessing_name)
    if isinstance(checkpoint, ModelVariables):
        if pipeline is not None:
            checkpoint.model.slim_network = network_of(checkpoint.model).with_preprocessing(pipeline)
        return checkpoint.model, None
    plan = plan_conversion(checkpoint, request, exclude_by="")
    if pipeline is not None:
        plan = replace(plan, network=plan.network.with_preprocessing(pipeline))
    warn_of_default_size(plan, data)
    return converted_model(checkpoint, plan, replace(request.load, allow_nonfinite=True)), plan


def check_recalibration_target(output: Path, *, overwrite: bool) -> tuple[Path, OutputFormat | None]:
    """Check before any work is done that a model, or else a checkpoint, can be written there.

    Returns:
        Path, and format of a model; ``None`` for a slim checkpoint.

    Raises:
        OutputError: If the name is none of either, or exists already.
    """
    if output.suffix in (".keras", ".h5"):
        return check_target(output, overwrite=overwrite)
    target = output.absolute()
    check_checkpoint_target(target, CheckpointVersion.V2, overwrite=overwrite)
    check_free(report_path(target), overwrite=overwrite)
    return target, None


def _repaired(model: tf_keras.Model, sources: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Moving statistics by the names that the checkpoint has them under."""
    found = {}
    for layer in batch_norm_layers(model):
        moving = {id(layer.moving_mean), id(layer.moving_variance)}
        for name, variable in layer_variables(layer).items():
            if name in sources and id(variable) in moving:
                found[sources[name]] = variable.numpy()
    return found
