"""The command line as a user runs it: help, exit codes, errors, interruptions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from slim2keras.cli.app import app
from slim2keras.errors import ExitStatus
from slim2keras.nets.spec import NetSpec
from tests.cli.running import LOGITS, Result, fails, ok, spawn
from tests.reference import SMALL_NET, small_values, values_of, write_checkpoint

CHECKPOINT = "a checkpoint"
COMMANDS = (
    *("nets", "inspect", "convert", "verify", "export", "doctor", "recalibrate"),
    *("finetune", "evaluate", "predict"),
)


def test_help_describes_every_command_and_the_exit_codes() -> None:
    """``--help`` alone tells what there is, and what a script gets back."""
    text = ok("--help")
    for command in COMMANDS:
        assert command in text
        assert "Exit codes: 0 ok" in " ".join(ok(command, "--help").split())
    assert ok("--version").startswith("slim2keras ")


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_whole_at_any_width(command: str, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is cut off, a paragraph fills its lines, and no type is shown of what takes no value."""
    monkeypatch.setenv("COLUMNS", columns)
    text = ok(*filter(None, [command]), "--help")
    assert "…" not in text
    assert "<bool>" not in text
    said = text.partition("╭")[0].partition("Usage")[2].split("\n")
    for line, following in pairwise(line.strip() for line in said):
        word = following.partition(" ")[0]
        assert not line or not word or len(f" {line} {word}") >= int(columns) - 1, (line, following)


