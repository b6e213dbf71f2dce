"""Typer commands; no logic. Torch is imported only by the commands that need it."""

import contextlib
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

import benchmark
from benchmark.errors import InputError

if TYPE_CHECKING:
    from benchmark import speed as speeds
    from benchmark.catalogue import Listing
    from benchmark.launchers.base import Display, Launcher, Setting
    from benchmark.launchers.slurm import Resources
    from benchmark.schema import Cell
    from benchmark.store import Store
    from benchmark.sweep import Grid, Plan

# Typer brings its own click since 0.2x and took the real one before; this is ClickException in either.
CommandLineError: Any = typer.BadParameter.mro()[2]

REQUEUE = 75  # exit code after SIGTERM or SIGUSR1: sysexits.h has it for "temporary failure, try again"

app = typer.Typer(
    name="c2f",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Which augmentation keeps the fine classes apart when a network is trained on coarse labels?\n\n"
        "Without a command: the quickstart suite, seven methods on real digits, about two minutes on two cores.\n\n"
        "Examples:\n\n"
        "  c2f run --suite cifar100 --data-root ~/data --download\n\n"
        "  c2f run --tasks digits-halves --methods baseline,am_mixup --recipe quickstart --seeds 0-4\n\n"
        "  c2f run --suite quickstart --set method.am_mixup.beta=5 --out results/beta5\n\n"
        "  c2f run --suite cifar100 --launcher slurm --gpus 1 --time 4:00:00    c2f status results/cifar100\n\n"
        "  c2f run --tasks fashion-mnist-groups --recipe fashion-cpu --control random-superclasses:0\n\n"
        "  c2f score features.npz --task cifar100-superclass    c2f verify results/published\n\n"
        "  c2f report collapse results/published/methods --out report\n\n"
        "  c2f leaderboard results/methods results/cifar100 --out site\n\n"
        "  c2f submit results/mine --name mine --paper arXiv:2701.00001    c2f accept mine.zip --check\n\n"
        "  c2f list methods    c2f show method am_mixup    c2f table results/quickstart    c2f doctor"
    ),
)
console = Console(highlight=False)
SLURM = "Slurm (with --launcher slurm)"

Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file with one method of your own, named after the file. Repeatable."),
]


# The options of `run` and `plan` that span a grid.
Suite = Annotated[str, typer.Option(help="A named grid; see `c2f list suites`.")]
Tasks = Annotated[
    str, typer.Option(help="Comma list; NAME, NAME@COARSE:FINE for other levels, NAME+MODIFIER as with --control.")
]
Controls = Annotated[
    list[str] | None,
    typer.Option(
        "--control",
        help="Add a modifier to every task: random-superclasses:SEED, merged-superclasses:K:SEED, "
        "long-tail:FACTOR, imbalanced:N-N-…. Repeatable.",
    ),
]
Methods = Annotated[str, typer.Option(help="Comma list, or all; see `c2f list methods`.")]
Backbones = Annotated[str, typer.Option(help="Comma list; small variants or any timm name.")]
Seeds = Annotated[str, typer.Option(help="Comma list and ranges, e.g. 0-4 or 0,3,7-9.")]
RecipeName = Annotated[str, typer.Option(help="Training hyper-parameters; see `c2f list recipes`.")]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change a value: recipe.epochs=10, method.am_mixup.beta=5, backbone.resnet18.drop_path_rate=0.1. "
        "Repeatable.",
    ),
]
ImagesRoot = Annotated[
    Path, typer.Option(envvar="C2F_DATA_ROOT", help="Where the images are, in torchvision's layout.")
]
DatasetsDir = Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs of your own.")]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="Leave out classes that have no images; rows name them.")
]
Track = Annotated[
    int, typer.Option(min=0, help="Collapse metrics in history.csv every so many epochs, on validation images.")
]
Layers = Annotated[bool, typer.Option("--layers", help="Collapse metrics at each hidden stage of the backbone, too.")]
FineTune = Annotated[
    bool, typer.Option("--fine-tune", help="Train the whole network on fine labels, too, for 10 epochs.")
]
KeepFeatures = Annotated[
    bool, typer.Option("--keep-features", help="Keep features, to verify or score again without training.")
]
Out = Annotated[Path | None, typer.Option(help="Output folder; default results/SUITE.")]


