"""``slim2keras inspect``: what a checkpoint is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from slim2keras.cli.console import (
    CheckpointArgument,
    JsonOption,
    import_tensorflow,
    plural,
    print_json,
    print_line,
    stdout,
)

if TYPE_CHECKING:
    from slim2keras.checkpoint import Checkpoint


def inspect(
    checkpoint: CheckpointArgument,
    variables: Annotated[bool, typer.Option("--variables", help="List every variable.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Show what a checkpoint is: format, network, classes, step, variables by kind, BatchNorm decay, EMA and slots."""
    from slim2keras.checkpoint import open_checkpoint

    import_tensorflow()
    with open_checkpoint(checkpoint) as opened:
        facts = describe(opened)
        if variables or json_output:
            facts["variables"] = [
                {"name": name, "shape": list(info.shape), "dtype": info.dtype, "kind": opened.kinds[name].value}
                for name, info in opened.variables.items()
            ]
    if json_output:
        print_json(facts)
        return
    _show(facts)


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything that ``inspect`` shows, as plain values."""
    from slim2keras.errors import UnrecognisedNetError
    from slim2keras.nets import find_net
    from slim2keras.preprocessing import PIPELINES, image_size
    from slim2keras.published import PublishedCheckpoint, find_published
    from slim2keras.recognition import recognise
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
    shapes = {name: checkpoint.variables[name].shape for name in checkpoint.names(VariableKind.MODEL)}
    try:
        candidate = recognise(shapes, source=str(checkpoint.given))
    except UnrecognisedNetError as error:
        return {**facts, "net": None, "why": str(error)}
    expected = find_published(checkpoint.given, candidate.spec) or find_net(candidate.spec.net)
    published_size = expected.image_size if isinstance(expected, PublishedCheckpoint) else None
    size = image_size(candidate.spec) if published_size is None else (published_size, published_size)
    return {
        **facts,
        "net": candidate.spec.net,
        "fits": candidate.fits,
        "num_classes": candidate.spec.arguments["num_classes"],
        "input_shape": list(candidate.spec.input_shape),
        "scope": candidate.spec.scope,
        "arguments": candidate.spec.changed_arguments(),
        "batch_norm": candidate.spec.batch_norm(),
        "preprocessing": expected.preprocessing,
        "preprocessing_meaning": PIPELINES[expected.preprocessing].describe(*size),
        "labels_offset": expected.labels_offset,
        "published": expected.name if isinstance(expected, PublishedCheckpoint) else None,
    }


def _show(facts: dict[str, Any]) -> None:
    from slim2keras.recognition import format_arguments

    table = Table.grid(padding=(0, 2))
    table.add_row("checkpoint", f"{facts['path']} ({facts['format']}, {facts['bytes'] / 2**20:,.1f} MiB)")
    if facts["net"] is None:
        table.add_row("net", "[yellow]not recognised[/]")
    else:
        fits = "" if facts["fits"] else "  [yellow]nearest; variables differ, see convert --dry-run[/]"
        table.add_row("net", f"[bold]{facts['net']}[/]{fits}")
        table.add_row("classes", str(facts["num_classes"] or "none, ends in features"))
        table.add_row("input", " x ".join(str(size) for size in facts["input_shape"]))
        table.add_row("arguments", format_arguments(facts["arguments"]) or "slim's defaults")
        decay = facts["batch_norm"]
        table.add_row(
            "BatchNorm", f"decay {decay['decay']}, epsilon {decay['epsilon']} (of the net)" if decay else "none"
        )
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
    if facts["net"] is None:
        print_line(facts["why"])
    if "variables" in facts:
        listing = Table("variable", "shape", "dtype", "kind", box=None)
        for row in facts["variables"]:
            listing.add_row(row["name"], str(tuple(row["shape"])), row["dtype"], row["kind"])
        stdout.print(listing)