@pytest.mark.parametrize(
    ("redirected", "arguments", "status"),
    [
        (">&-", ("nets",), ExitStatus.OK),
        (">&- 2>&- <&-", ("inspect", "nowhere"), ExitStatus.UNREADABLE),
    ],
)
def test_a_stream_may_be_closed(redirected: str, arguments: tuple[str, ...], status: ExitStatus) -> None:
    """Whoever does not listen is told by the exit code."""
    code = "from slim2keras.cli import main; main()"
    command = ["sh", "-c", f'exec "$0" "$@" {redirected}', sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_stdout_is_no_defect() -> None:
    """It is said what is full."""
    code = "from slim2keras.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "nets"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == ExitStatus.UNEXPECTED
    assert "The disk is full" in done.stderr
    assert "defect" not in done.stderr


def test_usage_errors_exit_with_2(tmp_path: Path, small_checkpoint: Path) -> None:
    """What the user asked for wrongly is said in words, and nothing is written."""
    existing = tmp_path / "model.keras"
    existing.write_text("precious")
    convert = ("convert", small_checkpoint, "-o", tmp_path / "new.keras")
    for message, arguments in {
        "Missing argument": ("convert",),
        "No such option": ("nets", "--nonsense"),
        "one output file": ("convert", small_checkpoint),
        "exists already": ("convert", small_checkpoint, "-o", existing),
        "unknown format": ("convert", small_checkpoint, "-o", tmp_path / "model.pb"),
        "there is no directory": ("convert", small_checkpoint, "-o", tmp_path / "no" / "where" / "model.keras"),
        "Did you mean model.keras": ("convert", small_checkpoint, "-o", tmp_path / "model.kears"),
        "Did you mean resnet_v1_50": (*convert, "--net", "resnet_v1_5"),
        "no argument 'output_strid'": (*convert, "--set", "output_strid=8"),
        "--set must be NAME=VALUE": (*convert, "--set", "output_stride"),
        "--input-shape must be": (*convert, "--input-shape", "big"),
        "matches nothing": (*convert, "--exclude", "logits"),
        "no ExponentialMovingAverage": (*convert, "--use-ema"),
    }.items():
        fails(ExitStatus.USAGE, message, *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_unreadable_files_exit_with_3(tmp_path: Path, small_checkpoint: Path) -> None:
    """A missing file is told from one that is no checkpoint."""
    text = tmp_path / "notes.ckpt"
    text.write_text("dear diary")
    for command in ("inspect", "verify", "convert"):
        rest = ("-o", tmp_path / "out.keras") if command == "convert" else ()
        fails(ExitStatus.UNREADABLE, "There is no checkpoint", command, tmp_path / "nothing", *rest)
        fails(ExitStatus.UNREADABLE, "it is text", command, text, *rest)
    fails(ExitStatus.UNREADABLE, "cannot be loaded by tf_keras", "verify", small_checkpoint, text)
    for arguments in (
        ("export", small_checkpoint.parent, "-o", tmp_path / "out"),
        ("verify", small_checkpoint, tmp_path),
    ):
        fails(ExitStatus.UNREADABLE, "is no model: .* `slim2keras convert .* makes a model", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.ckpt"]


@pytest.mark.parametrize("command", ["inspect", "doctor", "export"])
def test_a_run_where_only_its_model_can_be_taken_is_told(tmp_path: Path, command: str) -> None:
    """Who has just fine-tuned gives the RUN; the message has what to give instead."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "request.json").touch()
    arguments = (command, run, *(("-o", tmp_path / "out") if command == "export" else ()))
    fails(ExitStatus.UNREADABLE, f"has no model.keras: .*`slim2keras finetune --resume {run}`", *arguments)
    (run / "model.keras").touch()
    told = re.escape(f"It is a RUN of finetune: give its model, {run}/model.keras.")
    fails(ExitStatus.UNREADABLE, told, *arguments)


def test_what_does_not_fit_exits_with_4(tmp_path: Path, small_checkpoint: Path) -> None:
    """Another network, another shape, no network at all or NaN: nothing is written."""
    out = ("-o", tmp_path / "out.keras")
    other = tmp_path / "other"
    other.mkdir()
    spec = NetSpec.make("inception_v2", None, {"depth_multiplier": 0.1})
    inception = write_checkpoint(other / "model.ckpt", values_of(spec.trace().variables()))
    fails(ExitStatus.MISMATCH, "looks like inception_v2", "convert", inception, *out, "--net", SMALL_NET)
    fails(ExitStatus.MISMATCH, "of another shape", "convert", small_checkpoint, *out, "--num-classes", 3)
    own = write_checkpoint(other / "own.ckpt", {"my/weights": np.ones(3, "float32")})
    fails(ExitStatus.MISMATCH, "not a network", "convert", own, *out)
    values = small_values()
    values[f"{LOGITS}/biases"][0] = np.inf
    diverged = write_checkpoint(other / "nan.ckpt", values)
    fails(ExitStatus.MISMATCH, f"NaN or infinite:\n  {LOGITS}/biases", "convert", diverged, *out)
    assert not (tmp_path / "out.keras").exists()
    ok("convert", diverged, "-o", tmp_path / "out.weights.h5", "--allow-nonfinite")


def test_an_unexpected_error_is_one_line_and_exit_code_1(
    small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback comes on request alone."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr("slim2keras.recognition.from_variables.recognise", broken)
    fails(ExitStatus.UNEXPECTED, "Unexpected error: ZeroDivisionError: surprise", "inspect", small_checkpoint)
    result = CliRunner().invoke(app, ["--traceback", "inspect", str(small_checkpoint)])
    assert isinstance(result.exception, ZeroDivisionError)


OUT_OF_MEMORY = [
    MemoryError("surprise"),
    ImportError("lib.so: failed to map segment"),
    SystemError("<function __getattr__ at 0x7f08bc4d5d00> returned NULL without setting an exception"),
    SystemError("error return without exception set"),
    RuntimeError("can't start new thread"),
    RuntimeError("Failed to allocate memory to serialize message of type 'tensorflow.GraphDef' and size 93658"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_little_memory_is_no_defect(small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """It is said what ran out, and what to do."""

    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("slim2keras.recognition.from_variables.recognise", full)
    ends = "If there was enough, .* `slim2keras --traceback" if type(error) is SystemError else r"--workers\.\s*$"
    fails(ExitStatus.UNEXPECTED, f"^Error: Memory ran out.*{ends}", "inspect", small_checkpoint)


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has is what Linux says of it")
def test_a_process_without_any_memory_left_says_so(small_checkpoint: Path) -> None:
    """And ends with its exit code."""
    code = (
        "from slim2keras.cli import main\n"
        "from slim2keras.recognition import from_variables\n"
        "from tests.little_memory import take_all\n"
        "from_variables.recognise = take_all\n"
        "main()"
    )
    command = [sys.executable, "-c", code, "inspect", str(small_checkpoint)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == ExitStatus.UNEXPECTED
    # Python has its own words before it, of objects whose end takes memory.
    assert "Error: Memory ran out (MemoryError: ). Nothing is half written." in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("error", [MemoryError(), SystemError("error return without exception set")])
def test_what_is_said_needs_no_memory_for_colours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    """The message is written plainly where Rich has none left."""
    from slim2keras.cli import app as module

    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module.stderr, "print", full)
    module._print_error("Error: Memory ran out")
    assert capsys.readouterr().err == "Error: Memory ran out\n"


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from slim2keras.cli.interruption import interruptible
from slim2keras.files.output_files import whole_or_not_at_all

def interrupt():
    os.kill(os.getpid(), signal.SIGTERM)

class OnImport:
    def find_spec(self, name, *_):
        if name == "slim2keras.cli.app":
            interrupt()

def while_importing():
    sys.meta_path.insert(0, OnImport())
    from slim2keras.cli import main
    main()

def while_parsing():
    import slim2keras.cli.app as module
    def parse():
        try:
            interrupt()
        except KeyboardInterrupt:
            sys.exit(1)
    module.app = parse
    module.main()

def after_writing():
    import slim2keras.cli.app as module
    def writing() -> None:
        with whole_or_not_at_all(Path("model").absolute()) as (draft,):
            draft.touch()
        interrupt()
    module.app.command()(module._report_errors(writing))
    sys.argv[1:] = ["writing"]
    module.main()

def while_leaving():
    with interruptible():
        print("done")
    interrupt()

class HalfMade:
    def __init__(self):
        interrupt()
        self.handle = None

    def __del__(self):
        print(self.handle)

def while_making():
    with interruptible():
        HalfMade()

def again_and_again():
    import atexit
    def once_more():
        # What Python has when it gives up handlers, after this; with any but this one the next signal ends it.
        print(signal.getsignal(signal.SIGTERM).name)
    atexit.register(once_more)
    with interruptible():
        interrupt()

globals()[sys.argv[1]]()
"""


@pytest.mark.parametrize(
    ("moment", "out", "says"),
    [
        ("while_importing", "", "Interrupted; nothing was written."),
        ("while_parsing", "", "Interrupted; nothing was written."),
        ("after_writing", "", "Interrupted; what had been written by then is whole, and stays: {model}"),
        ("while_making", "", "Interrupted; nothing was written."),
        ("while_leaving", "done\n", ""),
        ("again_and_again", "SIG_IGN\n", "Interrupted; nothing was written."),
    ],
)
def test_an_interruption_is_one_line_from_the_first_moment_to_the_last(
    tmp_path: Path, moment: str, out: str, says: str
) -> None:
    """No traceback, and no lie about what was written."""
    command = [sys.executable, "-c", INTERRUPTED, moment]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert process.returncode == ExitStatus.INTERRUPTED, process.stderr
    assert (process.stdout, process.stderr.strip()) == (out, says.format(model=tmp_path / "model"))


LOSING = """
import os, signal, time, typer
import slim2keras.cli.app as module
def losing() -> None:
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    except KeyboardInterrupt:
        time.sleep(1)  # not raised again while it is handled
        print("handled", flush=True)
    {then}
    time.sleep(30)
module.app.command()(module._report_errors(losing))
module.main()
"""


@pytest.mark.parametrize("then", ["pass", "raise SystemError('an exception set')"])
def test_an_interruption_that_native_code_swallows_comes_again(then: str) -> None:
    """The command ends even where a library lost the signal."""
    process = subprocess.run(
        [sys.executable, "-c", LOSING.format(then=then), "losing"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == ExitStatus.INTERRUPTED, process.stderr
    assert process.stdout == "handled\n"
    assert process.stderr == "Interrupted; nothing was written.\n"


def test_stdout_carries_nothing_but_the_answer(small_checkpoint: Path) -> None:
    """JSON can be piped on."""
    process = spawn("inspect", small_checkpoint, "--json")
    out, err = process.communicate(timeout=120)
    assert json.loads(out)["net"] == SMALL_NET
    assert err == ""


@pytest.mark.parametrize("command", ["doctor", "verify"])
def test_only_slims_arguments_can_be_set(small_checkpoint: Path, command: str) -> None:
    """``--set`` is no back door to options of the command."""
    fails(ExitStatus.USAGE, "has no argument 'net'", command, small_checkpoint, "--set", "net=vgg_16")


def test_outputs_make_their_last_directory(tmp_path: Path, small_checkpoint: Path) -> None:
    """After hours of training nothing fails for want of ``out/``; an error leaves none behind."""
    ok("convert", small_checkpoint, "-o", tmp_path / "new" / "model.weights.h5")
    ok("export", tmp_path / "new" / "model.weights.h5", "-o", tmp_path / "out" / "model.ckpt-1")
    fails(ExitStatus.UNREADABLE, "no checkpoint", "convert", tmp_path / "none", "-o", tmp_path / "more" / "model.keras")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "out"]


def test_advice_names_options_that_the_command_has(tmp_path: Path, small_checkpoint: Path, images_file: Path) -> None:
    """``--exclude`` is offered where it is, and nowhere else."""
    wrong = ("--num-classes", 3)
    for command in (("doctor", small_checkpoint), ("recalibrate", small_checkpoint, "-o", tmp_path / "well.ckpt")):
        result = Result(*command, "--data", images_file, *wrong)
        assert result.status == ExitStatus.MISMATCH
        assert "--exclude" not in result.err
    assert f"--exclude {LOGITS}" in Result("convert", small_checkpoint, "-o", tmp_path / "m.keras", *wrong).err


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (ExitStatus.UNREADABLE, ("inspect", "nowhere")),
        (ExitStatus.UNREADABLE, ("convert", "nowhere", "-o", "model.keras")),
        (ExitStatus.USAGE, ("convert", "nowhere")),
        (ExitStatus.USAGE, ("convert", "nowhere", "-o", "model.pb")),
        (ExitStatus.USAGE, ("convert", "nowhere", "-o", "model.keras", "--net", "resnet")),
        (ExitStatus.USAGE, ("convert", "nowhere", "-o", "model.keras", "--input-shape", "big")),
        (ExitStatus.UNREADABLE, ("verify", "nowhere")),
        (ExitStatus.UNREADABLE, ("verify", "nowhere", "model.keras")),
        (ExitStatus.UNREADABLE, ("doctor", "nowhere")),
        (ExitStatus.UNREADABLE, ("doctor", "nowhere.keras")),
        (ExitStatus.UNREADABLE, ("doctor", CHECKPOINT, "--pretrained", "nowhere")),
        (ExitStatus.USAGE, ("doctor", CHECKPOINT, "--decay", "5")),
        (ExitStatus.USAGE, ("doctor", CHECKPOINT, "--steps", "-1")),
        (ExitStatus.USAGE, ("verify", CHECKPOINT, "--slim-source", "nowhere")),
        (ExitStatus.UNREADABLE, ("recalibrate", "nowhere", "--data", "images", "-o", "well.ckpt")),
        (ExitStatus.UNREADABLE, ("export", "nowhere.keras", "-o", "model.ckpt-1")),
        (ExitStatus.UNREADABLE, ("evaluate", "nowhere", "--data", "images")),
        (ExitStatus.UNREADABLE, ("evaluate", CHECKPOINT, "--data", "images")),
        (ExitStatus.USAGE, ("evaluate", CHECKPOINT, "--data", ".", "--plot", "picture.doc")),
        (ExitStatus.UNREADABLE, ("predict", CHECKPOINT, "nowhere.png")),
        (ExitStatus.UNREADABLE, ("finetune", "nowhere", "--data", ".", "-o", "run", "--batch-norm", "update")),
        (ExitStatus.USAGE, ("finetune", CHECKPOINT, "--data", ".", "-o", "run")),
    ],
)
def test_errors_that_need_no_tensorflow_do_not_wait_for_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_checkpoint: Path,
    status: ExitStatus,
    arguments: tuple[str, ...],
) -> None:
    """What is wrong with names and paths is told before the seconds that its import takes."""

    def imported() -> None:
        raise AssertionError("TensorFlow was imported for nothing")

    monkeypatch.chdir(tmp_path)
    for command in (
        "convert",
        "inspect",
        "verify",
        "doctor",
        "recalibrate",
        "export",
        "evaluate",
        "predict",
        "finetune",
    ):
        monkeypatch.setattr(f"slim2keras.cli.{command}.import_tensorflow", imported)
    fails(status, "Error", *(small_checkpoint if item == CHECKPOINT else item for item in arguments))


def test_help_shows_no_type_behind_a_flag() -> None:
    """A flag takes no value."""
    for command in COMMANDS:
        assert "bool" not in ok(command, "--help")