def _load(plugins: list[Path] | None) -> None:
    from benchmark import registry

    for path in plugins or ():
        registry.add_plugin(path)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Run the quickstart suite and write its leaderboard if no command is given."""
    if version:
        console.print(benchmark.__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        _quickstart()


def _quickstart() -> None:
    failed = False
    try:
        run(keep_features=True)
    except typer.Exit as stop:
        if stop.exit_code != 1:
            raise
        failed = True  # a leaderboard shows failed cells, too
    leaderboard([Path("results/quickstart")])
    if failed:
        raise typer.Exit(1)


@app.command()
def run(  # noqa: PLR0913, every option is one of the command's
    suite: Suite = "",
    tasks: Tasks = "",
    controls: Controls = None,
    methods: Methods = "",
    backbones: Backbones = "",
    seeds: Seeds = "",
    recipe: RecipeName = "",
    changes: Changes = None,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile", help="torch.compile the backbone; stops where a batch shows another loss or gradient."
        ),
    ] = False,
    data_root: ImagesRoot = Path("data"),
    datasets_dir: DatasetsDir = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch images that are missing.")] = False,
    allow_missing: AllowMissing = False,
    plugin: Plugins = None,
    track: Track = 0,
    layers: Layers = False,
    fine_tune: FineTune = False,
    keep_features: KeepFeatures = False,
    out: Out = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:i.")] = "auto",
    workers: Annotated[
        int, typer.Option(min=1, help="Run so many cells at once, each on its share of the threads, or a GPU in turn.")
    ] = 1,
    launcher: Annotated[str, typer.Option(help="local, or slurm: a job of the cluster per cell.")] = "local",
    partition: Annotated[str, typer.Option(help="Of Slurm.", rich_help_panel=SLURM)] = "",
    gpus: Annotated[int, typer.Option(min=0, help="Of each job.", rich_help_panel=SLURM)] = 0,
    cpus: Annotated[int, typer.Option(min=0, help="Of each job.", rich_help_panel=SLURM)] = 0,
    mem: Annotated[str, typer.Option(help="Of each job, e.g. 16GB.", rich_help_panel=SLURM)] = "",
    time_limit: Annotated[
        str,
        typer.Option(
            "--time", help="Of each job: minutes, or 4:00:00; then it is queued again.", rich_help_panel=SLURM
        ),
    ] = "60",
    account: Annotated[str, typer.Option(help="That pays.", rich_help_panel=SLURM)] = "",
    qos: Annotated[str, typer.Option(help="Quality of service.", rich_help_panel=SLURM)] = "",
    array_parallelism: Annotated[int, typer.Option(min=1, help="So many jobs at once.", rich_help_panel=SLURM)] = 256,
    setup: Annotated[
        list[str] | None,
        typer.Option(
            help="A shell line that each job begins with, e.g. 'module load cuda'. Repeatable.", rich_help_panel=SLURM
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Watch the jobs until all have ended; Ctrl-C cancels them.", rich_help_panel=SLURM),
    ] = False,
    limit: Annotated[int | None, typer.Option(min=0, help="Run at most so many cells.")] = None,
    checkpoint_minutes: Annotated[
        float,
        typer.Option(
            min=0,
            help="Keep the state of a training every so many minutes, so that a kill costs no more; "
            "0: only on SIGTERM and SIGUSR1.",
        ),
    ] = 10.0,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Training curves in OUT/tensorboard, for TensorBoard; an extra.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    log_json: Annotated[
        Path | None, typer.Option("--log-json", metavar="FILE", help="Append what happens to FILE, a JSON line each.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Run a grid of cells and write results.csv; what is done already is skipped.

    On SIGTERM or SIGUSR1 the running cell keeps its state; exit code 75 says that the same command goes on from there.

    With --suite (or nothing: the quickstart), the other options replace parts of it.

    With --tasks alone, --recipe is needed too; defaults: all methods, resnet18-thin, seeds 0-2.
    """
    from benchmark import distributed, options, status, sweep
    from benchmark.console import StepDisplay
    from benchmark.launchers import slurm
    from benchmark.launchers.base import Setting
    from benchmark.schema import Measures

    started = time.perf_counter()
    _load(plugin)
    measures = Measures(track=track, layers=layers, fine_tune=fine_tune)
    changed = (*(changes or ()), *["recipe.compile=true"] * compiled)
    request = options.Request(suite, tasks, methods, backbones, seeds, recipe, changed, tuple(controls or ()), measures)
    grid = options.grid(request)
    options.check_launcher(launcher, workers, distributed.launched(), tensorboard)
    remote = launcher == "slurm"
    chosen_device = device if remote else _device(device, grid)
    if distributed.rank():  # torchrun started it along with the process that writes
        _follow(grid, data_root, datasets_dir, allow_missing, chosen_device)
        return
    folder = out or Path("results") / request.name
    store = _opened(folder, tensorboard)
    if not quiet:
        console.print("Preparing images and checking the plan …", style="dim")
    with StepDisplay(console, "decoding images", quiet) as display:
        plan = sweep.plan(grid, data_root.expanduser(), datasets_dir, download, allow_missing, display)
    todo = sweep.todo(plan, store, retry_failed)[:limit]
    again = frozenset(cell.key for cell in todo if store.failed(cell.key))
    outside = tuple(path.resolve() for path in plugin or ())
    setting = Setting(folder, chosen_device, keep_features, checkpoint_minutes, outside, again)
    asked = (slurm.minutes(time_limit), partition, gpus, cpus, mem, account, qos, array_parallelism, tuple(setup or ()))
    engine = _engine(setting, workers, slurm.Resources(*asked) if remote else None)
    status.note(store, plan.cells)
    if remote and not wait and todo:
        _detach(engine, plan, todo, folder)
        return
    with distributed.leading():
        failed = _run_plan(plan, todo, store, engine, log_json, tensorboard, quiet)
    if not quiet:
        _show_results(plan, store, time.perf_counter() - started)
    if failed:
        raise typer.Exit(1)


def _device(name: str, grid: "Grid") -> str:
    """Of this process, checked to do what the recipe asks for."""
    import torch

    from benchmark import compiling, distributed, sweep

    device = distributed.join(name) if distributed.launched() else sweep.resolve_device(name)
    if grid.recipe.compile:
        compiling.require(torch.device(device))
    return str(device)


def _follow(grid: "Grid", data_root: Path, datasets_dir: Path | None, allow_missing: bool, device: str) -> None:
    """Train along with the first of torchrun's processes, which decodes images and writes rows."""
    import torch

    from benchmark import distributed, sweep
    from benchmark.cell import follow

    distributed.await_order()  # until images are decoded
    plan = sweep.plan(grid, data_root.expanduser(), datasets_dir, allow_missing=allow_missing)
    follow(plan.cells, plan.images, torch.device(device))
    distributed.leave()


def _opened(folder: Path, tensorboard: bool) -> "Store":
    """The output folder, and a line for every row of it that was damaged."""
    from benchmark import tensorboard as curves
    from benchmark.store import Store

    if tensorboard:
        curves.check()
    store = Store(folder)
    store.open()
    for line in store.set_aside_damaged():
        console.print(line, style="yellow", markup=False, soft_wrap=True)
    return store


def _engine(setting: "Setting", workers: int, resources: "Resources | None") -> "Launcher":
    """Slurm if its resources are given, else this machine."""
    from benchmark.launchers.in_process import InProcess
    from benchmark.launchers.local import Local
    from benchmark.launchers.slurm import Slurm

    if resources:
        return Slurm(setting, resources)
    return Local(setting, workers) if workers > 1 else InProcess(setting)


def _detach(engine: "Launcher", plan: "Plan", todo: "list[Cell]", folder: Path) -> None:
    """Queue what is missing, and tell how to see it."""
    engine.submit(todo, plan.images)
    done = len(plan.cells) - len(todo)
    console.print(f"{len(plan.cells)} cells: {done} done or failed already, {len(todo)} queued {engine.where}.")
    console.print(f"c2f status {folder} shows how far they are, c2f cancel {folder} ends them.", soft_wrap=True)


def _run_plan(
    plan: "Plan",
    todo: "list[Cell]",
    store: "Store",
    launcher: "Launcher",
    log: Path | None,
    tensorboard: bool,
    quiet: bool,
) -> int:
    """Run what is missing; the number of cells that have failed."""
    from benchmark import sweep
    from benchmark.checkpoint import Stop
    from benchmark.console import SweepDisplay
    from benchmark.events import Log
    from benchmark.tensorboard import Logged

    for warning in dict.fromkeys(w for cell in plan.cells for w in cell.task.hierarchy.warnings):
        if not quiet:
            console.print(f"note: {escape(warning)}", style="yellow")
    if not quiet:
        for left_out in plan.left_out:
            console.print(f"left out: {escape(left_out)}", style="yellow")
        done = sum(store.has(cell.key) for cell in plan.cells)
        console.print(f"{len(plan.cells)} cells: {done} done already, {len(todo)} to run {launcher.where}.")
    try:
        with SweepDisplay(console, len(todo), quiet) as display, contextlib.ExitStack() as open_files:
            shown: Display = Logged(display, store.folder / "tensorboard") if tensorboard else display
            shown = open_files.enter_context(Log(log, shown)) if log else shown
            sweep.drive(launcher, todo, plan, shown)
    except (KeyboardInterrupt, Stop) as stop:
        done = sum(store.has(cell.key) for cell in plan.cells)
        console.print(f"\nStopped: {done} of {len(plan.cells)} cells are stored. The same command goes on from there.")
        raise typer.Exit(130 if isinstance(stop, KeyboardInterrupt) else REQUEUE) from None
    finally:
        store.merge()
    failed = sum(store.failed(cell.key) for cell in plan.cells)
    if failed and not quiet:
        console.print(f"{failed} failed; the reasons are in {store.failures}. --retry-failed runs them again.")
    return failed


