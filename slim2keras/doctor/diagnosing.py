"""The doctor: a checkpoint in, a diagnosis out.

A BatchNorm layer is whatever has a ``moving_mean`` and a ``moving_variance``, so anybody's networks are examined; and
what is one in the graph or the network that is given, whatever its statistics are called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.batch_norm.decay import check_decay, decay_for
from slim2keras.batch_norm.probe import BatchNormProbe
from slim2keras.checkpoints.load_plan import LoadOptions
from slim2keras.checkpoints.reading import Checkpoint
from slim2keras.conversion.graph_sources import find_graph_beside, meta_path, with_found_graph
from slim2keras.conversion.request import CheckpointRequest, SlimFunction, check_asks_nothing
from slim2keras.data.images import ImageBatches, image_counter, open_images
from slim2keras.doctor.evidence import Run, Statistics, batch_norms, find_decays, nonfinite_weights, recognised
from slim2keras.doctor.examination import Measured, examine
from slim2keras.doctor.findings import Diagnosis
from slim2keras.doctor.recalibration import assign_statistics, model_and_plan
from slim2keras.doctor.verdicts import verdicts
from slim2keras.errors import Slim2KerasError, UnsupportedArgumentError
from slim2keras.graphs.graph import Shape
from slim2keras.graphs.network import Network
from slim2keras.importing.request import GraphRequest
from slim2keras.models.folding import refuse_folded
from slim2keras.models.networks import find_network, network_of
from slim2keras.progress import StepProgress
from slim2keras.training.model_variables import ModelVariables, open_variables

if TYPE_CHECKING:
    import tf_keras


def diagnose(
    checkpoint: str | Path,
    *,
    pretrained: str | Path | None = None,
    net: str | None = None,
    decay: float | None = None,
    steps: int | None = None,
    data: Iterable[Any] | str | Path | None = None,
    input_shape: Shape | None = None,
    use_ema: bool = False,
    split: str | None = None,
    labels: bool = True,
    labels_offset: int = 0,
    skip_broken: bool = False,
    workers: int | None = None,
    preprocessing_name: str | None = None,
    batch_size: int = 32,
    progress: StepProgress | None = None,
    network: Network | SlimFunction | None = None,
    graph: str | Path | None = None,
    input_tensors: Sequence[str] | None = None,
    output_tensors: Sequence[str] | None = None,
    placeholder_values: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> Diagnosis:
    """Examine the BatchNorm statistics of a checkpoint; without data no network definition is needed.

    With data the network is built and the statistics are compared with those that the data give. What the checkpoint
    alone lets fear, statistics left behind or frozen, is then decided by the data, if there are enough.

    Args:
        checkpoint: V1 file, V2 prefix, training directory, ``.tar.gz`` or ``.tgz``; or a Keras model file.
        pretrained: Checkpoint that training started from: statistics with its very bits were never updated.
        net: Network whose decay counts. If left out the decay is ``decay``; else what fine-tuning here recorded beside
            the checkpoint; else that of the ``.meta`` beside it; else the default of the network that is recognised,
            which is an assumption and makes nothing sick.
        decay: Fraction of the moving statistics that a step kept.
        steps: Steps that were or will be trained with this decay; the checkpoint's ``global_step`` if left out.
        data: Batches of images as the network takes them, or of (images, labels), e.g. a ``tf.data.Dataset``; gone
            through up to twice. Or a path, see ``data.listing.list_examples``.
        input_shape: (height, width, channels), for data.
        use_ema: Examine the data with the ``ExponentialMovingAverage`` shadows.
        split: Of data from a path that has splits.
        labels: Whether to read the labels of data from a path.
        labels_offset: Taken off the numbers in data from a path; slim's flag.
        skip_broken: Leave images out of data from a path that cannot be read.
        workers: Images of data from a path that are prepared at once; ``None`` lets ``tf.data`` find out.
        preprocessing_name: Of data from a path: a network whose preprocessing is taken, or a pipeline; slim's flag.
        batch_size: Images a batch, where ``data`` is a path.
        progress: Called with what is done, the number of images done and in all, 0 if unknown.
        network: The network itself, as in ``convert``; then its decays count.
        graph: The graph that the checkpoint came with, as in ``convert``; then its decays count.
        input_tensors: Where the network begins in it, as in ``convert``.
        output_tensors: Where it ends.
        placeholder_values: Values of placeholders that are no images.
        **arguments: slim arguments of the network, e.g. ``num_classes``, where they are not recognised.

    Raises:
        CheckpointReadError: If a checkpoint cannot be read.
        ModelReadError: If a model file cannot be read.
        UnsupportedArgumentError: If decay or steps cannot be.
        UnknownNetError: If there is no such network.
        UnrecognisedNetError: With data, if the network cannot be told.
        UnsupportedGraphError: If a graph is no network of layers, or where it begins or ends is ambiguous.
        CheckpointMismatchError: With data, if the checkpoint does not fit the network.
        DataReadError: If the images cannot be read.
        TrainingDataError: If there are too few images, or labels that are no classes.

    Examples:
        >>> diagnosis = slim2keras.diagnose("train_dir/", data="flowers/", labels=False)
        >>> diagnosis.is_healthy
        True
    """
    of_graph = GraphRequest.asked(graph, input_tensors, output_tensors, placeholder_values)
    return diagnose_as_asked(
        checkpoint,
        CheckpointRequest(net, arguments, input_shape, LoadOptions(use_ema=use_ema), network, of_graph),
        pretrained=pretrained,
        decay=decay,
        steps=steps,
        data=data,
        split=split,
        labels=labels,
        labels_offset=labels_offset,
        skip_broken=skip_broken,
        workers=workers,
        preprocessing_name=preprocessing_name,
        batch_size=batch_size,
        progress=progress,
    )


def diagnose_as_asked(
    checkpoint: str | Path,
    request: CheckpointRequest,
    *,
    pretrained: str | Path | None = None,
    decay: float | None = None,
    steps: int | None = None,
    data: Iterable[Any] | str | Path | None = None,
    split: str | None = None,
    labels: bool = True,
    labels_offset: int = 0,
    skip_broken: bool = False,
    workers: int | None = None,
    preprocessing_name: str | None = None,
    batch_size: int = 32,
    progress: StepProgress | None = None,
) -> Diagnosis:
    """``diagnose`` with all that is asked of the checkpoint in one."""
    check_question(decay, steps)
    check_asks_nothing(Path(checkpoint), request)
    with open_variables(checkpoint, request.of_graph) as opened:
        if isinstance(opened, ModelVariables):
            refuse_folded(find_network(opened.model), "examined", checkpoint)
        request = _with_graph_beside(opened, with_found_graph(opened, request))
        layers = [Statistics.read(opened, norm) for norm in batch_norms(opened, request.known_network)]
        candidate = recognised(opened, request)
        decays = find_decays(opened, request, decay, candidate)
        run = Run.read(opened, layers, steps=steps, decay=decay, pretrained=pretrained)
        measured = Measured()
        if data is not None and layers:
            model, _ = model_and_plan(opened, request, data, preprocessing_name)
            how: dict[str, Any] = {"split": split, "labels": labels, "labels_offset": labels_offset}
            how |= {"skip_broken": skip_broken, "workers": workers}
            if isinstance(data, (str, Path)):
                data = open_images(data, network_of(model), batch_size, **how)
            measured = _measure(model, data, progress)
        is_model_file = isinstance(opened, ModelVariables)
        is_known = (
            request.found is not None
            or (candidate is not None and candidate.fits)
            or (isinstance(opened, ModelVariables) and find_network(opened.model) is not None)
        )
        broken = nonfinite_weights(opened, layers)
    place = {name: number for number, name in enumerate(measured.drifts)}
    layers.sort(key=lambda layer: place.get(layer.name, len(place)))
    examined = [examine(layer, decays, run, measured) for layer in layers]
    largest = max((layer.decay for layer in examined if layer.decay is not None), default=None)
    diagnosis = Diagnosis(
        source=str(checkpoint),
        layers=examined,
        decay=largest,
        decay_source=decays.source,
        steps=run.steps,
        recommended_decay=decay_for(run.steps, slowest=largest) if run.steps and largest is not None else None,
        gap=measured.gap,
        gap_repaired=measured.gap_repaired,
        numbering=measured.numbering,
        nonfinite_weights=broken,
    )
    return replace(
        diagnosis,
        verdicts=tuple(
            verdicts(
                diagnosis,
                run,
                measured,
                is_known=is_known,
                is_model_file=is_model_file,
            )
        ),
    )


def _with_graph_beside(checkpoint: Checkpoint, request: CheckpointRequest) -> CheckpointRequest:
    """The same request with the graph beside a checkpoint of no known names, if there are BatchNorm layers in it."""
    is_told = request.known_network is not None or request.names_network or isinstance(checkpoint, ModelVariables)
    if is_told or batch_norms(checkpoint) or not meta_path(checkpoint).is_file():
        return request
    if recognised(checkpoint, request) is not None:
        return request
    try:
        found = find_graph_beside(checkpoint, request)
    except Slim2KerasError:
        return request
    return replace(request, found=found) if batch_norms(checkpoint, found.imported.network) else request


def check_question(decay: float | None, steps: int | None) -> None:
    """Refuse what cannot be asked.

    Raises:
        UnsupportedArgumentError: If the decay is no fraction, or the steps are negative.
    """
    check_decay(decay)
    if steps is not None and steps < 0:
        raise UnsupportedArgumentError(f"steps must be 0 or more. Received: {steps=}")


def _measure(model: tf_keras.Model, batches: Iterable[Any], progress: StepProgress | None) -> Measured:
    probe = BatchNormProbe(model)
    seen = probe.measure(batches, image_counter(progress, "examining", batches))
    drifts = seen.drifts(probe.layers)
    measured = Measured(
        drifts=drifts,
        gap=seen.gap,
        is_mixed=seen.is_mixed,
        is_finite=all(population.is_finite for population in seen.populations.values()),
        numbering=batches.numbering if isinstance(batches, ImageBatches) else "",
    )
    off = [layer for layer in probe.layers if not drifts[layer.name].is_small]
    if not off or not measured.is_finite:
        return measured
    assign_statistics(off, seen.populations)
    repaired = probe.measure(batches, image_counter(progress, "repairing", batches))
    return replace(measured, gap_repaired=repaired.gap)
