"""``slim2keras nets``: the networks there are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from rich.table import Column, Table

from slim2keras.cli.console import (
    print_json,
    stdout,
)
from slim2keras.cli.options import (
    JsonOption,
    flag,
)
from slim2keras.nets import find_net, list_nets
from slim2keras.recognition.published import PUBLISHED


def nets(
    verbose: Annotated[
        bool, flag("--verbose", "List the published checkpoints as well, with what they expect.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """List the networks, by the names of slim's nets_factory.

    The input is height x width x channels, with the frames first for a network of videos.
    """
    if json_output:
        print_json([_facts(name) for name in list_nets()])
        return
    table = Table(
        Column("net", no_wrap=True),
        Column("input", no_wrap=True),
        "root scope",
        "preprocessing",
        "labels offset",
        box=None,
    )
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
    columns = [
        Column("published checkpoint", overflow="fold"),
        *(Column(header, no_wrap=True) for header in ("size", "classes", "preprocessing", "offset", "top-1", "top-5")),
    ]
    table = Table(
        *columns,
        box=None,
        padding=(0, 1, 0, 0),
        title="\nAccuracy in %, on ImageNet; of facenet on LFW",
        title_justify="left",
    )
    for net in list_nets():
        rows = [row for row in PUBLISHED if row.net == net]
        if rows:
            table.add_row(f"[bold]{net}[/]")
        for row in rows:
            expects = (row.image_size, row.classes or "features", row.preprocessing, row.labels_offset)
            table.add_row(f" {row.name}", *map(str, (*expects, row.top_1 or "-", row.top_5 or "-")))
    return table