def _show_results(plan: "Plan", store: "Store", seconds: float) -> None:
    from benchmark.console import show_results
    from benchmark.report import table

    frame = table.read(store.folder)
    frame = frame[frame["key"].isin([cell.key for cell in plan.cells])]
    if len(frame):
        show_results(console, frame)
    console.print(f"{store.folder / 'results.csv'} written; {seconds:.0f} s.", soft_wrap=True)


@app.command()
def plan(  # noqa: PLR0913, every option is one of the command's
    suite: Suite = "",
    tasks: Tasks = "",
    controls: Controls = None,
    methods: Methods = "",
    backbones: Backbones = "",
    seeds: Seeds = "",
    recipe: RecipeName = "",
    changes: Changes = None,
    data_root: ImagesRoot = Path("data"),
    datasets_dir: DatasetsDir = None,
    allow_missing: AllowMissing = False,
    plugin: Plugins = None,
    track: Track = 0,
    layers: Layers = False,
    fine_tune: FineTune = False,
    keep_features: KeepFeatures = False,
    out: Out = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:i.")] = "auto",
    rate: Annotated[
        float, typer.Option(min=0, help="Images/s of every training, instead of a few steps that are timed here.")
    ] = 0.0,
    lite: Annotated[bool, typer.Option("--lite", help="Propose a part that costs little, and the command.")] = False,
) -> None:
    """Say what `c2f run` with the same options would cost, before anything is trained.

    Cells that are done already, and cells that cannot run with the reason; hours of the others from a few steps of each
    distinct training on this machine; memory and disk. Writes nothing but decoded images to the cache. Exit code 1 if
    something cannot run. Examples:

      c2f plan --suite cifar100 --data-root ~/data

      c2f plan --suite cifar100 --rate 9000 --lite
    """
    from benchmark import options, sweep
    from benchmark import plan as planning
    from benchmark.console import StepDisplay, show_forecast, show_lite
    from benchmark.schema import Measures
    from benchmark.store import Store

    _load(plugin)
    measures = Measures(track=track, layers=layers, fine_tune=fine_tune)
    request = options.Request(
        suite, tasks, methods, backbones, seeds, recipe, tuple(changes or ()), tuple(controls or ()), measures
    )
    grid = options.grid(request)
    chosen = sweep.resolve_device(device)
    setting = planning.Setting(data_root.expanduser(), datasets_dir, chosen, rate, keep_features, allow_missing)
    store = Store(out or Path("results") / request.name)
    with StepDisplay(console, "timing steps") as display:
        found = planning.forecast(grid, store, setting, display)
    show_forecast(console, found)
    if lite:
        show_lite(console, *planning.lite(grid, found))
    if found.problems:
        raise typer.Exit(1)


@app.command()
def status(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
) -> None:
    """Tell how far a results folder is: done, running with progress and time left, queued, failed, missing.

    Exit code 0: all of the last launch is done. 3: cells are running or queued. 1: neither, and some failed or are
    missing; the launch's command runs what is missing, and with --retry-failed what failed.
    """
    from benchmark import status as states
    from benchmark.console import show_status

    found = states.read(results)
    show_status(console, results, found)
    raise typer.Exit(found.exit_code)


@app.command()
def cancel(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
) -> None:
    """End the Slurm jobs of a results folder, queued or running. Rows that are there stay.

    What runs on this machine is ended by Ctrl-C where it was started.
    """
    from benchmark import jobs
    from benchmark.store import Store

    Store(results).check_schema()
    console.print(f"{jobs.cancel(results)} jobs ended. The launch's command goes on from there.")


@app.command("list")
def list_names(
    kind: Annotated[str, typer.Argument(help="tasks, methods, parameters, backbones, suites, recipes or metrics.")],
    datasets_dir: Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs.")] = None,
    plugin: Plugins = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="In Markdown, as in the docs.")] = False,
) -> None:
    """List what there is, one line each."""
    from benchmark import catalogue
    from benchmark.console import plain_table

    _load(plugin)
    headings, lines = catalogue.listing(kind, datasets_dir)
    if markdown:
        sys.stdout.write(catalogue.markdown((headings, lines)))
        return
    console.print(plain_table(headings, lines))


@app.command()
def show(
    kind: Annotated[str, typer.Argument(help="task, method, backbone, suite, recipe or metric.")],
    name: Annotated[str, typer.Argument(help="Its name in `c2f list`.")],
    datasets_dir: Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs.")] = None,
    plugin: Plugins = None,
) -> None:
    """Show one thing in full: parameters with defaults and meaning, classes, provenance."""
    from benchmark import catalogue

    _load(plugin)
    console.print(escape(catalogue.details(kind, name, datasets_dir)), soft_wrap=True)


@app.command()
def table(
    results: Annotated[Path, typer.Argument(help="A results folder, or its results.csv.")],
    columns: Annotated[str, typer.Option(help="Comma list of score columns; see `c2f list metrics`.")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="In Markdown, for a README.")] = False,
) -> None:
    """Print the table of finished results again."""
    from benchmark import options
    from benchmark.console import show_results
    from benchmark.report import table as report

    frame = report.read(results)
    chosen = report.checked_columns(options.names_of("--columns", columns))
    blocks = [chosen] if chosen else [report.TRANSFER, report.COLLAPSE]
    if markdown:
        sys.stdout.write(report.markdown(frame, [name for block in blocks for name in block]))
    else:
        show_results(console, frame, blocks)


@app.command("check-method")
def check_method(
    name: Annotated[str, typer.Argument(help="A method of `c2f list methods`, or a plug-in's file name without .py.")],
    plugin: Plugins = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Check it with another value: PARAMETER=VALUE. Repeatable.")
    ] = None,
) -> None:
    """Check that a method keeps the contract: on four families, in fp32 and bf16, on odd batches and images.

    Exit code 1 if a promise is broken. Examples:

      c2f check-method cutmix

      c2f check-method am_mixup --set stage=2

      c2f check-method my_mixup --plugin my_mixup.py
    """
    from benchmark import conformance, options, registry
    from benchmark.console import show_findings

    _load(plugin)
    method = registry.method(name, options.parse_parameters(name, changes or ()))
    if show_findings(console, name, conformance.examine(method)):
        raise typer.Exit(1)


