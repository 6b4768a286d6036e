"""``slim2keras nets``: the networks there are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Column, Table

from slim2keras.cli.console import JsonOption, print_json, stdout
from slim2keras.nets import find_net, list_nets
from slim2keras.published import PUBLISHED, PublishedCheckpoint


def nets(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="List the published checkpoints as well, with what they expect.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """List the networks, by the names of slim's nets_factory.

    The input is height x width x channels, with the frames first for a network of videos.
    """
    if json_output:
        print_json([_facts(name) for name in list_nets()])
        return
    table = Table(Column("net", no_wrap=True), "input", "root scope", "preprocessing", "labels offset", box=None)
    for name in list_nets():
        net = find_net(name)
        size = " x ".join(map(str, net.default_input_shape))
        table.add_row(name, size, net.scope or "none", net.preprocessing, str(net.labels_offset))
    stdout.print(table, highlight=False)
    if verbose:
        stdout.print(_published_table(), highlight=False)


def _facts(name: str) -> dict[str, object]:
    net = find_net(name)
    return {
        "net": name,
        "image_size": net.image_size,
        "input_shape": list(net.default_input_shape),
        "scope": net.scope,
        "preprocessing": net.preprocessing,
        "labels_offset": net.labels_offset,
        "arguments": dict(net.defaults),
        "published": [asdict(row) for row in PUBLISHED if row.net == name],
    }


def _published_table() -> Table:
    name = Column("published checkpoint", no_wrap=True)
    columns = ("net", "size", "classes", "preprocessing", "labels offset", "top-1", "top-5")
    table = Table(name, *columns, box=None, title="\nPublished checkpoints; accuracy in %", title_justify="left")
    for row in PUBLISHED:
        numbers = (row.image_size, row.classes or "features")
        expects = (row.preprocessing, row.labels_offset)
        table.add_row(
            row.name, row.net, *map(str, (*numbers, *expects)), _percent(row, row.top_1), _percent(row, row.top_5)
        )
    return table


def _percent(row: PublishedCheckpoint, accuracy: float | None) -> str:
    if accuracy is None:
        return "-"
    return f"{accuracy}" if row.dataset == "ImageNet" else f"{accuracy} ({row.dataset})"
