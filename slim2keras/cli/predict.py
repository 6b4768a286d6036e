"""``slim2keras predict``: what a network says of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slim2keras.cli.console import (
    check_classifier,
    checkpoint_request,
    graph_request,
    image_progress,
    import_tensorflow,
    parse_image_size,
    print_json,
    print_line,
    print_parts,
    progress_bar,
    with_function,
)
from slim2keras.cli.options import (
    RESULT,
    CsvOption,
    ExifOrientationOption,
    GraphOption,
    ImageSizeOption,
    InputShapeOption,
    InputTensorOption,
    JsonOption,
    LabelsOption,
    NetOption,
    NetworkOption,
    NumClassesOption,
    OutputTensorOption,
    OverwriteOption,
    PlaceholderOption,
    PreprocessingNameOption,
    SetOption,
    SkipBrokenOption,
    SubjectArgument,
    UseEmaOption,
    UseGrayscaleOption,
    WorkersOption,
    option,
)

ImagesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="IMAGE", help="Image files, folders of them, or patterns.", show_default=False),
]
TopOption = Annotated[int, option("--top", "Classes of an image, the likeliest.", RESULT, min=1)]
PredictionBatchSizeOption = Annotated[int, option("--batch-size", "Images a batch; no result depends on it.", min=1)]


def predict(
    subject: SubjectArgument,
    images: ImagesArgument,
    labels: LabelsOption = None,
    top: TopOption = 5,
    image_size: ImageSizeOption = None,
    preprocessing_name: PreprocessingNameOption = None,
    use_grayscale: UseGrayscaleOption = False,
    exif_orientation: ExifOrientationOption = False,
    skip_broken: SkipBrokenOption = False,
    batch_size: PredictionBatchSizeOption = 32,
    workers: WorkersOption = None,
    csv: CsvOption = None,
    overwrite: OverwriteOption = False,
    json_output: JsonOption = False,
    net: NetOption = None,
    num_classes: NumClassesOption = None,
    input_shape: InputShapeOption = None,
    settings: SetOption = None,
    use_ema: UseEmaOption = False,
    graph: GraphOption = None,
    input_tensors: InputTensorOption = None,
    output_tensors: OutputTensorOption = None,
    placeholders: PlaceholderOption = None,
    network: NetworkOption = None,
) -> None:
    """Tell the classes of images, with probabilities.

    Example: slim2keras predict run/ photos/ --top 3
    """
    check_classifier(subject)
    from slim2keras.checkpoints.load_plan import LoadOptions
    from slim2keras.evaluation import evaluating, opening, predicting
    from slim2keras.evaluation.tables import write_csv
    from slim2keras.files.output_files import check_free

    files = predicting.image_files(images)
    if csv is not None:
        check_free(csv.absolute(), overwrite=overwrite)
    size = parse_image_size(image_size)
    options = evaluating.EvaluationOptions(
        labels_file=labels,
        skip_broken=skip_broken,
        batch_size=batch_size,
        preprocessing_name=preprocessing_name,
        use_grayscale=use_grayscale,
        exif_orientation=exif_orientation,
        workers=workers,
    )
    of_graph = graph_request(graph, input_tensors, output_tensors, placeholders)
    request = checkpoint_request(net, num_classes, settings, input_shape, LoadOptions(use_ema=use_ema), of_graph)
    import_tensorflow()
    request = with_function(request, network)
    with progress_bar() as progress:
        opened = opening.open_classifier(subject, request, size, data=Path(files[0]).parent)
        counted = image_progress(progress, "predicting", len(files))
        predictions = predicting.predict_files(opened, files, options, top, counted)
    if csv is not None:
        write_csv(predictions, csv, overwrite=overwrite)
    if json_output:
        print_json(predictions.to_json())
        return
    print_parts(predictions.page())
    if csv is not None:
        print_line(f"Written: {csv}")