@app.command()
def speed(  # noqa: PLR0913, every option is one of the command's
    backbone: Annotated[str, typer.Option(help="Backbone to measure.")] = "resnet18-thin",
    methods: Annotated[str, typer.Option(help="Comma list, or all that can train the backbone.")] = "baseline",
    image_size: Annotated[int, typer.Option(min=4, help="Edge of the images, pixels.")] = 32,
    batch_size: Annotated[int, typer.Option(min=2, help="Images per step.")] = 128,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    rounds: Annotated[int, typer.Option(min=1, help="Timings of each step; medians are shown.")] = 7,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:i.")] = "auto",
    data_root: Annotated[
        Path, typer.Option(envvar="C2F_DATA_ROOT", help="With --against-timm: where CIFAR-100 is, if anywhere.")
    ] = Path("data"),
    plugin: Plugins = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="In Markdown, as in the docs.")] = False,
    scores: Annotated[
        bool,
        typer.Option(
            "--scores", help="Measure scoring and publishing instead: metrics, read-outs, leaderboard, with limits."
        ),
    ] = False,
    large: Annotated[
        bool, typer.Option("--large", help="With --scores: a million images from a file too; 3 GB of disk, minutes.")
    ] = False,
    start: Annotated[
        bool, typer.Option("--start", help="Measure instead how long commands take to begin, with limits.")
    ] = False,
    against_timm: Annotated[
        bool,
        typer.Option(
            "--against-timm", help="Compare instead a mixup epoch with the loop of timm's script, with limits; CPU."
        ),
    ] = False,
    steps: Annotated[bool, typer.Option("--steps", help="Steps alone: no parts, loader, extraction, scoring.")] = False,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Image files to time decoding on; default: made-up JPEGs.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there too.")
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="OLD", help="A file of an earlier --json: exit code 1 where a ratio to bare has grown."),
    ] = None,
    threshold: Annotated[float, typer.Option(min=1.0, help="With --compare: growth that counts.")] = 1.05,
) -> None:
    """Time a full training step of each method against the baseline's, that against the bare step, and all around it.

    The bare step is forward, cross-entropy, backward and optimiser on one ready batch. A baseline of 1.05 to bare
    means that crops, flips and bookkeeping add five per cent to it; a method of 1.05 to baseline, that mixing does.
    Loader, extraction, probes and metrics are compared by the image. The second table is of the parts of a step.

    With --scores: time and memory of scoring synthetic features and of a leaderboard of 100,000 made-up rows, each
    measurement in a process of its own, on the CPU. With --scores, --start and --against-timm: exit code 1 if a limit
    is missed. docs/speed.md says how to read it all. Examples:

      c2f speed --methods cutmix,am_mixup --json now.json

      c2f speed --methods cutmix,am_mixup --compare now.json --threshold 1.1

      c2f speed --methods all --steps

      c2f speed --scores --large --json scores.json

      c2f speed --against-timm --data-root ~/data
    """
    from benchmark import options, speed_scores, sweep
    from benchmark import speed as measure

    special = [name for name, on in (("scores", scores), ("start", start), ("against-timm", against_timm)) if on]
    if len(special) > 1:
        raise InputError(f"--{special[0]} and --{special[1]} are measured one at a time; leave one out")
    if large and not scores:
        raise InputError("--large is of the speed of scoring; add --scores")
    if special and compare:
        raise InputError(f"--compare is of the speed of steps; leave --{special[0]} out")
    if steps and pictures:
        raise InputError("--pictures are for the loader, which --steps leaves out; drop one of them")
    if json_file:
        speed_scores.check_writable(json_file)
    if special:
        _speed_with_limits(special[0], large, data_root.expanduser(), rounds, json_file, markdown)
        return
    _load(plugin)
    names = options.names_of("--methods", methods)
    setting = measure.Setting(backbone, image_size, batch_size, precision, sweep.resolve_device(device))
    _speed_of_steps(setting, names, rounds, None if steps else (pictures,), json_file, (compare, threshold), markdown)


def _speed_of_steps(
    setting: "speeds.Setting",
    names: list[str],
    rounds: int,
    around: tuple[Path | None] | None,
    json_file: Path | None,
    earlier: tuple[Path | None, float],
    markdown: bool,
) -> None:
    """Steps, and unless `around` is None what stands around them; it holds the folder of pictures."""
    from benchmark import catalogue, speed, speed_around, speed_document, speed_parts
    from benchmark.console import StepDisplay

    old, threshold = earlier
    if old:
        speed_document.read(old, setting)  # refused before minutes of measuring
    console.print(speed.describe(setting), style="dim")
    with StepDisplay(console) as display, ExitStack() as stack:
        beside = stack.enter_context(speed_around.works(setting, around[0])) if around else {}
        lines = speed.measure(setting, names, rounds, display, beside)
    parts = speed_parts.measure(setting, names) if around else []
    if json_file:
        json_file.write_text(speed_document.write(setting, rounds, lines, parts), encoding="utf-8")
    _show_listing(catalogue.speed_table(lines), markdown)
    if parts:
        _show_listing(speed_document.part_table(parts), markdown)
    if old:
        changes, notes = speed_document.compare(old, setting, lines, threshold)
        _show_listing(speed_document.change_table(changes), markdown)
        for note in notes:
            console.print(f"note: {escape(note)}", style="yellow", soft_wrap=True)
        if any(change.regressed for change in changes):
            raise typer.Exit(1)


def _show_listing(listing: "Listing", markdown: bool) -> None:
    from benchmark import catalogue
    from benchmark.console import plain_table

    if markdown:
        sys.stdout.write(catalogue.markdown(listing) + "\n")
    else:
        console.print(plain_table(*listing), "")


def _speed_with_limits(
    what: str, large: bool, data_root: Path, rounds: int, json_file: Path | None, markdown: bool
) -> None:
    from benchmark import speed_scores, speed_start, speed_timm
    from benchmark.console import StepDisplay

    made_on = speed_scores.describe()
    console.print(made_on, style="dim")
    with StepDisplay(console) as display:
        if what == "scores":
            lines = speed_scores.measure(large, display)
        elif what == "start":
            lines = speed_start.measure(rounds, display)
        else:
            lines = speed_timm.measure(data_root, rounds, display)
    if json_file:
        json_file.write_text(speed_scores.document(made_on, lines), encoding="utf-8")
    _show_listing(speed_scores.table(lines), markdown)
    if any(line.missed for line in lines):
        raise typer.Exit(1)


