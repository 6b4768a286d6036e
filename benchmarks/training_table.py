"""The table of training runs in docs/numerics.md: twenty steps here against twenty steps of slim, in Markdown.

Each cell is the largest difference of a loss, and of any variable, slot, moving statistic or shadow at the end.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gc
import sys

from tests.parity.training_runs import (
    EVERYTHING,
    FEATURES,
    FULL_NETS,
    NETS,
    SCHEDULES,
    Case,
    Run,
    differences,
    of_net,
    run_ours,
    run_theirs,
)
from tests.test_optimizers import PAIRS

ROWS = {
    **{f"{name}": Case(optimizer=name) for name in PAIRS},
    **{f"{name} rate": Case(schedule=name) for name in SCHEDULES if name != "fixed"},
    **{f"`{name}`" if name in ("train_only", "decay") else name: case for name, case in FEATURES.items()},
    "everything at once, with Adam": EVERYTHING,
}
FEW_STEPS = 4


def cell(ours: Run, theirs: Run) -> str:
    found = differences(ours, theirs)
    return f"{number(found.pop('losses'))} / {number(max(found.values()))}"


def number(difference: float) -> str:
    return "0" if difference == 0 else f"{difference:.0e}"


def main() -> int:
    print(f"| twenty steps | {' | '.join(f'`{name}`' for name in NETS)} |")
    print(f"|---|{'---|' * len(NETS)}")
    for name, case in ROWS.items():
        cells = []
        for net_name, net in NETS.items():
            own = of_net(net_name, case)
            cells.append(cell(run_ours(net, own), run_theirs(net, own)))
            gc.collect()
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"\n| {FEW_STEPS} steps of a full network | here | slim, shaken by 1e-7 |\n|---|---|---|")
    for name, net in FULL_NETS.items():
        theirs = run_theirs(net, Case(), FEW_STEPS)
        shaken = run_theirs(net, Case(), FEW_STEPS, shake=1e-7)
        print(f"| `{name}` | {cell(run_ours(net, Case(), FEW_STEPS), theirs)} | {cell(shaken, theirs)} |", flush=True)
        gc.collect()
    return 0


if __name__ == "__main__":
    sys.exit(main())
