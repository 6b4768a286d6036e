"""What pages take from the code when the site is built: ``<!-- generated: NAME -->`` becomes the text of that name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_MARKER = re.compile(r"<!-- generated: ([a-z-]+) -->")
_ROOT = Path(__file__).parents[1]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return _MARKER.sub(lambda found: _TEXTS[found[1]](), markdown)


def command_line() -> str:
    """Every command with all of its options, as ``--help`` has them."""
    return "\n".join(line for command in _commands() for line in _command_lines(command))


def _commands() -> Iterator[Any]:
    import typer

    from slim2keras.cli.app import app

    group: Any = typer.main.get_command(app)
    yield from group.commands.values()


def _command_lines(command: Any) -> Iterator[str]:
    words = ["slim2keras", command.name, *map(_argument, _of_kind(command, "argument")), "[OPTIONS]"]
    yield f"## slim2keras {command.name}\n"
    yield f"`{' '.join(words)}`\n"
    yield f"{inspect.cleandoc(command.help)}\n"
    for parameter in _of_kind(command, "argument"):
        yield f"- **{_argument(parameter)}** {_cell(parameter.help)}"
    yield "\n| option | value | default | |\n|---|---|---|---|"
    for parameter in _of_kind(command, "option"):
        yield _option_row(parameter)
    yield ""


def _argument(parameter: Any) -> str:
    name = str(parameter.metavar or parameter.name.upper()) + ("..." if parameter.nargs != 1 else "")
    return name if parameter.required else f"[{name}]"


def _of_kind(command: Any, kind: str) -> list[Any]:
    return [item for item in command.params if item.param_type_name == kind and not getattr(item, "hidden", False)]


def _option_row(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else str(option.metavar or "N")
    default = "" if option.default in (None, False, ()) or callable(option.default) else f"`{option.default}`"
    return f"| {names} | {_cell(value)} | {default} | {_cell(option.help)} |"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def trainer_flags() -> str:
    """Flags of slim, of training and evaluation, and what became of each."""
    from slim2keras.cli.slim_flags import EVALUATION_FLAGS, TRAINING_FLAGS, Refused, Renamed

    rows = ["| slim's flag | here |", "|---|---|"]
    flags: dict[str, str] = {}
    for flag, meaning in ((name, item) for table in (TRAINING_FLAGS, EVALUATION_FLAGS) for name, item in table.items()):
        if isinstance(meaning, Renamed):
            flags[flag] = f"`{meaning.option}`" if meaning.option else "the argument CHECKPOINT"
        elif isinstance(meaning, Refused):
            flags[flag] = f"refused: {meaning.instead}"
    return "\n".join([*rows, *(f"| `--{flag}` | {_cell(here)} |" for flag, here in sorted(flags.items()))])


def exit_codes() -> str:
    """Each exit code with the errors that end in it."""
    from slim2keras import errors

    classes = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, Exception)]
    rows = ["| exit code | errors |", "|---|---|"]
    for status in sorted({int(status) for status in errors.ExitStatus}):
        names = [item for item in classes if int(getattr(item, "exit_status", -1)) == status]
        said = "; ".join(f"`{item.__name__}`: {_first_line(item)}" for item in names)
        rows.append(f"| {status} | {said or _CODES_WITHOUT_ERROR[status]} |")
    return "\n".join(rows)


_CODES_WITHOUT_ERROR: Mapping[int, str] = {
    0: "none: all is well",
    130: "Ctrl-C or SIGTERM",
}


def _first_line(item: type) -> str:
    return _cell((inspect.getdoc(item) or "").splitlines()[0].rstrip("."))


def networks() -> str:
    """The networks with what each wants of its images."""
    from slim2keras.graphs.network import Network
    from slim2keras.nets import list_nets
    from slim2keras.nets.spec import NetSpec

    def row(network: Network) -> Sequence[str]:
        size = " x ".join(map(str, network.usual_shape))
        norm = network.batch_norm()
        decay = "-" if norm is None else f"{norm['decay']:g}, {norm['epsilon']:g}"
        return f"`{network.name}`", size, network.preprocessing, str(network.labels_offset), decay

    title = ["| net | input | preprocessing | labels offset | BatchNorm: decay, epsilon |", "|---|---|---|---|---|"]
    rows = (f"| {' | '.join(row(NetSpec.make(name, None, {})))} |" for name in list_nets())
    return "\n".join([*title, *rows])


_TEXTS: Mapping[str, Callable[[], str]] = {
    "command-line": command_line,
    "exit-codes": exit_codes,
    "networks": networks,
    "trainer-flags": trainer_flags,
    "security": lambda: _without_title("SECURITY.md"),
    "contributing": lambda: _without_title("CONTRIBUTING.md"),
    "changelog": lambda: _without_title("CHANGELOG.md"),
}


def _without_title(name: str) -> str:
    """A document of the top of the repository, its links those of the site."""
    text = (_ROOT / name).read_text(encoding="utf-8").partition("\n")[2]
    return text.replace("](docs/", "](").replace("](SECURITY.md", "](reference/security.md")