@app.command()
def check(
    targets: Annotated[list[str] | None, typer.Argument(metavar="[FILE|NAME]…", help="Hierarchies to check.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every shipped one, and those of --datasets-dir.")] = False,
    data_root: Annotated[
        Path, typer.Option(envvar="C2F_DATA_ROOT", help="Where images may be, to compare class names with.")
    ] = Path("data"),
    datasets_dir: Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs.")] = None,
) -> None:
    """List every defect of hierarchy files with its line and remedy; nothing is downloaded or decoded.

    Exit code 1 if there are errors; notes are only worth knowing. Where images are at hand, class names are compared
    with theirs. Examples:

      c2f check pets.yaml

      c2f check cifar100-superclass --data-root ~/data

      c2f check --all --datasets-dir my-hierarchies
    """
    from benchmark import check as checks
    from benchmark.console import show_check

    paths = checks.paths(targets or (), everything, datasets_dir)
    if show_check(console, len(paths), checks.findings(paths, everything, data_root.expanduser(), datasets_dir)):
        raise typer.Exit(1)


@app.command()
def doctor(
    data_root: Annotated[Path, typer.Option(envvar="C2F_DATA_ROOT", help="Where images may be.")] = Path("data"),
    datasets_dir: Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs.")] = None,
) -> None:
    """Show this machine, which tasks can run here now, and for the others what is missing and how to get it.

    Works offline and changes nothing. Files are verified by their MD5 where it is published; archives that are not
    unpacked, and folders that lie one off, are found. Paste the output in a bug report. Example:

      c2f doctor --data-root ~/data
    """
    from benchmark import doctor as examination
    from benchmark.console import show_doctor

    root = data_root.expanduser()
    show_doctor(console, examination.machine(root), examination.examine(root, datasets_dir))


init_task = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    help=(
        "Write a hierarchy YAML of your own: from image folders, a table, or the BREEDS tree over ImageNet.\n\n"
        "The file is checked before it is written, and what to type next is printed.\n\n"
        "Examples:\n\n"
        "  c2f init-task folder ~/data/pets\n\n"
        "  c2f init-task folder ~/data/2021 --inaturalist order,family --name beetles\n\n"
        "  c2f init-task csv classes.csv --source torchvision/CIFAR100 --image-size 32 --levels coarse,fine\n\n"
        "  c2f init-task wordnet --level 5 --ancestor n00004258 --num-subclasses 4 --name my-living17 --download"
    ),
)
app.add_typer(init_task, name="init-task")

