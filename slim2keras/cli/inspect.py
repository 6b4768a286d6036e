"""``slim2keras inspect``: what a checkpoint is."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from rich.markup import escape
from rich.table import Table

from slim2keras.cli.console import (
    check_variables,
    import_tensorflow,
    print_json,
    print_line,
    stdout,
)
from slim2keras.cli.options import (
    CheckpointArgument,
    JsonOption,
    flag,
)
from slim2keras.files.reports import plural
from slim2keras.scopes import natural_order

if TYPE_CHECKING:
    from slim2keras.checkpoints.reading import Checkpoint
    from slim2keras.nets.spec import NetSpec


def inspect(
    checkpoint: CheckpointArgument,
    variables: Annotated[bool, flag("--variables", "List every variable.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Show what a checkpoint is: format, network, classes, step, variables by kind, BatchNorm decay, EMA and slots.

    A Keras model file is shown as the checkpoint that export would make of it.
    """
    check_variables(checkpoint)
    import_tensorflow()
    from slim2keras.training.model_variables import open_variables

    with open_variables(checkpoint) as opened:
        facts = describe(opened)
        if variables or json_output:
            facts["variables"] = [
                {"name": name, "shape": list(info.shape), "dtype": info.dtype, "kind": opened.kinds[name].value}
                for name, info in sorted(opened.variables.items(), key=lambda item: natural_order(item[0]))
            ]
    if json_output:
        print_json(facts)
        return
    _show(facts)


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything that ``inspect`` shows, as plain values."""
    from slim2keras.conversion.graph_sources import meta_path
    from slim2keras.errors import UnrecognisedNetError
    from slim2keras.recognition.from_variables import recognise
    from slim2keras.scopes import VariableKind

    by_kind = {
        kind.value: {
            "variables": len(names),
            "parameters": sum(math.prod(checkpoint.variables[name].shape) for name in names),
        }
        for kind in VariableKind
        if (names := checkpoint.names(kind))
    }
    facts: dict[str, Any] = {
        "path": str(checkpoint.given),
        "format": checkpoint.location.version,
        "bytes": sum(path.stat().st_size for path in checkpoint.location.files),
        "global_step": checkpoint.global_step,
        "kinds": by_kind,
        "ema": VariableKind.EMA.value in by_kind,
        "slots": sorted({name.rpartition("/")[2] for name in checkpoint.names(VariableKind.SLOT)}),
    }
    try:
        candidate = recognise(checkpoint.model_shapes, source=str(checkpoint.given))
    except UnrecognisedNetError as error:
        meta = meta_path(checkpoint)
        why = _told_as_folded(checkpoint) or str(error)
        return {**facts, "net": None, "why": why, "graph": meta.name if meta.is_file() else None}
    return {**facts, "fits": candidate.fits, **_describe_net(checkpoint, candidate.spec)}


def _told_as_folded(checkpoint: Checkpoint) -> str:
    """What a model file is whose variables are no longer those of its network; empty if it is not folded."""
    from slim2keras.models.networks import find_network
    from slim2keras.training.model_variables import ModelVariables

    network = find_network(checkpoint.model) if isinstance(checkpoint, ModelVariables) else None
    if network is None or not network.is_folded:
        return ""
    return (
        f"{checkpoint.given} is {network.name}, its BatchNorm folded into the weights of other layers, for inference "
        "only: evaluate, predict and convert take it."
    )


def _describe_net(checkpoint: Checkpoint, spec: NetSpec) -> dict[str, Any]:
    from slim2keras.conversion.facts import with_known_size
    from slim2keras.preprocessing.factory import preprocessing_meaning
    from slim2keras.recognition.published import find_published
    from slim2keras.training.model_variables import ModelVariables

    published = find_published(checkpoint.given, spec)
    if isinstance(checkpoint, ModelVariables):
        spec, source = replace(spec, input_shape=tuple(checkpoint.model.input_shape[1:])), "of the model"
    else:
        spec, shape_source = with_known_size(checkpoint, spec, published)
        source = shape_source.value
    if published:
        spec = replace(spec, preprocessing=published.preprocessing)
    return {
        "net": spec.net,
        "num_classes": spec.arguments["num_classes"],
        "input_shape": list(spec.input_shape),
        "input_shape_source": source,
        "scope": spec.scope,
        "arguments": spec.changed_arguments(),
        **_describe_batch_norm(checkpoint, spec),
        "preprocessing": spec.preprocessing,
        "preprocessing_meaning": preprocessing_meaning(spec),
        "labels_offset": spec.labels_offset,
        "published": published.name if published else None,
    }


def _describe_batch_norm(checkpoint: Checkpoint, spec: NetSpec) -> dict[str, Any]:
    """Decay and epsilon, and every decay that the layers have by the ``.meta``; the largest is the slowest."""
    from slim2keras.errors import CheckpointReadError
    from slim2keras.importing.meta_graph import read_decays
    from slim2keras.training.model_variables import ModelVariables

    batch_norm, decays, meta_error, source = spec.batch_norm(), [], None, "from the .meta"
    try:
        if isinstance(checkpoint, ModelVariables):
            by_scope, source = checkpoint.decays, "of the model"
        else:
            by_scope = read_decays(checkpoint.location.prefix)
        decays = sorted({decay for scope, decay in by_scope.items() if f"{scope}/moving_mean" in checkpoint.variables})
    except CheckpointReadError as error:
        meta_error = str(error)
    if batch_norm and decays:
        batch_norm["decay"] = decays[-1]
    source = source if decays else "default"
    return {
        "batch_norm": batch_norm,
        "decay_source": source if batch_norm else None,
        "decays": decays or None,
        "meta_error": meta_error,
    }


def _show(facts: dict[str, Any]) -> None:
    from slim2keras.conversion.facts import describe_input
    from slim2keras.recognition.from_variables import format_arguments

    table = Table.grid(padding=(0, 2))
    table.add_row("checkpoint", f"{facts['path']} ({facts['format']}, {facts['bytes'] / 2**20:,.1f} MiB)")
    if facts["net"] is None:
        table.add_row("net", "[yellow]not recognised[/]")
    else:
        fits = "" if facts["fits"] else "  [yellow]nearest; variables differ, see convert --dry-run[/]"
        table.add_row("net", f"[bold]{facts['net']}[/]{fits}")
        table.add_row("classes", str(facts["num_classes"] or "none, ends in features"))
        table.add_row("input", describe_input(facts["input_shape"], facts["input_shape_source"]))
        table.add_row("arguments", format_arguments(facts["arguments"]) or "slim's defaults")
        table.add_row("BatchNorm", _batch_norm(facts))
        if facts["meta_error"]:
            table.add_row(".meta", "[yellow]cannot be read: size and decay are not from it[/]")
        if facts["published"]:
            table.add_row("published as", f"{facts['published']}, see nets --verbose")
        table.add_row("preprocessing", f"{facts['preprocessing']}, labels offset {facts['labels_offset']}")
        table.add_row("", escape(facts["preprocessing_meaning"]))
    table.add_row("step", "not recorded" if facts["global_step"] is None else f"{facts['global_step']:,}")
    table.add_row("EMA", "yes (--use-ema takes it)" if facts["ema"] else "no")
    table.add_row("slots", ", ".join(facts["slots"]) or "none")
    for kind, count in facts["kinds"].items():
        table.add_row(kind, f"{plural(count['variables'], 'variable')}, {plural(count['parameters'], 'number')}")
    stdout.print(table, highlight=False)
    if facts["net"] is None and facts["graph"]:
        print_line(
            f"No network of slim's zoo; its graph lies beside it, {facts['graph']}, from which convert takes it."
        )
    elif facts["net"] is None:
        print_line(facts["why"])
    if "variables" in facts:
        listing = Table("variable", "shape", "dtype", "kind", box=None)
        for row in facts["variables"]:
            listing.add_row(row["name"], str(tuple(row["shape"])), row["dtype"], row["kind"])
        stdout.print(listing)


def _batch_norm(facts: dict[str, Any]) -> str:
    if not facts["batch_norm"]:
        return "none"
    decays = facts["decays"] or [facts["batch_norm"]["decay"]]
    shown = " to ".join(str(decay) for decay in dict.fromkeys((decays[0], decays[-1])))
    return f"decay {shown} ({facts['decay_source']}), epsilon {facts['batch_norm']['epsilon']} (default)"
