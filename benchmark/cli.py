"""Typer commands; no logic. Torch is imported only by the commands that need it."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

import benchmark
from benchmark.errors import InputError

if TYPE_CHECKING:
    import torch

    from benchmark.store import Store
    from benchmark.sweep import Plan

# Typer brings its own click since 0.2x and took the real one before; this is ClickException in either.
CommandLineError: Any = typer.BadParameter.mro()[2]

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
        "  c2f list methods    c2f show method am_mixup    c2f table results/quickstart"
    ),
)
console = Console(highlight=False)

Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file with one method of your own, named after the file. Repeatable."),
]


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
    """Run the quickstart suite if no command is given."""
    if version:
        console.print(benchmark.__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        run()


@app.command()
def run(  # noqa: PLR0913, every option is one of the command's
    suite: Annotated[str, typer.Option(help="A named grid; see `c2f list suites`.")] = "",
    tasks: Annotated[
        str, typer.Option(help="Comma list; NAME, NAME@COARSE:FINE for other levels, NAME+MODIFIER as with --control.")
    ] = "",
    controls: Annotated[
        list[str] | None,
        typer.Option(
            "--control",
            help="Add a modifier to every task: random-superclasses:SEED, merged-superclasses:K:SEED, "
            "long-tail:FACTOR, imbalanced:N-N-…. Repeatable.",
        ),
    ] = None,
    methods: Annotated[str, typer.Option(help="Comma list, or all; see `c2f list methods`.")] = "",
    backbones: Annotated[str, typer.Option(help="Comma list; small variants or any timm name.")] = "",
    seeds: Annotated[str, typer.Option(help="Comma list and ranges, e.g. 0-4 or 0,3,7-9.")] = "",
    recipe: Annotated[str, typer.Option(help="Training hyper-parameters; see `c2f list recipes`.")] = "",
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a value: recipe.epochs=10, method.am_mixup.beta=5, backbone.resnet18.drop_path_rate=0.1. "
            "Repeatable.",
        ),
    ] = None,
    data_root: Annotated[
        Path, typer.Option(envvar="C2F_DATA_ROOT", help="Where the images are, in torchvision's layout.")
    ] = Path("data"),
    datasets_dir: Annotated[Path | None, typer.Option(help="A further folder of hierarchy YAMLs of your own.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch images that are missing.")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out classes that have no images; rows name them.")
    ] = False,
    plugin: Plugins = None,
    out: Annotated[Path | None, typer.Option(help="Output folder; default results/SUITE.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:i.")] = "auto",
    limit: Annotated[int | None, typer.Option(min=0, help="Run at most so many cells.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Run a grid of cells and write results.csv; what is done already is skipped.

    With --suite (or nothing: the quickstart), the other options replace parts of it.

    With --tasks alone, --recipe is needed too; defaults: all methods, resnet18-thin, seeds 0-2.
    """
    from benchmark import options, sweep
    from benchmark.console import StepDisplay
    from benchmark.store import Store

    started = time.perf_counter()
    _load(plugin)
    request = options.Request(
        suite, tasks, methods, backbones, seeds, recipe, tuple(changes or ()), tuple(controls or ())
    )
    grid = options.grid(request)
    chosen_device = sweep.resolve_device(device)
    folder = out or Path("results") / request.name
    store = Store(folder)
    store.open()
    if not quiet:
        console.print("Preparing images and checking the plan …", style="dim")
    with StepDisplay(console, "decoding images", quiet) as display:
        plan = sweep.plan(grid, data_root.expanduser(), datasets_dir, download, allow_missing, display)
    failed = _run_plan(plan, store, chosen_device, limit, retry_failed, quiet)
    if not quiet:
        _show_results(plan, store, time.perf_counter() - started)
    if failed:
        raise typer.Exit(1)


def _run_plan(
    plan: "Plan", store: "Store", device: "torch.device", limit: int | None, retry_failed: bool, quiet: bool
) -> int:
    """Run what is missing; the number of cells that have failed."""
    from benchmark import sweep
    from benchmark.console import SweepDisplay

    for warning in dict.fromkeys(w for cell in plan.cells for w in cell.task.hierarchy.warnings):
        if not quiet:
            console.print(f"note: {escape(warning)}", style="yellow")
    todo = sweep.todo(plan, store, retry_failed)[:limit]
    if not quiet:
        for left_out in plan.left_out:
            console.print(f"left out: {escape(left_out)}", style="yellow")
        done = sum(store.has(cell.key) for cell in plan.cells)
        console.print(f"{len(plan.cells)} cells: {done} done already, {len(todo)} to run on {device}.")
    try:
        with SweepDisplay(console, len(todo), quiet) as display:
            sweep.run(todo, plan, store, device, display)
    except KeyboardInterrupt:
        done = sum(store.has(cell.key) for cell in plan.cells)
        console.print(f"\nStopped: {done} of {len(plan.cells)} cells are stored. The same command goes on from there.")
        raise typer.Exit(130) from None
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
    plugin: Plugins = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="In Markdown, as in the docs.")] = False,
) -> None:
    """Time a full training step of each method against the baseline's, and that against the bare step.

    The bare step is forward, cross-entropy, backward and optimiser on one ready batch. A baseline of 1.05 to bare
    means that crops, flips and bookkeeping add five per cent to it; a method of 1.05 to baseline, that mixing does.
    """
    from benchmark import catalogue, options, sweep
    from benchmark import speed as measure
    from benchmark.console import StepDisplay, plain_table

    _load(plugin)
    names = options.names_of("--methods", methods)
    setting = measure.Setting(backbone, image_size, batch_size, precision, sweep.resolve_device(device))
    console.print(measure.describe(setting), style="dim")
    with StepDisplay(console) as display:
        lines = measure.measure(setting, names, rounds, display)
    headings, rows = catalogue.speed_table(lines)
    if markdown:
        sys.stdout.write(catalogue.markdown((headings, rows)))
    else:
        console.print(plain_table(headings, rows))


def main() -> None:
    """The program: exit code 0, 1 if cells failed, 2 for bad input in one line, 130 after Ctrl-C."""
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