TaskFile = Annotated[Path | None, typer.Option("--out", help="The file to write; default hierarchies/NAME.yaml.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]
DataRoot = Annotated[Path, typer.Option(envvar="C2F_DATA_ROOT", help="Where the images and the tree's files are.")]


@init_task.callback(invoke_without_command=True)
def init_task_root(context: typer.Context) -> None:
    """Show what there is if no kind is given."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@init_task.command("folder")
def init_task_folder(
    folder: Annotated[Path, typer.Argument(help="Holds SUPER/…/FINE/IMAGE, or train/, val/ and test/ with that.")],
    name: Annotated[str, typer.Option(help="Of the task; default the folder's, in small letters.")] = "",
    levels: Annotated[str, typer.Option(help="Comma list, coarsest first; default superclass,class.")] = "",
    inaturalist: Annotated[
        str,
        typer.Option(metavar="RANK,RANK", help="Folders are 00000_Kingdom_…_Genus_species; group by these two ranks."),
    ] = "",
    image_size: Annotated[int, typer.Option(min=4, max=4096, help="Edge to decode images to, pixels.")] = 64,
    out: TaskFile = None,
    force: Force = False,
) -> None:
    """From folders of images, two deep or more: the folders above a class are its superclasses.

    With --inaturalist, from the names of folders one deep. Examples:

      c2f init-task folder ~/data/pets --levels species,breed --image-size 96

      c2f init-task folder ~/data/2021_train_mini --inaturalist order,family
    """
    from benchmark import authoring, drafts, options

    folder = folder.expanduser().resolve()
    chosen = tuple(options.names_of("--levels", levels))
    header = drafts.Header(name or folder.name.lower(), f"imagefolder/{folder.name}", image_size, chosen)
    if inaturalist:
        draft = drafts.from_inaturalist(folder, header, options.names_of("--inaturalist", inaturalist))
    else:
        draft = drafts.from_folder(folder, header)
    path = authoring.destination(draft.name, out)
    tree = authoring.write(draft, path, force)
    console.print(escape(authoring.report(tree, path, folder.parent)), soft_wrap=True)


@init_task.command("csv")
def init_task_csv(  # noqa: PLR0913, every option is one of the command's
    files: Annotated[list[Path], typer.Argument(help="Tables of one line per class: FINE,COARSE,…")],
    source: Annotated[str, typer.Option(help="Of the images, e.g. imagefolder/pets; see datasets/README.md.")],
    image_size: Annotated[int, typer.Option(min=4, max=4096, help="Edge of the decoded images, pixels.")],
    name: Annotated[str, typer.Option(help="Of the task; default the first file's, in small letters.")] = "",
    levels: Annotated[
        str, typer.Option(help="Comma list of columns, coarsest first; default all, of which the first is the finest.")
    ] = "",
    no_header: Annotated[
        bool, typer.Option("--no-header", help="The first line is a class too; --levels names all columns.")
    ] = False,
    ignore_others: Annotated[
        bool, typer.Option("--ignore-others", help="Leave out the source's classes that no line names.")
    ] = False,
    out: TaskFile = None,
    force: Force = False,
) -> None:
    """From a table: a column of class names as the source has them, and columns of their superclasses.

    Lines are checked: a class in two places is an error with file and line. Examples:

      c2f init-task csv pets.csv --source imagefolder/pets --image-size 64

      c2f init-task csv train.csv val.csv test.csv --no-header --levels superclass,class --name tiered --ignore-others
      --source imagefolder/imagenet --image-size 84
    """
    from benchmark import authoring, drafts, options

    chosen = tuple(options.names_of("--levels", levels))
    header = drafts.Header(name or files[0].stem.lower(), source, image_size, chosen)
    draft = drafts.from_csv([file.expanduser() for file in files], header, not no_header, ignore_others)
    path = authoring.destination(draft.name, out)
    tree = authoring.write(draft, path, force)
    console.print(escape(authoring.report(tree, path)), soft_wrap=True)


@init_task.command("wordnet")
def init_task_wordnet(  # noqa: PLR0913, every option is one of the command's
    name: Annotated[str, typer.Option(help="Of the task.")],
    level: Annotated[int, typer.Option(min=0, max=100, help="Of the superclasses, steps below the root.")],
    num_subclasses: Annotated[int, typer.Option(min=1, help="Classes of each; superclasses with fewer are left out.")],
    ancestor: Annotated[str, typer.Option(help="Id that superclasses are below; default the root.")] = "",
    split: Annotated[
        str,
        typer.Option(
            metavar="rand|good|bad",
            help="Pretrain on half of the classes, evaluate on the others: rand; good (relatives on both sides); "
            "bad (relatives together). Default: all serve both.",
        ),
    ] = "",
    unbalanced: Annotated[
        bool, typer.Option("--unbalanced", help="Take all classes of each superclass, at least --num-subclasses.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draws; published tasks have 2.")] = 2,
    data_root: DataRoot = Path("data"),
    tree: Annotated[Path | None, typer.Option(help="Folder of the tree's files, if not in the data root.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the tree's files into the data root.")] = False,
    among: Annotated[
        Path | None, typer.Option(help="Only classes with a folder of images here, where not all of ImageNet is.")
    ] = None,
    source: Annotated[str, typer.Option(help="Of the images; its classes are WordNet ids.")] = "imagefolder/imagenet",
    image_size: Annotated[int, typer.Option(min=4, max=4096, help="Edge to decode images to, pixels.")] = 224,
    out: TaskFile = None,
    force: Force = False,
) -> None:
    """From the BREEDS tree over ImageNet, by the published procedure.

    The published tasks: entity13 is level 3 with 20 subclasses; entity30 level 4 with 8; living17 level 5 below
    n00004258 with 4; nonliving26 level 5 below n00021939 with 4. Examples:

      c2f init-task wordnet --level 5 --ancestor n00004258 --num-subclasses 4 --name my-living17 --download

      c2f init-task wordnet --level 3 --num-subclasses 20 --split bad --name my-entity13-bad

      c2f init-task wordnet --level 4 --num-subclasses 2 --unbalanced --among ~/data/tiny --name tiny-groups
      --source imagefolder/tiny --image-size 64
    """
    from benchmark import authoring, breeds, drafts

    files = tree.expanduser() if tree else breeds.find(data_root.expanduser(), download)
    wanted = breeds.Selection(level, num_subclasses, ancestor, breeds.split_of(split), not unbalanced, seed)
    header = drafts.Header(name, source, image_size)
    draft = drafts.from_wordnet(files, header, wanted, among.expanduser().resolve() if among else None)
    path = authoring.destination(draft.name, out)
    written = authoring.write(draft, path, force)
    console.print(escape(authoring.report(written, path, data_root)), soft_wrap=True)


@app.command()
def verify(
    results: Annotated[list[Path], typer.Argument(help="Results folders, or folders of them.")],
    datasets_dir: Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs.")] = None,
    plugin: Plugins = None,
) -> None:
    """Compute the scores of stored rows again, from their predictions and kept features, and report differences.

    Predictions give the scores of head and read-outs, with their intervals; features (kept with --keep-features) give
    the predictions and the collapse metrics, too. A file that is not the one the row was made with is found by its
    SHA-256; rows of another metric version are told apart, not computed. Exit code 1 unless all rows come out equal
    or are of another version. Example:

      c2f verify results/published
    """
    from benchmark import verify as verification
    from benchmark.console import show_verdicts

    _load(plugin)
    wrong = 0
    for folder in verification.folders(results):
        wrong += show_verdicts(console, folder, verification.verify(folder, datasets_dir))
    if wrong:
        raise typer.Exit(1)


@app.command()
def score(  # noqa: PLR0913, every option is one of the command's
    what: Annotated[str, typer.Argument(metavar="FEATURES|CHECKPOINT|NAME", help="npz, weights, or a timm name.")],
    task: Annotated[str, typer.Option(help="A task of `c2f list tasks`.")],
    out: Annotated[Path, typer.Option(help="Results folder the row joins.")] = Path("results/external"),
    backbone: Annotated[str, typer.Option(help="Architecture of a checkpoint; a variant or any timm name.")] = "",
    image_size: Annotated[
        int, typer.Option(min=0, help="Resize the images to this edge for a network that wants it; 0: as they are.")
    ] = 0,
    name: Annotated[str, typer.Option(help="What the row's method says; default: the file's name.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of episodes, resamples and shuffles.")] = 0,
    data_root: Annotated[
        Path, typer.Option(envvar="C2F_DATA_ROOT", help="Where the images of the task are, for a checkpoint.")
    ] = Path("data"),
    datasets_dir: Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:i.")] = "auto",
    keep_features: Annotated[
        bool, typer.Option("--keep-features", help="Keep features, to verify all scores.")
    ] = False,
) -> None:
    """Score a network that was trained elsewhere: every read-out and collapse metric, without our training loop.

    FEATURES is an npz with train_features (N,D), train_classes (N,) as strings, test_features, test_classes, optionally
    val_features, val_classes, test_coarse_logits. CHECKPOINT is a file of weights of --backbone. NAME is a timm model
    whose published weights are downloaded. Examples:

      c2f score features.npz --task cifar100-superclass

      c2f score model.safetensors --backbone resnet18-small --task cifar100-superclass --data-root ~/data

      c2f score resnet18.a1_in1k --task cifar100-superclass --image-size 224 --data-root ~/data
    """
    from benchmark import external, sweep
    from benchmark.cell import Shelf
    from benchmark.console import StepDisplay, show_figures
    from benchmark.store import Store

    request = external.Request(what, task, backbone, image_size, name, seed, data_root.expanduser(), datasets_dir)
    chosen_device = sweep.resolve_device(device)
    store = Store(out)
    store.open()
    console.print("Scoring; minutes for sets of tens of thousands of images …", style="dim")
    with StepDisplay(console, "decoding images") as display:
        made = external.score(request, Shelf(store.features, keep_features), chosen_device, display)
    store.publish(made.row, made.predictions)
    store.merge()
    show_figures(console, made.row)
    console.print(f"{out / 'results.csv'} and {out / 'scores.csv'} written.", soft_wrap=True)


report = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    help=("What finished results say together.\n\nExample:\n\n  c2f report collapse results/methods"),
)
app.add_typer(report, name="report")


@report.callback(invoke_without_command=True)
def report_root(context: typer.Context) -> None:
    """Show what there is if no report is named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@report.command("collapse")
def report_collapse(
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESULTS", help="Results folders, or results.csv files; default results/quickstart."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default report/ in the first of them.")] = None,
    metrics: Annotated[
        str, typer.Option(help="Comma list of collapse metrics, excess columns too; default all that were measured.")
    ] = "",
    readouts: Annotated[
        str, typer.Option(help="Comma list of fine read-outs; default all, of which tables show the main ones.")
    ] = "",
    pairs: Annotated[
        list[str] | None,
        typer.Option("--pair", metavar="METRIC:READOUT", help="Draw this pair cell by cell. Repeatable."),
    ] = None,
) -> None:
    """Does collapse matter? Rank correlation of each collapse metric with each fine read-out over methods and seeds.

    For every task, backbone and recipe: intervals by resampling whole methods, and the same given coarse accuracy.

    Writes collapse.csv, collapse.md, and figures as PNG and SVG; docs/collapse-report.md explains them. Examples:

      c2f report collapse results/methods

      c2f report collapse results/cifar100 results/granularity --out reports/both

      c2f report collapse results/methods --readouts fine_linear_acc,fine_knn_acc --pair nc1_fine:fine_knn_acc

      c2f report collapse results/methods --metrics subclass_separability_over_shuffled,cdnv_fine
    """
    from benchmark import options
    from benchmark.console import show_collapse
    from benchmark.report import collapse, collapse_figures

    paths = results or [Path("results/quickstart")]
    frame = collapse.read(paths)
    named = options.names_of("--readouts", readouts)
    chosen = collapse.choose(frame, options.names_of("--metrics", metrics), named, pairs or ())
    found = collapse.comparisons(frame, chosen.metrics, chosen.readouts)
    show_collapse(console, found, named)
    folder = out or (paths[0] if paths[0].is_dir() else paths[0].parent) / "report"
    files = collapse.write(found, folder, named)
    files += [file for one in found for file in collapse_figures.write(one, folder, chosen.pairs, named)]
    console.print(f"{', '.join(file.name for file in files)} written to {folder}.", markup=False, soft_wrap=True)


