"""How long ``slim2keras --help`` and ``slim2keras nets`` take, and whether they import TensorFlow."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 7
CODE = """
import sys
from slim2keras.cli import main
try:
    main()
finally:
    print("tensorflow" in sys.modules, file=sys.stderr)
"""


def main() -> int:
    for command in ("--help", "nets"):
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            result = subprocess.run([sys.executable, "-c", CODE, command], capture_output=True, text=True, check=False)
            times.append(time.perf_counter() - start)
        imports = result.stderr.split()[-1]
        print(f"slim2keras {command:<6} {statistics.median(times):.2f} s   imports TensorFlow: {imports}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
