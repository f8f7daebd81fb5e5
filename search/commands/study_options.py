"""The options of `edgesearch study`: what its plan says, and where it runs."""

import click

DEVICE_OPTIONS = (
    click.option("--limit-on", metavar="STATISTIC", help="The latency limit bounds min, median or p90."),
    click.option(
        "--input-type", metavar="TYPE", help="float32 (raw values) or int8 (normalised by the caller)."
    ),
    click.option("--threads", type=int, metavar="N", help="Threads that the model may use on the device."),
)
DATA_OPTIONS = (
    click.option(
        "--data", "data__source", metavar="DATA", help="A name, file, folder or package.module:function."
    ),
    click.option(
        "--target", "data__target", metavar="COLUMN", help="The column with the classes (CSV, Parquet)."
    ),
    click.option(
        "--group", "data__group", metavar="COLUMN", help="Rows of one group are never split across sets."
    ),
    click.option(
        "--kind", "data__kind", metavar="KIND", help="table, image or series, if it is not what it seems."
    ),
    click.option(
        "--image-size", "data__image_size", metavar="HEIGHTxWIDTH", help="Resize images of a folder (64x48)."
    ),
    click.option(
        "--subset",
        "data__subset",
        type=int,
        metavar="N",
        help="Use N samples: of the training data, where a test set is given.",
    ),
    click.option(
        "--split-seed", "data__split_seed", type=int, metavar="N", help="Another split of the data."
    ),
)
PLAN_OPTIONS = (
    click.option("--device", metavar="NAME", help="See `edgesearch devices` (default: this-machine)."),
    click.option(
        "--model", metavar="FILE", help="Compress this trained network: .keras, .h5 or a SavedModel folder."
    ),
    click.option(
        "--training/--no-training", default=None, help="With --model: fine-tune it, or only convert it."
    ),
    click.option("--from", "source", metavar="STUDY", help="Start from the front of another study."),
    click.option("--space", metavar="NAME", help="mlp, convnet, sequence or package.module:Space."),
    click.option(
        "--range",
        "ranges",
        multiple=True,
        metavar="NAME=VALUES",
        help="filters=8..32, kernel=3, precision=int8,float16; repeatable.",
    ),
    click.option(
        "--metric", metavar="NAME", help="accuracy, balanced-accuracy, f1-macro or package.module:function."
    ),
    click.option(
        "--metric-direction", metavar="DIRECTION", help="maximize or minimize, for a metric of your own."
    ),
    click.option(
        "--objective",
        "objectives",
        multiple=True,
        metavar="NAME",
        help="accuracy, latency_ms, model_bytes, compressed_bytes, arena_bytes, energy_mj or "
        "package.module:Objective; repeatable.",
    ),
    *DEVICE_OPTIONS,
    click.option("--class-weights", metavar="HOW", help="none or balanced."),
    click.option(
        "--augment",
        metavar="HOW",
        help="auto, none, shift, shift-flip or cutout (images), shift, jitter or scale (series).",
    ),
    click.option("--epochs", type=int, metavar="N", help="Epochs of a training."),
    click.option("--seed", type=int, metavar="N", help="Of the search and of the trainings."),
    click.option("--trials", type=int, metavar="N", help="Candidates in all, over every call."),
    click.option("--strategy", metavar="NAME", help="frugal (default), screened or plain."),
    click.option(
        "--without",
        multiple=True,
        metavar="PART",
        help="Leave out ladder, screening, stopping, harvest or preselection; repeatable.",
    ),
    click.option("--sampler", metavar="NAME", help="tpe, nsga2, random or package.module:factory."),
    click.option(
        "--confirm",
        type=int,
        metavar="N",
        help="At the end, train the N best of the front again with fresh seeds.",
    ),
    click.option(
        "--timeout", "timeout_s", type=float, metavar="SECONDS", help="Begin nothing new after this time."
    ),
    click.option(
        "--trial-timeout",
        "trial_timeout_s",
        type=float,
        metavar="SECONDS",
        help="Give a trial up that takes longer (default: 3600).",
    ),
    click.option("--workers", type=int, metavar="N", help="Trials at once (default: one per core)."),
    click.option(
        "--name", metavar="NAME", help="Of the study (default: DATA-DEVICE-xxxxxx); alone, goes on with it."
    ),
)
FIRMWARE_OPTIONS = (
    click.option("--flash", "firmware__flash", metavar="SIZE", help="Of a microcontroller, for everything."),
    click.option("--ram", "firmware__ram", metavar="SIZE", help="Of a microcontroller, for everything."),
    click.option(
        "--reserve-flash", "firmware__reserve_flash", metavar="SIZE", help="What yours takes of it."
    ),
    click.option("--reserve-ram", "firmware__reserve_ram", metavar="SIZE", help="What yours takes of it."),
)
DRY_RUN_OPTION = click.option(
    "--dry-run",
    is_flag=True,
    help="Tell which share of the space fits the limits and how long the study takes; with --model, "
    "which levers work on it; and end.",
)
RUN_OPTIONS = (
    click.option(
        "--ray-address",
        metavar="ADDRESS",
        envvar="EDGESEARCH_RAY_ADDRESS",
        help="Join a Ray cluster: HOST:PORT or auto.",
    ),
    click.option(
        "--executor",
        type=click.Choice(["ray", "in-process"]),
        default="ray",
        show_default=True,
        help="Where trials run.",
    ),
)