@app.command()
def leaderboard(
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESULTS", help="Results folders, folders of them, or results.csv; default results/."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; default leaderboard/ in RESULTS, or results/leaderboard of several."),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="What ranks: an accuracy of the head or a read-out; see `c2f list metrics`.")
    ] = "fine_linear_acc",
    reference: Annotated[str, typer.Option(help="Method that differences are to.")] = "baseline",
    columns: Annotated[
        str,
        typer.Option(help="Comma list of columns beside it: metrics, coarse_val_acc, costs as pretrain_seconds."),
    ] = "",
    datasets_dir: Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs.")] = None,
    plugin: Plugins = None,
) -> None:
    """From rows to a publication: who is told apart from whom, as a site, Markdown, LaTeX and CSV.

    Rows are compared within a task, backbone and recipe. Means have t intervals over seeds; differences to the
    reference are paired by seed; bold is the tie group of the best; methods with fewer than three seeds are shown and
    not ranked; failed, missing and outdated rows are listed with their reason. docs/statistics.md says how.

    index.html opens in a browser as it is, without a server or a network. Examples:

      c2f leaderboard results/quickstart

      c2f leaderboard results/cifar100 results/submitted --out site --metric fine_knn_acc

      c2f leaderboard results/methods --reference mixup --columns coarse_acc,rankme,pretrain_seconds
    """
    from benchmark import options, standing
    from benchmark.console import show_leaderboard
    from benchmark.report import leaderboard as boards
    from benchmark.report import publication, site, views

    _load(plugin)
    shown = options.names_of("--columns", columns) or boards.COLUMNS
    frame = boards.read(results or [Path("results")], without=views.undrawn([metric, *shown]))
    current = standing.current(frame["task"].unique(), datasets_dir)
    found = boards.build(frame, metric, reference, shown, current)
    folder = out or Path(found.folders[0] if len(found.folders) == 1 else "results") / "leaderboard"
    files = publication.write(found, folder)
    kept = {key: path for board in found.boards for key, path in views.kept_features(board.cells).items()}
    classes = standing.classes(frame["task"].unique(), datasets_dir)
    page = site.write(found, folder, standing.about(frame["method"].unique()), kept, classes)
    show_leaderboard(console, found)
    console.print(f"{', '.join(file.name for file in files)} written to {folder}.", markup=False, soft_wrap=True)
    console.print(f"Open {page} in a browser.", markup=False, soft_wrap=True)


@app.command()
def plot(  # noqa: PLR0913, every option is one of the command's
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="accuracy, tradeoff, plane, collapse, cost, curves, margins, superclasses, ranks or features.",
        ),
    ],
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESULTS", help="Results folders, folders of them, or results.csv; default results/."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write, .png, .svg or .pdf by its ending; default KIND.png.")
    ] = None,
    width: Annotated[str, typer.Option(help="column (85 mm), page (175 mm), or millimetres.")] = "page",
    metric: Annotated[str, typer.Option(help="The accuracy to show; see `c2f list metrics`.")] = "fine_linear_acc",
    against: Annotated[
        str, typer.Option(help="Of collapse: another collapse metric; of plane: another alignment.")
    ] = "",
    task: Annotated[str, typer.Option(help="Rows of this task alone.")] = "",
    methods: Annotated[str, typer.Option(help="Comma list of methods to show; default all.")] = "",
    reference: Annotated[str, typer.Option(help="Method that accuracies are held against.")] = "baseline",
    projection: Annotated[str, typer.Option(help="Of features: pca or tsne.")] = "pca",
    seed: Annotated[int, typer.Option(min=0, help="Of features: the seed of the cell.")] = 0,
    datasets_dir: Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs.")] = None,
    plugin: Plugins = None,
) -> None:
    """Draw one kind of picture for a paper, and print what its caption has to say.

    accuracy: means, intervals and seeds. tradeoff: coarse against fine. plane: alignment and uniformity. collapse: a
    collapse metric against accuracy. cost: seconds against accuracy. curves: training. margins, superclasses: by
    superclass. ranks: critical differences over several boards. features: kept features, a picture per method.

    Rows are compared within a task, backbone and recipe; several of these give a file each, with their names added to
    the file's. The same rows give the same file. docs/plots.md shows each kind. Examples:

      c2f plot accuracy results/quickstart --out accuracy.pdf --width column

      c2f plot collapse results/methods --against nc1_fine --metric fine_knn_acc --out nc1.svg

      c2f plot features results/kept --methods baseline,am_mixup --projection tsne
    """
    from benchmark import options, standing
    from benchmark.report import leaderboard as boards
    from benchmark.report import plots, views

    _load(plugin)
    views.check(kind, against)
    inches = plots.inches(width)
    frame = views.of_task(boards.read(results or [Path("results")]), task)
    found = boards.build(frame, metric, reference, current=standing.current(frame["task"].unique(), datasets_dir))
    named = options.names_of("--methods", methods)
    if kind == "features":
        classes = standing.classes(frame["task"].unique(), datasets_dir)
        drawn = views.embedded(found, classes, named, seed, projection)
    else:
        drawn = views.pictures(kind, found, named, against)
    for file, picture in plots.write_all(drawn, out or Path(f"{kind}.png"), inches):
        console.print(f"{file} written. {picture.caption}", markup=False, soft_wrap=True)
    if len(found.outdated):
        console.print(f"{len(found.outdated)} rows no longer count and are left out; see `c2f leaderboard`.")


