"""A model and the network that judges it, run on the same images op by op."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.checkpoints.load_plan import LoadOptions, check_plan, load_options_of, plan_load
from slim2keras.checkpoints.reading import Checkpoint, open_checkpoint
from slim2keras.errors import CheckpointMismatchError, UnsupportedArgumentError, UnsupportedGraphError
from slim2keras.graphs.network import Network
from slim2keras.models.end_points import end_points
from slim2keras.models.folding import refuse_folded
from slim2keras.models.functional import functional_model
from slim2keras.models.networks import network_of
from slim2keras.models.overrides import Overrides, dropout_off
from slim2keras.models.precision import in_float32, precision_of
from slim2keras.models.variables import (
    all_layers,
    keras_leaves,
    layer_variables,
    slim_variables,
    stored_shapes,
)
from slim2keras.parity.graph_judges import GraphJudge, find_graph_judge, request_of
from slim2keras.parity.originals import Arrays, Images, Original, Run, of_slim
from slim2keras.parity.report import BARS, Comparison, ParityReport
from slim2keras.preprocessing.doubts import warn_if_doubtful
from slim2keras.slim.networks import open_judge

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray


_OPEN_SIZE = 64
_OUTPUT = "output"


def verify(
    checkpoint: str | Path,
    model: tf_keras.Model,
    *,
    images: NDArray[Any] | Sequence[NDArray[Any]] | None = None,
    exclude: Sequence[str] | None = None,
    use_ema: bool | None = None,
    slim_source: str | Path | None = None,
    network: Callable[..., Any] | None = None,
) -> ParityReport:
    """Compare a model with what it was made of, both on the same images, op by op.

    The judge is slim's own network; of an imported network the graph that it came from; of a network that slim does
    not have the graph beside the checkpoint; or the user's own function. It gets its variables from the checkpoint, not
    from the model. Compared are every end point and the first output, in inference and in training mode (dropout off),
    the moving statistics after one step, and the regularization loss; with a graph also which variables train. The
    report says what the judge cannot tell. The model is left as it was.

    Of a model in mixed precision a copy in float32 is compared, layer by layer the same and with its variables: what is
    judged is the network, not the rounding of half precision.

    Args:
        checkpoint: As in ``convert``.
        model: Model that ``convert`` made of it.
        images: float32, (batch, height, width, channels), of a model of several inputs a list; by default two of noise.
        exclude: Scopes that were started afresh; as the model was converted, if left out.
        use_ema: Whether the model has the EMA shadows; as the model was converted, if left out.
        slim_source: ``research/slim``, whose networks judge then: a directory, or the archive that ``pip download
            --no-deps tf-models-research-object-detection==2.8.0.post1`` fetches. By default those of ``tf_slim``,
            which has ResNet, Inception v1 to v3, VGG, AlexNet and OverFeat.
        network: The user's own slim function, which judges then: ``network(images, is_training)`` gives the output, or
            (output, end points), in the variable scopes that the checkpoint has, and drops nothing.

    Raises:
        CheckpointReadError: If the checkpoint cannot be read.
        CheckpointMismatchError: If the judge and the model have different variables.
        UnsupportedArgumentError: If that slim does not have the network or one of its arguments.
        UnsupportedGraphError: If a graph that judges cannot be run as far as its first output.

    Warns:
        GraphWarning: If the graph that judges is not the file that the network was imported from.
        PreprocessingWarning: If the images can hardly be preprocessed as the network wants them: parity holds on any.

    Examples:
        >>> model = slim2keras.convert("train_dir/")
        >>> report = slim2keras.verify("train_dir/", model)
        >>> report.passed
        True
    """
    converted = load_options_of(model)
    options = LoadOptions(
        converted.exclude if exclude is None else exclude, converted.use_ema if use_ema is None else use_ema
    )
    known = network_of(model)
    refuse_folded(known, "compared with slim's, variable by variable")
    if images is not None:
        warn_if_doubtful(images, model)
    if network is not None and slim_source is not None:
        raise UnsupportedArgumentError("The function judges: leave slim_source out, or network.")
    with open_checkpoint(checkpoint, request_of(known)) as opened:
        judge = find_graph_judge(opened, known, network, slim_is_given=slim_source is not None)
        available = opened if judge is None else opened.with_constants(judge.constants)
        values, from_model = _checkpoint_values(available, model, options)
        if judge is not None:
            values |= judge.outside(opened, values)
    if judge is not None:
        given = _as_images(noise_images(known, judge.batch or 2) if images is None else images)
        return compare_with_graph(known, model, values, given, judge, from_model=from_model)
    slim = None if slim_source is None else Path(slim_source)
    (images,) = _as_images(noise_images(known) if images is None else images)
    return compare_with_slim(known, model, values, images, from_model=from_model, slim_source=slim)


def _as_images(images: Any) -> Images:
    return list(images) if isinstance(images, list | tuple) else [images]


def noise_images(network: Network, batch: int = 2) -> Any:
    """Uniform noise in [-1, 1) of a network's input size, (batch, height, width, channels); a list of several inputs.

    Open sizes are of ``_OPEN_SIZE`` pixels.
    """
    random = np.random.RandomState(0)
    shapes = network.input_shapes if len(network.input_shapes) > 1 else (network.usual_shape,)
    sizes = [[_OPEN_SIZE if size is None else size for size in shape] for shape in shapes]
    images = [random.uniform(-1, 1, (batch, *shape)).astype("float32") for shape in sizes]
    return images if len(images) > 1 else images[0]


def compare_with_slim(
    network: Network,
    model: tf_keras.Model,
    values: Arrays,
    images: NDArray[Any],
    *,
    from_model: Sequence[str] = (),
    slim_source: Path | None = None,
) -> ParityReport:
    """Compare a model with slim's network, whose variables are ``values``.

    Raises:
        CheckpointMismatchError: If slim's network and the model have different variables.
        UnsupportedArgumentError: If slim does not have the network or one of its arguments.
    """
    with open_judge(slim_source) as judge:
        unjudged = judge.unjudged_end_points(network, list(network.graph.end_points))
        originals = {
            rung: of_slim(judge.build(network, images.shape, is_training=rung == "training"))
            for rung in ("inference", "training")
        }
    return _compare_runs(network, model, values, [images], originals, unjudged=unjudged, from_model=from_model)


def compare_with_graph(
    network: Network,
    model: tf_keras.Model,
    values: Arrays,
    images: Images,
    judge: GraphJudge,
    *,
    from_model: Sequence[str] = (),
) -> ParityReport:
    """Compare a model with a graph, whose variables are ``values``.

    Raises:
        CheckpointMismatchError: If the graph has other shapes of the variables.
        UnsupportedGraphError: If the graph cannot be run as far as its first output.
    """
    report = _compare_runs(
        network, model, values, images, judge.originals, from_model=from_model, by_layer=judge.by_layer
    )
    trained = next(iter(judge.originals.values()))
    return replace(
        report,
        comparisons=[*_compare_trainability(trained, model), *report.comparisons],
        not_run={**judge.not_run, **report.not_run},
        judge=judge.name,
    )


def _compare_runs(
    network: Network,
    model: tf_keras.Model,
    values: Arrays,
    images: Images,
    originals: Mapping[str, Original],
    *,
    unjudged: Sequence[str] = (),
    from_model: Sequence[str] = (),
    by_layer: bool = False,
) -> ParityReport:
    """Run both on the same images.

    Args:
        originals: At inference and, where there is one, in training.
        unjudged: End points that the original cannot judge.
        by_layer: Whether the layers with variables are compared, by their names, and not the end points.
    """
    precision = precision_of(model)
    if precision != "float32":
        model = in_float32(model)
    compared = _layer_outputs(model) if by_layer else end_points(model)
    outputs = {_OUTPUT, *(name for name, tensor in compared.items() if any(tensor is end for end in model.outputs))}
    comparisons: list[Comparison] = []
    not_run: dict[str, str] = {}
    # Training comes last, and NASNet's auxiliary head is in slim's graph for training alone.
    *_, complete = originals.values()
    _check_same_variables(complete, model)
    for rung, original in originals.items():
        theirs = original.run(values, images)
        ours = _run_model(model, compared, images, training=rung == "training", locked=original.locked)
        names = [name for name in compared if name in theirs.activations and name not in unjudged]
        if original.judges_output and not unjudged:
            _check_judges_output(network, rung, original, theirs)
            names.append(_OUTPUT)
        comparisons += [
            _compare(rung, name, ours.activations[name], theirs.activations[name], is_output=name in outputs)
            for name in names
        ]
    if not comparisons:
        raise UnsupportedArgumentError(
            f"{network.name}: the original has none of its end points, so nothing is compared."
        )
    judged = {comparison.name for comparison in comparisons}
    if "training" in originals:
        comparisons += _compare_statistics(_decays(network, model), values, ours, theirs)
        not_run |= _unmoved(ours, theirs)
    if theirs.regularization_loss is None:
        not_run["regularization loss"] = "it depends on ops that are no computation"
    elif original.judges_output and not unjudged:
        loss = np.asarray(sum(float(loss) for loss in model.losses))
        comparisons.append(_compare("regularization loss", "sum", loss, np.asarray(theirs.regularization_loss)))
    return ParityReport(
        net=network.name,
        comparisons=comparisons,
        not_judged=[name for name in compared if name not in judged],
        from_model=list(from_model),
        images_shape=tuple(images[0].shape),
        precision=precision,
        not_run=not_run,
    )


def _check_judges_output(network: Network, rung: str, original: Original, theirs: Run) -> None:
    if _OUTPUT not in theirs.activations:
        refused = "".join(f"\n  {item}" for item in original.refused[:10])
        raise UnsupportedGraphError(
            f"{network.name}: its first output cannot be judged ({rung}). What judges it does not have that output, or "
            f"needs {len(original.refused)} ops for it that are not run:{refused}\nConvert the part before them and "
            "verify that: output_tensors=[...] (command line: --output-tensor NAME)."
        )


def _unmoved(ours: Run, theirs: Run) -> dict[str, str]:
    """Moving statistics of ours that the original does not move, in words."""
    unmoved = [name for name in ours.moved if name not in theirs.moved]
    if not unmoved:
        return {}
    what = f"{len(unmoved)} of {len(ours.moved)}, first {unmoved[0]}"
    return {"moving statistics": f"{what}: the original does not move them, or several towers do"}


def _compare_trainability(original: Original, model: tf_keras.Model) -> Iterator[Comparison]:
    """Whether what trains by its gradient is the same; ``inf`` where one trains what the other does not."""
    if original.trained is None:
        return
    for layer in all_layers(model):
        learning = {id(variable) for variable in layer.trainable_weights}
        statistics = {id(item) for leaf, item in keras_leaves(layer).items() if _moves(leaf)}
        for name, variable in layer_variables(layer).items():
            if name in original.shapes and id(variable) not in statistics:
                is_equal = (id(variable) in learning) == (name in original.trained)
                yield Comparison("trainability", name, 0.0 if is_equal else float("inf"), BARS["trainability"])


def _layer_outputs(model: tf_keras.Model) -> dict[str, Any]:
    return {layer.name: layer.output for layer in model.layers if layer.weights}


def _compare_statistics(decays: Mapping[str, float], values: Arrays, ours: Run, theirs: Run) -> Iterator[Comparison]:
    for name, value in ours.moved.items():
        if name in theirs.moved:
            slack = _decay_rounding(decays[name], values[name], theirs.moved[name])
            yield _compare("moving statistics", name, value, theirs.moved[name], slack)


def _run_model(
    model: tf_keras.Model, tensors: Mapping[str, Any], images: Images, *, training: bool, locked: frozenset[str]
) -> Run:
    outputs = {**tensors, _OUTPUT: model.outputs[0]}
    statistics = _moving_statistics(model)
    with dropout_off(model), Overrides() as overrides:
        overrides.keep(statistics.values())
        for layer in all_layers(model):
            if not locked.isdisjoint(layer_variables(layer)):
                overrides.set(layer, "trainable", value=False)
        # Called eagerly, a functional model runs its layers one op after the other.
        given = images[0] if len(images) == 1 else list(images)
        activations = functional_model(model.input, outputs)(given, training=training)
        moved = {name: variable.numpy() for name, variable in statistics.items()}
    return Run({name: value.numpy() for name, value in activations.items()}, moved)


def _moving_statistics(model: tf_keras.Model) -> dict[str, Any]:
    """Moving means and variances by slim name, those that are trained apart."""
    weights = {id(weight) for weight in model.trainable_weights}
    moving = {id(item) for layer in all_layers(model) for leaf, item in keras_leaves(layer).items() if _moves(leaf)}
    return {name: item for name, item in slim_variables(model).items() if id(item) in moving - weights}


def _moves(leaf: str) -> bool:
    return leaf.startswith("moving_")


def _decays(network: Network, model: tf_keras.Model) -> dict[str, float]:
    """Decay of every variable of a BatchNorm layer, by slim name."""
    return {
        name: network.decays[layer.name]
        for layer in all_layers(model)
        if layer.name in network.decays
        for name in layer_variables(layer)
    }


def _decay_rounding(decay: float, before: NDArray[Any], after: NDArray[Any]) -> float:
    """How far slim's own rounding of the decay moves a statistic, relative to its largest magnitude.

    slim rounds the decay to float32 before it takes it from one, so that 0.997 makes steps of 0.00300002. Keras takes
    it from one in float64 and makes steps of 0.003. It shows where a batch is far from the moving statistics.
    """
    rounding = abs(float(np.float32(decay)) - decay)
    step = float(np.max(np.abs(after - before))) / (1.0 - decay) if decay < 1.0 else 0.0
    largest = float(np.max(np.abs(after)))
    return rounding * step / largest if largest else 0.0


def _compare(
    rung: str, name: str, ours: NDArray[Any], theirs: NDArray[Any], slack: float = 0.0, *, is_output: bool = False
) -> Comparison:
    """Where both have NaN, but for an output, the rest is compared."""
    bar = BARS[rung] + slack
    ours, theirs = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    if ours.shape != theirs.shape and ours.size == theirs.size:
        # tf_slim's older ResNets keep the two spatial dimensions of size one.
        theirs = theirs.reshape(ours.shape)
    if ours.shape != theirs.shape:
        return Comparison(rung, name, float("inf"), bar)
    is_nan = np.isnan(theirs)
    if not is_output and np.array_equal(np.isnan(ours), is_nan):
        ours, theirs = ours[~is_nan], theirs[~is_nan]
    if np.array_equal(ours, theirs):
        return Comparison(rung, name, 0.0, bar, int(is_nan.sum()))
    largest = float(np.max(np.abs(theirs), initial=0.0))
    difference = float(np.max(np.abs(ours - theirs)))
    return Comparison(rung, name, difference / largest if largest else float("inf"), bar, int(is_nan.sum()))


def _checkpoint_values(
    checkpoint: Checkpoint, model: tf_keras.Model, options: LoadOptions
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Values of the model's variables as the checkpoint has them, and the names of those that only the model has."""
    network = network_of(model)
    wanted = list(network.graph.variables())
    plan = plan_load(wanted, checkpoint.variables, checkpoint.kinds, exclude=options.exclude, use_ema=options.use_ema)
    # Whatever else the checkpoint holds does not bear on the numbers of this network.
    plan.unexpected.clear()
    check_plan(plan, network.name, len(wanted), str(checkpoint.given))
    values = {name: checkpoint[source].astype("float32", copy=False) for name, source in plan.sources.items()}
    variables = slim_variables(model)
    shapes = stored_shapes(model)
    return {**values, **{name: shapes.stored(name, variables[name]) for name in plan.fresh}}, plan.fresh


def _check_same_variables(original: Original, model: tf_keras.Model) -> None:
    theirs = original.shapes
    shapes = stored_shapes(model)
    ours = {name: shapes.of(name, variable) for name, variable in slim_variables(model).items()}
    surplus = set(theirs) - set(ours) if original.judges_output and original.knows_all_variables else set()
    if not original.knows_all_variables:
        ours = {name: shape for name, shape in ours.items() if name in theirs}
    differing = sorted(surplus | {name for name, shape in ours.items() if theirs.get(name) != shape})
    if differing:
        listed = "\n".join(f"  {name}   model {ours.get(name)}   slim {theirs.get(name)}" for name in differing)
        raise CheckpointMismatchError(
            f"slim's own network has other variables than the model, {len(differing)} of {len(ours)}:\n{listed}"
        )
