"""What was found, in sentences that say what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slim2keras.batch_norm.batches import UNMIXED
from slim2keras.batch_norm.decay import steps_for
from slim2keras.batch_norm.probe import FEWEST_IMAGES
from slim2keras.doctor.evidence import Run
from slim2keras.doctor.examination import Measured
from slim2keras.doctor.findings import Diagnosis, Finding, LayerDiagnosis
from slim2keras.files.reports import plural

_AT_THE_START = frozenset({Finding.NEVER_UPDATED, Finding.NOT_RESTORED, Finding.FROZEN, Finding.NOT_MOVED})
_ORDERS_OF_MAGNITUDE = 1e4
"""Between moving variance and that of the data: more than training in another range of pixels, 255 ** 2, needs a layer
or two to cause, and what weights that are scaled twice give."""

_MEANING = {
    Finding.NEVER_UPDATED: (
        "pit one: {layers} never updated; test results with is_training=False are meaningless. The update ops "
        "(tf.GraphKeys.UPDATE_OPS) were not run in training; {repair}"
    ),
    Finding.NOT_RESTORED: (
        "{layers} given the statistics of a fresh network: they were left out when the weights were saved or restored. "
        "Test results with is_training=False are meaningless; restore them too, or {repair}"
    ),
    Finding.FOLDED: (
        "{layers} given weights that these statistics hardly belong to: the larger the variance of a channel, the "
        "smaller its weights (correlation {correlation:.2f}; of networks as they were trained, 0.2 to 0.6). Probably a "
        "script has folded BatchNorm into the weights; with its BatchNorm the network then divides twice, and outputs "
        "may be off by orders of magnitude: take the checkpoint from before folding, leave BatchNorm out of the "
        "network, or {repair}"
    ),
    Finding.FROZEN: (
        "pit one: {layers} left at the pre-trained statistics, bit for bit, while {moved} other variables moved. Right "
        "if BatchNorm was frozen on purpose; if it normalised with the batch, {repair}"
    ),
    Finding.NOT_MOVED: (
        "pit one: {layers} normalising with the batch in fine-tuning while the moving statistics stayed what they were "
        "(batch_norm='batch'); {repair}"
    ),
    Finding.UNDER_CONVERGED: (
        "pit two: {layers} left behind: after {steps} steps at decay {decay:.6g}, {left:.0%} of the statistics are "
        "still the values they started from. {repair_first}; {faster}.{pit_one}"
    ),
    Finding.DRIFTED: (
        "{layers} off what these images give, first {first} ({fact}). The statistics are wrong: {repair}; or the "
        "images are not such as the network was trained on, or preprocessed otherwise"
    ),
    Finding.NONFINITE: (
        "{layers} poisoned: statistics that are NaN or infinite, first {first}. Training diverged, or a batch had one "
        "value per channel; {repair} if the weights are finite, or take an earlier checkpoint"
    ),
    Finding.NEGATIVE_VARIANCE: "{layers} broken: a variance is negative, first {first}; {repair}",
    Finding.EXPLODING: (
        "{layers} exploding: variances of more than a million times those of the other layers, or beyond all bounds, "
        "first {first} ({fact}). Training diverged, or images came in another range"
    ),
    Finding.OUT_OF_STEP: (
        "{layers} out of step with the EMA shadows, first {first} ({fact}): one of the two was not updated. Evaluate "
        "with the one that is right, or {repair}"
    ),
    Finding.DEAD_LAYER: "{layers} dead: no channel varies, first {first}",
    Finding.PERHAPS_UNDER_CONVERGED: (
        "perhaps pit two: if it was trained with decay {decay:.6g}, {left:.0%} of the statistics of {count} layers are "
        "still the values they started from. That decay is only {source}: give --decay if you know it, or --data to "
        "see whether the statistics fit; {repair} if they do not.{pit_one}"
    ),
    Finding.PERHAPS_DRIFTED: "remark: {layers} off what these images give, which cannot tell whether they are wrong",
    Finding.DRIFT_UNFELT: "remark: {layers} off what these images give, but the accuracy does not suffer",
    Finding.DEAD_CHANNELS: "remark: {layers} partly dead: channels whose variance is near 0, most often harmless",
    Finding.SMALL_GAMMA: "remark: {layers} partly switched off: gammas near 0, as after pruning",
}
"""What a finding means and what to do; each sentence says how many layers are concerned."""


def verdicts(
    diagnosis: Diagnosis, run: Run, measured: Measured, *, is_known: bool, is_model_file: bool
) -> Iterator[str]:
    """One sentence for each thing that is wrong, worst first; then doubts, what the data say, and remarks.

    Args:
        diagnosis: Its findings.
        run: The evidence behind them.
        measured: What the data say.
        is_known: Whether ``slim2keras recalibrate`` knows the network.
        is_model_file: Whether it is a file of Keras that was examined.
    """
    yield from _of_weights(diagnosis)
    if not diagnosis.layers:
        return

    def sentences(*, of: bool, doubts: bool = False) -> Iterator[str]:
        for finding in Finding:
            if (finding.is_sick, finding.is_doubt) == (of, doubts) and diagnosis.with_finding(finding):
                yield _sentence(finding, diagnosis, run, is_known=is_known)

    if diagnosis.is_healthy:
        yield _health(diagnosis, measured)
    yield from sentences(of=True)
    yield from sentences(of=False, doubts=True)
    if diagnosis.gap is not None:
        yield f"on the data: {diagnosis.gap.describe()}; {_causes(diagnosis)}"
        yield from _doubts_of_data(diagnosis, measured)
    yield from sentences(of=False)
    if run.num_images is not None:
        yield f"remark: the statistics were recalibrated from {run.num_images} images"
    elif diagnosis.gap is None and not run.record.steps:
        yield from _what_is_missing(diagnosis)
    if not is_known and any(
        layer.is_sick or (layer.findings and layer.findings[0].is_doubt) for layer in diagnosis.layers
    ):
        yield _way_of_ones_own(is_model_file=is_model_file)


def _of_weights(diagnosis: Diagnosis) -> Iterator[str]:
    if broken := diagnosis.nonfinite_weights:
        yield (
            f"diverged: {plural(len(broken), 'variable')} besides the statistics with NaN or infinite values, first "
            f"{broken[0]}. No statistics make that good: take an earlier checkpoint"
        )
    elif not diagnosis.layers:
        yield "healthy: the checkpoint has no BatchNorm layer"


def _way_of_ones_own(*, is_model_file: bool) -> str:
    get_model = (
        "slim2keras.load_model(file)"
        if is_model_file
        else "a tf_keras model whose layers are named after the scopes, slim2keras.load_checkpoint(model, checkpoint)"
    )
    return (
        "remark: the network is not one that slim2keras knows, so its command cannot recalibrate it. In Python: "
        f"{get_model}, then slim2keras.recalibrate(model, dataset)"
    )


def _health(diagnosis: Diagnosis, measured: Measured) -> str:
    count = len(diagnosis.layers)
    whose = "the only layer" if count == 1 else f"all {count} layers"
    if any(layer_finding.is_doubt for layer in diagnosis.layers for layer_finding in layer.findings):
        return f"not sick: nothing is certainly wrong with the statistics of {whose}, but something may be"
    if measured.decides:
        return f"healthy: the statistics of {whose} can be trusted, as far as the checkpoint and these images tell"
    return (
        f"healthy: nothing wrong is seen in the statistics of {whose} in the checkpoint alone; whether they fit the "
        "images, --data tells"
    )


def _doubts_of_data(diagnosis: Diagnosis, measured: Measured) -> Iterator[str]:
    assert measured.gap is not None, "data were measured"
    if not measured.is_mixed:
        yield f"remark: {UNMIXED} What they say of the statistics means little, and a recalibration on them is off"
    if measured.gap.images < FEWEST_IMAGES:
        yield (
            f"remark: {measured.gap.images} images are too few to tell whether the statistics are right; "
            f"{FEWEST_IMAGES} or more do, and accuracies to a point need a thousand"
        )
    if not measured.is_finite:
        yield (
            "remark: layers get NaN or infinity from these images: the images have such values, or the weights; what "
            "is measured tells nothing"
        )
    unexplained = [layer for layer in diagnosis.with_finding(Finding.DRIFTED) if layer.drift is not None]
    wild = [layer for layer in unexplained if layer.drift.ratio > _ORDERS_OF_MAGNITUDE]  # type: ignore[union-attr]
    if wild:
        yield (
            f"remark: in {len(wild)} layers the variances are orders of magnitude apart: the weights may have been "
            "folded by a script while the old statistics were kept, or the images are in another range"
        )


def _what_is_missing(diagnosis: Diagnosis) -> Iterator[str]:
    unknown = [layer for layer in diagnosis.layers if layer.old_statistics_left is None]
    if any(not _AT_THE_START & {*layer.findings} for layer in unknown):
        missing = "the decay (--decay)" if diagnosis.decay is None else "the number of steps (--steps)"
        yield f"remark: pit two cannot be excluded without {missing}"


def _sentence(finding: Finding, diagnosis: Diagnosis, run: Run, *, is_known: bool) -> str:
    found = diagnosis.with_finding(finding)
    is_unknown = not (run.start or run.record.steps)
    decay = max((layer.decay or 0.0 for layer in found), default=0.0)
    repair = "run `slim2keras recalibrate`" if is_known else "recalibrate the statistics (in Python, see below)"
    return _MEANING[finding].format(
        layers=_were(found, diagnosis),
        count=f"{len(found)} of {len(diagnosis.layers)}",
        first=found[0].name,
        fact=found[0].facts[finding],
        steps=run.steps_of_share,
        decay=decay,
        source=diagnosis.decay_source,
        left=max(layer.old_statistics_left or 0.0 for layer in found),
        faster=_faster(decay, diagnosis.recommended_decay),
        moved=run.num_moved,
        correlation=run.correlation,
        pit_one=" Whether they moved at all (pit one), --pretrained CHECKPOINT tells" if is_unknown else "",
        repair=repair,
        repair_first=repair[0].upper() + repair[1:],
    )


def _faster(decay: float, recommended: float | None) -> str:
    if recommended is not None and recommended < decay:
        return f"where training starts anew, take decay {recommended:.4g}"
    return f"where training starts anew, plan {steps_for(decay)} steps or more"


def _causes(diagnosis: Diagnosis) -> str:
    off = [layer for layer in diagnosis.layers if layer.drift is not None and not layer.drift.is_small]
    if not off:
        gain = diagnosis.gap is not None and diagnosis.gap.accuracy_lost is not None and diagnosis.gap.is_felt
        return "no layer drifts" + (", but `slim2keras recalibrate` may gain the difference" if gain else "")
    worst = max(off, key=lambda layer: layer.drift.size)  # type: ignore[union-attr]
    repaired = diagnosis.gap_repaired
    if repaired is None:
        after = ""
    elif repaired.accuracy_moving is None:
        after = f"; {repaired.agreement:.1%} with them recalibrated"
    else:
        after = f"; {repaired.accuracy_moving:.1%} with them recalibrated"
    return f"{_were(off, diagnosis)} off, furthest {worst.name} ({worst.drift.describe()}){after}"  # type: ignore[union-attr]


def _were(layers: Sequence[LayerDiagnosis], diagnosis: Diagnosis) -> str:
    return f"{len(layers)} of {len(diagnosis.layers)} layers {'was' if len(layers) == 1 else 'were'}"