@app.command()
def compare(  # noqa: PLR0913, every option is one of the command's
    first: Annotated[str, typer.Argument(metavar="A", help="A method, or one with parameters: 'am_mixup (beta=3)'.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESULTS", help="Results folders, folders of them, or results.csv; default results/."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("compare"),
    metric: Annotated[str, typer.Option(help="The accuracy that superclasses are compared by.")] = "fine_linear_acc",
    columns: Annotated[str, typer.Option(help="Comma list of read-outs and collapse metrics to compare.")] = "",
    task: Annotated[str, typer.Option(help="Rows of this task alone.")] = "",
    width: Annotated[str, typer.Option(help="Of the figure: column (85 mm), page (175 mm), or millimetres.")] = "page",
    datasets_dir: Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs.")] = None,
    plugin: Plugins = None,
) -> None:
    """Two methods side by side: effect sizes with intervals, the superclasses that changed, collapse.

    Everything is A minus B, paired by seed, in every task, backbone and recipe that has both. Tests are corrected over
    the read-outs, the collapse metrics and the superclasses that are shown; fewer than three seeds of both: no tests.

    Writes compare.md, compare.csv, and a figure of each board as PNG and SVG. Examples:

      c2f compare am_mixup baseline results/quickstart

      c2f compare 'am_mixup (beta=3)' 'am_mixup (beta=10)' results/beta --out beta

      c2f compare mixup cutmix --task cifar100-superclass --columns fine_knn_acc,nc1_fine,rankme
    """
    from benchmark import options, standing
    from benchmark.console import show_comparison
    from benchmark.report import compare as pairs
    from benchmark.report import leaderboard as boards
    from benchmark.report import plots, views

    _load(plugin)
    inches = plots.inches(width)
    frame = views.of_task(boards.read(results or [Path("results")]), task)
    found = boards.build(frame, metric, "", current=standing.current(frame["task"].unique(), datasets_dir))
    shown = options.names_of("--columns", columns) or [*pairs.READOUTS, *pairs.COLLAPSE]
    scores = views.scores([Path(folder) for folder in found.folders], [metric])
    made = pairs.comparisons(found, first, second, shown, scores)
    files = pairs.write(made, out)
    files += [file for one in made for file in plots.write_comparison(one, out, inches)]
    show_comparison(console, made)
    console.print(f"{', '.join(file.name for file in files)} written to {out}.", markup=False, soft_wrap=True)


@app.command()
def submit(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    name: Annotated[str, typer.Option(help="Of the folder among the published rows: small letters, digits, . _ -")],
    paper: Annotated[str, typer.Option(help="Where the rows are described: title, arXiv number or address, one line.")],
    contact: Annotated[str, typer.Option(help="Whom to ask about them, one line; it is published.")] = "",
    out: Annotated[Path | None, typer.Option(help="The archive; default NAME.zip.")] = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Publish what is finished although cells failed or are missing.")
    ] = False,
    datasets_dir: Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs.")] = None,
) -> None:
    """Make one archive of a results folder: rows, their predictions, and a manifest with the hash of each file.

    Every score of head and read-outs is computed again first, as whoever accepts the archive will do. Refused, exit
    code 2: a row that comes out otherwise; and, without --incomplete, failed cells, seeds that only some methods
    have, rows of another metric version, rows without predictions. Features are never part of it; the command line and
    device of each run are. docs/publishing.md tells the rest of the way. Examples:

      c2f submit results/cifar100 --name my-mixup --paper "My Mixup, arXiv:2701.00001"

      c2f submit results/cifar100 --name my-mixup --paper "arXiv:2701.00001" --contact me@example.org --incomplete
    """
    from benchmark.console import StepDisplay, show_problems
    from benchmark.submission import submit as making

    path = out or Path(f"{name}.zip")
    request = making.Request(results, name, paper, contact, path, incomplete, datasets_dir)
    with StepDisplay(console, "computing scores again") as display:
        made = making.submit(request, display)
    if isinstance(made, making.Refused):
        show_problems(console, str(results), made.problems)
        console.print(made.remedy)
        raise typer.Exit(2)
    console.print(escape(making.report(made)), soft_wrap=True)


@app.command()
def accept(
    what: Annotated[Path, typer.Argument(metavar="ARCHIVE|FOLDER", help="An archive, or with --check published rows.")],
    into: Annotated[Path, typer.Option(help="Folder of the published results folders.")] = Path("results/published"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing.")] = False,
    against: Annotated[
        str, typer.Option(metavar="COMMIT", help="With --check FOLDER: no row that this git commit has may be lost.")
    ] = "",
    replace: Annotated[
        str, typer.Option(metavar="REASON", help="Put rows in the place of published ones, which history/ keeps.")
    ] = "",
    data_root: Annotated[
        Path, typer.Option(envvar="C2F_DATA_ROOT", help="Where images may be; true labels are compared with theirs.")
    ] = Path("data"),
    datasets_dir: Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs.")] = None,
) -> None:
    """Check an archive that anybody may have made, compute its scores again, and add its rows to the published ones.

    Sizes, names, hashes, the form of every row, digests of task, hierarchy and data, true labels, and each score of
    head and read-outs from the predictions. Nothing is written, and the exit code is 2, if anything is wrong: a line
    each. Collapse metrics cannot be computed without features; of them the ranges are checked.

    With --check FOLDER, rows that lie there already are checked in the same way. With --against, only those that are
    new since a commit are computed, and every row of the commit must be there unchanged, or in history/. Examples:

      c2f accept my-mixup.zip --check

      c2f accept my-mixup.zip

      c2f accept my-mixup.zip --replace "trained anew after the fix of the seed"

      c2f accept results/published --check --against origin/main
    """
    from benchmark.console import StepDisplay, show_outcomes
    from benchmark.submission import accept as accepting

    accepting.check_request(what, check, against, replace)
    with StepDisplay(console, "computing scores again") as display:
        terms = accepting.Terms(into, check, replace, datasets_dir, data_root.expanduser(), display)
        outcomes = accepting.review(what, terms, against) if what.is_dir() else [accepting.accept(what, terms)]
    if show_outcomes(console, outcomes, check):
        raise typer.Exit(2)


def main() -> None:
    """The program: exit code 0, 1 if cells failed, 2 for bad input, 75 if told to stop, 130 after Ctrl-C."""
    debug = "--debug" in sys.argv[1:]
    # Accepted anywhere on the line, where people type it after something went wrong.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="c2f")
    except (InputError, CommandLineError) as error:
        if debug:
            raise
        text = str(error) if isinstance(error, InputError) else error.format_message()
        sys.stderr.write(f"c2f: error: {' '.join(text.split())}\n")
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("c2f: stopped\n")
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe, e.g. `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
