"""``slim2keras nets``: the networks there are."""

from __future__ import annotations

from rich.table import Table

from slim2keras.cli.console import JsonOption, print_json, stdout
from slim2keras.nets import NETS, list_nets


def nets(json_output: JsonOption = False) -> None:
    """List the networks, by the names of slim's nets_factory."""
    rows = [
        {
            "net": name,
            "image_size": NETS[name].image_size,
            "scope": NETS[name].scope,
            "preprocessing": NETS[name].preprocessing,
            "labels_offset": NETS[name].labels_offset,
            "arguments": dict(NETS[name].defaults),
        }
        for name in list_nets()
    ]
    if json_output:
        print_json(rows)
        return
    table = Table("net", "image size", "root scope", "preprocessing", "labels offset", box=None)
    for row in rows:
        table.add_row(
            *(str(row[column]) for column in ("net", "image_size", "scope", "preprocessing", "labels_offset"))
        )
    stdout.print(table)
