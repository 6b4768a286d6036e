"""Options that commands share, in the groups that their help shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

CHECKPOINT, OWN_NETWORK = "Checkpoint, where it does not tell it", "A network of your own"
IMAGES, RESULT = "Images", "Result"


def flag(name: str, text: str, panel: str | None = None) -> Any:
    """An option without a value; its help names no type."""
    return typer.Option(name, metavar="", help=text, rich_help_panel=panel)


def option(name: str, text: str, panel: str | None = None, **settings: Any) -> Any:
    """An option with a value."""
    return typer.Option(name, help=text, rich_help_panel=panel, **settings)


CheckpointArgument = Annotated[
    Path,
    typer.Argument(
        metavar="CHECKPOINT",
        help="V1 file, V2 prefix (or its .index or .data file), training directory, .tar.gz or .tgz; a model file of "
        "Keras; or a frozen graph (.pb, .pbtxt) or a SavedModel of TensorFlow 1.",
        show_default=False,
    ),
]
SubjectArgument = Annotated[
    Path,
    typer.Argument(
        metavar="SUBJECT",
        help="Model file, slim checkpoint (or graph), or RUN of finetune, whose model.keras is taken.",
        show_default=False,
    ),
]
NetOption = Annotated[
    str | None, option("--net", "Network, if it cannot be told from the checkpoint.", CHECKPOINT, metavar="NAME")
]
NumClassesOption = Annotated[
    int | None,
    option("--num-classes", "Classes; those of the checkpoint if left out. 0: features.", CHECKPOINT),
]
InputShapeOption = Annotated[
    str | None,
    option("--input-shape", "Input size, e.g. 224,224,3 or None,None,3.", CHECKPOINT, metavar="H,W,C"),
]
ExcludeOption = Annotated[
    list[str] | None, option("--exclude", "Scope to start afresh; repeatable.", CHECKPOINT, metavar="SCOPE")
]
UseEmaOption = Annotated[bool, flag("--use-ema", "Take ExponentialMovingAverage shadows.", CHECKPOINT)]
MovingAverageDecayOption = Annotated[
    float | None, option("--moving-average-decay", "slim's flag; any value is --use-ema.", CHECKPOINT)
]
AllowNonfiniteOption = Annotated[bool, flag("--allow-nonfinite", "Load weights that are NaN or infinite.", CHECKPOINT)]
SetOption = Annotated[
    list[str] | None,
    option(
        "--set",
        "Any slim argument of the net, e.g. output_stride=16, or of --network; repeatable.",
        CHECKPOINT,
        metavar="NAME=VALUE",
    ),
]
GraphOption = Annotated[
    Path | None,
    option(
        "--graph",
        "Graph that the checkpoint came with: .meta, or a GraphDef (.pb, .pbtxt). Taken instead of slim's nets.",
        OWN_NETWORK,
        metavar="PATH",
        show_default=False,
    ),
]
InputTensorOption = Annotated[
    list[str] | None,
    option("--input-tensor", "Where the network begins in the graph; repeatable.", OWN_NETWORK, metavar="NAME"),
]
OutputTensorOption = Annotated[
    list[str] | None,
    option("--output-tensor", "Where the network ends in the graph; repeatable.", OWN_NETWORK, metavar="NAME"),
]
PlaceholderOption = Annotated[
    list[str] | None,
    option(
        "--placeholder",
        "Value of a placeholder of the graph, keep_prob=1.0; repeatable.",
        OWN_NETWORK,
        metavar="NAME=VALUE",
    ),
]
NetworkOption = Annotated[
    str | None,
    option(
        "--network",
        "Your own slim function(images, is_training): package.module:function or file.py:function.",
        OWN_NETWORK,
        metavar="FUNCTION",
    ),
]
_DATA = (
    "Folder of images, one folder a class, or train/ and validation/ of such; slim's TFRecords, their folder or a "
    "pattern; or an .npz."
)
DataOption = Annotated[Path, option("--data", _DATA, IMAGES, metavar="DATA", show_default=False)]
DataIfWantedOption = Annotated[Path | None, option("--data", _DATA, IMAGES, metavar="DATA", show_default=False)]
SplitOption = Annotated[
    str | None, option("--split", "Split of DATA: train, validation or test.", IMAGES, metavar="NAME")
]
LabelsOption = Annotated[
    Path | None,
    option(
        "--labels",
        "Names of the network's classes, lines 0:daisy; those of a RUN if left out.",
        IMAGES,
        metavar="FILE",
        show_default=False,
    ),
]
LabelsOffsetOption = Annotated[int, option("--labels-offset", "Taken off the labels of DATA, slim's flag.", IMAGES)]
IgnoreLabelsOption = Annotated[
    bool, flag("--ignore-labels", "Take the images of --data without their classes.", IMAGES)
]
SkipBrokenOption = Annotated[
    bool, flag("--skip-broken", "Leave out images that cannot be read, and list them.", IMAGES)
]
ExifOrientationOption = Annotated[
    bool, flag("--exif-orientation", "Turn images as their EXIF tag says; slim and TensorFlow do not.", IMAGES)
]
WorkersOption = Annotated[
    int | None, option("--workers", "Images prepared at once; TensorFlow decides if left out.", IMAGES, min=1)
]
ImageSizeOption = Annotated[
    str | None,
    option("--image-size", "Pixels of the images, where it is not the network's.", IMAGES, metavar="N or H,W"),
]
PreprocessingNameOption = Annotated[
    str | None,
    option(
        "--preprocessing-name", "A network whose preprocessing is taken, or a pipeline: vgg.", IMAGES, metavar="NAME"
    ),
]
UseGrayscaleOption = Annotated[bool, flag("--use-grayscale", "Make images grey, slim's flag.", IMAGES)]
BatchSizeOption = Annotated[int, option("--batch-size", "Images a batch.", IMAGES, min=1)]
StrategyOption = Annotated[
    str | None,
    option(
        "--strategy",
        "Share the work: mirrored (all GPUs here), or multi_worker (processes; TF_CONFIG lists them).",
        metavar="mirrored|multi_worker",
        show_default=False,
    ),
]
CsvOption = Annotated[
    Path | None, option("--csv", "Write a line an image.", RESULT, metavar="FILE", show_default=False)
]
OverwriteOption = Annotated[bool, flag("--overwrite", "Replace existing files.", RESULT)]
JsonOption = Annotated[bool, flag("--json", "Print JSON instead of a table.", RESULT)]
