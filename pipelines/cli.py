"""The command line: rlready run | plan | compile | submit | doctor | report | replay | evaluate."""

import argparse
import datetime
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rlready.components.config import InputError, list_parameters
from rlready.pipelines.recipes import list_recipes, load_placement, load_recipe

EXAMPLES = """\
examples:
  rlready run --recipe laptop                       the whole experiment in miniature, on this machine
  rlready run --recipe laptop --set gate_k=16       with one parameter changed; finished work is not done again
  rlready run --recipe laptop --image NAME          the same with every stage in a container, as on a cluster
  rlready plan --recipe smollm2-gsm8k               what would happen, and what it would cost
  rlready compile --recipe laptop -o laptop.yaml    the pipeline for the KFP UI, with this recipe as the form's defaults
  rlready doctor --recipe laptop                    whether everything that a run needs is there
  rlready submit --recipe laptop --image NAME@sha256:...  --follow     the same DAG on a KFP server (KFP_HOST)
  rlready report                                    the last run's result again
  rlready replay --set gate_min_pass_at_k=0.6       what the gate would have said with another threshold
  rlready evaluate --model MODEL --benchmarks gsm8k,math_500     a model on benchmarks, without the pipeline
"""
COMMANDS = ("run", "plan", "compile", "submit", "doctor", "report", "replay", "evaluate")
KEEP_ENDING = 15  # lines of the log shown after a failure


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="rlready",
        description="Decides, before the expensive part, which fine-tuned checkpoints are worth reinforcement learning.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar=" | ".join(COMMANDS))

    def add(name: str, text: str, recipe: bool = True, work: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, epilog=_list_texts() if recipe else None,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
        if recipe:
            command.add_argument("--recipe", default="laptop", help=f"{', '.join(list_recipes())}, or a YAML file")
            command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a parameter")
        if recipe or name == "evaluate":
            command.add_argument("--mirror", metavar="DIR", help="read hub datasets from copies there (curate_mirror)")
        if work:
            command.add_argument("--work", type=Path, default=Path("runs"), help="folder for runs, cache and tracking")
        return command

    run = add("run", "Run the experiment on this machine.")
    run.add_argument("--image", help="run every stage in a container of this image (Docker, or podman's Docker socket)")
    run.add_argument("-v", "--verbose", action="store_true", help="show the log of every stage instead of the board")
    add("plan", "Check everything and say what would happen, without starting it.", work=False)
    compile_ = add("compile", "Write the pipeline as YAML for a KFP server.", work=False)
    compile_.add_argument("-o", "--output", type=Path, default=Path("rlready.yaml"))
    submit = add("submit", "Start a run on a KFP server.", work=False)
    doctor = add("doctor", "Look at everything that a run needs.")
    for command in (compile_, submit, doctor):
        command.add_argument("--image", help="container image of the stages, by digest (RLREADY_IMAGE)")
        command.add_argument("--force-tag", action="store_true", help="take a tag, whose cached results can be stale")
    for command in (submit, doctor):
        command.add_argument("--host", help="address of the KFP server (KFP_HOST); a token comes from KFP_TOKEN")
        command.add_argument("--namespace", help="where to run, on a server for several users")
    submit.add_argument("--experiment", default="rlready", help="KFP experiment, made if there is none")
    submit.add_argument("--service-account", help="Kubernetes service account of the pods")
    submit.add_argument("--every", metavar="CRON", help="run by a schedule, e.g. '0 3 * * 1'")
    submit.add_argument("--follow", action="store_true", help="wait, and say what happens")
    report = add("report", "Write the report of a past run again and show it.", recipe=False)
    replay = add("replay", "Recompute every verdict of a past run from its stored counts.", recipe=False)
    replay.add_argument("--set", action="append", default=[], metavar="gate_KEY=VALUE", help="change a threshold")
    evaluate = add(
        "evaluate", "Score a model on benchmarks, without the pipeline; go on where it was stopped.", recipe=False
    )
    evaluate.add_argument("--model", required=True, help="a folder, a hub id, or builtin:list-machine")
    evaluate.add_argument("--revision", default="main", help="of a hub model")
    evaluate.add_argument(
        "--benchmarks", required=True, help="names of benchmarks.yaml, hub ids, files or URLs, with commas"
    )
    evaluate.add_argument("--samples", type=int, default=8, help="a problem at temperature 1 (8); 0: greedy only")
    evaluate.add_argument("--limit", type=int, default=0, help="most problems of a benchmark; 0: all")
    evaluate.add_argument("--output", type=Path, help="folder; without it one under --work that the settings name")
    evaluate.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="sampling_... or curate_sources"
    )
    for command in (report, replay):
        command.add_argument("run", nargs="?", help="name of the run; the last one if left out")
    return parser


def _list_texts() -> str:
    lines = ["parameters:"]
    for parameter in list_parameters().values():
        lines.append(f"  {parameter.name} = {json.dumps(parameter.default)}")
        lines.append(f"      {parameter.description}")
    return "\n".join(lines)


def main() -> None:
    """Runs the command line; what the user got wrong is one line and exit status 2."""
    arguments = build_parser().parse_args()
    commands = {
        "run": run,
        "plan": show_plan,
        "compile": compile_pipeline,
        "submit": submit_run,
        "doctor": show_findings,
        "report": show_report,
        "replay": show_replay,
        "evaluate": evaluate_model,
    }
    if getattr(arguments, "mirror", None):
        arguments.set.append(f"curate_mirror={arguments.mirror}")
    try:
        work = getattr(arguments, "work", None)
        if work and "?" in str(work.resolve()):
            raise InputError(
                f"{work.resolve()}: MLflow's file cannot lie below a folder with a question mark in its name"
            )
        commands[arguments.command](arguments)
    except InputError as error:
        sys.exit(_complain(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(error: Exception) -> int:
    for line in str(error).splitlines():
        print(f"rlready: {line}", file=sys.stderr)
    return 2


def show_plan(arguments: argparse.Namespace) -> None:
    """Prints the plan, whether or not the hub can be asked.

    Raises:
        InputError: If the input is wrong, or the model does not fit the GPUs of its placement.
    """
    from rlready.components.plan.plan import describe_plan, make_plan
    from rlready.pipelines.preview import preview

    parameters = load_recipe(arguments.recipe, arguments.set)
    plan = make_plan(parameters, strict=False)
    lines, wrong = preview(parameters, plan, load_placement(arguments.recipe))
    print("\n".join([describe_plan(plan, on_gpus=bool(lines)), *lines]))
    if wrong:
        raise InputError("\n".join(wrong))


def compile_pipeline(arguments: argparse.Namespace) -> None:
    """Writes the pipeline's YAML with the recipe as defaults."""
    from rlready.pipelines.package import write_package

    parameters, image = load_recipe(arguments.recipe, arguments.set), _choose_image(arguments)
    if not image:
        print("rlready: no --image: the stages name images that exist on no registry; give one before uploading")
    write_package(arguments.output, parameters, load_placement(arguments.recipe), image)
    print(f"{arguments.output}: upload it in the KFP UI (Pipelines, Upload pipeline) and start a run from its form")


def _choose_image(arguments: argparse.Namespace) -> str | None:
    from rlready.components import images

    image = arguments.image or os.environ.get(images.IMAGE)
    if image:
        images.check_image(image, arguments.force_tag)
    return image


def submit_run(arguments: argparse.Namespace) -> None:
    """Starts a run, or a schedule of runs, on a KFP server.

    Raises:
        InputError: If the input is wrong, the server refuses, or the run that is followed fails.
    """
    from rlready.pipelines import submit
    from rlready.pipelines.package import check_package, write_package

    parameters, placement = load_recipe(arguments.recipe, arguments.set), load_placement(arguments.recipe)
    image = _choose_image(arguments)
    if not image:
        raise InputError("--image: which image do the stages run in? name@sha256:..., built from this version")
    if arguments.every:
        submit.parse_cron(arguments.every)
        if arguments.follow:
            raise InputError("--follow: with --every there is no run yet to follow")
    submit.check_paths(parameters)
    server = submit.connect(arguments.host, arguments.namespace)
    recipe = Path(arguments.recipe).stem
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "rlready.yaml"
        # The recipe alone makes the version; what --set changes goes with the run.
        write_package(package, load_recipe(arguments.recipe, []), placement, image)
        if problems := check_package(package, placement):
            raise InputError("\n".join(problems))
        version = submit.upload(server, package, recipe)
    run = submit.start_run(
        server, version, submit.open_experiment(server, arguments.experiment),
        f"{recipe}-{datetime.datetime.now():%Y%m%d-%H%M%S}", parameters, arguments.service_account, arguments.every,
    )  # fmt: skip
    print(server.locate(f"recurringrun/details/{run}" if arguments.every else f"runs/details/{run}"))
    if arguments.follow:
        for line in submit.follow(server, run):
            print(f"{datetime.datetime.now():%H:%M:%S} {line}", flush=True)


def show_findings(arguments: argparse.Namespace) -> None:
    """Prints what the doctor finds; exit status 2 if anything fails."""
    from rlready.pipelines.doctor import examine

    parameters, placement = load_recipe(arguments.recipe, arguments.set), load_placement(arguments.recipe)
    failed = False
    where = (arguments.host, arguments.namespace, arguments.work)
    for finding in examine(parameters, placement, _choose_image(arguments), *where):
        print(f"{finding.level:8} {finding.subject:10} {finding.text}", flush=True)
        failed = failed or finding.level == "failure"
    sys.exit(2 if failed else 0)


def run(arguments: argparse.Namespace) -> None:
    """Runs the experiment through kfp.local, shows it live, and prints the result.

    Raises:
        InputError: If the input is wrong, or a stage failed, or no report came.
    """
    from rich.console import Console

    from rlready.components.plan.plan import describe_plan, make_plan
    from rlready.pipelines.containers import find_image
    from rlready.pipelines.live import Board

    image = [find_image(arguments.image)] if arguments.image else []
    parameters = load_recipe(arguments.recipe, arguments.set)
    plan = make_plan(parameters)
    work = arguments.work.resolve()
    folder = work / f"{Path(arguments.recipe).stem}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True)
    (folder / "parameters.json").write_text(json.dumps(parameters, indent=1))
    console = Console()
    console.print(describe_plan(plan), highlight=False, markup=False)
    console.print(f"log         {_shorten(folder / 'log.txt')}\n", highlight=False, markup=False, soft_wrap=True)
    board = Board(plan)
    with (folder / "log.txt").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "rlready.pipelines.local", str(work), str(folder), *image],
            stdin=subprocess.PIPE,
            stdout=None if arguments.verbose else log,
            stderr=subprocess.STDOUT if not arguments.verbose else None,
            start_new_session=True,
        )
        try:
            _watch(child, board, folder / "events.jsonl", console, arguments.verbose)
        except KeyboardInterrupt:
            console.print("\nstopped; the same command goes on from here", highlight=False)
            raise
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    if board.failures:
        raise InputError("\n".join([*dict.fromkeys(board.failures), f"the log is {folder / 'log.txt'}"]))
    if child.returncode or not board.written:
        ending = (folder / "log.txt").read_text(errors="replace").splitlines()[-KEEP_ENDING:]
        raise InputError("\n".join(["the run ended without a report; the end of its log:", *ending]))
    for source, name in (("html", "report.html"), ("markdown", "report.md"), ("records", "outcomes.json")):
        shutil.copy(board.written[source], folder / name)
    _check_result(folder, plan)
    _show_result(folder, work, console, tracked=not board.lost)


def evaluate_model(arguments: argparse.Namespace) -> None:
    """Scores a model on benchmarks, shows the results and logs them to MLflow.

    Raises:
        InputError: If the input is wrong, or the folder holds another evaluation.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its remarks would break up the bar
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from rlready.components.config import complete_parameters, parse_parameters
    from rlready.components.core.data.registry import find_benchmarks, get_mirror
    from rlready.components.core.tracking import log_evaluation
    from rlready.components.evaluate.evaluate import describe_results, evaluate, list_metrics, plan_evaluation

    given = dict(text.partition("=")[::2] for text in arguments.set)
    if foreign := [key for key in given if not key.startswith(("sampling_", "curate_sources", "curate_mirror"))]:
        raise InputError(f"--set {foreign[0]}: evaluate takes sampling_..., curate_sources and curate_mirror")
    settings = parse_parameters(complete_parameters(given))
    names = [name.strip() for name in arguments.benchmarks.split(",") if name.strip()]
    benchmarks = find_benchmarks(names, settings.curate.sources, get_mirror(settings.curate.mirror))
    evaluation = plan_evaluation(
        arguments.model, arguments.revision, benchmarks, arguments.samples, arguments.limit, settings.sampling
    )
    work = arguments.work.resolve()
    out = arguments.output or work / "evaluations" / evaluation.name
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("")
        results = evaluate(
            evaluation, out, lambda name, done, total: bar.update(task, description=name, completed=done, total=total)
        )
    print(describe_results(evaluation, results))
    print(f"samples     {_shorten(out / 'samples.parquet')}")
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{work / 'mlflow.db'}")
    files = [out / "results.json", out / "samples.parquet"]
    log_evaluation(evaluation.name, evaluation.describe(), list_metrics(results), files)


def _watch(child: subprocess.Popen, board, events: Path, console, verbose: bool) -> None:
    """Feeds the board until the run ends; on a terminal the board is drawn, elsewhere events are lines."""
    from rich.live import Live

    def lines() -> None:
        for line in board.read(events):
            if not console.is_terminal or verbose:
                stamp = int(time.time() - board.begun)
                console.print(
                    f"{stamp // 60:2d}:{stamp % 60:02d} {line}", highlight=False, markup=False, soft_wrap=True
                )

    if console.is_terminal and not verbose:
        with Live(board.draw(), console=console, refresh_per_second=2, get_renderable=board.draw):
            while child.poll() is None:
                lines()
                time.sleep(0.2)
            lines()
    else:
        while child.poll() is None:
            lines()
            time.sleep(0.2)
        lines()


def _check_result(folder: Path, plan) -> None:
    """kfp.local can skip a branch silently: compares the outcomes with the plan before anyone reads them."""
    from rlready.components.core.records import check_outcomes
    from rlready.pipelines.replay import read_run

    check_outcomes(read_run(folder / "outcomes.json").outcomes, plan.candidates)


def _find_run(arguments: argparse.Namespace) -> Path:
    """Returns the folder of the run asked for, or of the last one."""
    work = arguments.work.resolve()
    if arguments.run:
        return work / arguments.run
    finished = sorted((p.parent for p in work.glob("*/outcomes.json")), key=lambda p: p.stat().st_mtime)
    return finished[-1] if finished else work


def show_report(arguments: argparse.Namespace) -> None:
    """Writes a past run's report again from its records and prints it.

    Raises:
        InputError: If there is no such run.
    """
    from rich.console import Console

    from rlready.components.report.report import write_report
    from rlready.pipelines.replay import read_run

    folder = _find_run(arguments)
    past = read_run(folder / "outcomes.json")
    title = f"{past.parameters['base_model']}: {len(past.outcomes)} candidates"
    write_report(title, past.outcomes, past.reference, folder / "report.html", folder / "report.md")
    _show_result(folder, arguments.work.resolve(), Console())


def show_replay(arguments: argparse.Namespace) -> None:
    """Prints every verdict of a past run as it comes out now.

    Raises:
        InputError: If there is no such run, or, without changes, a verdict comes out another way than it was stored.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rlready.pipelines.replay import read_run, replay

    folder = _find_run(arguments)
    replayed = replay(read_run(folder / "outcomes.json"), arguments.set)
    table = Table(box=None, pad_edge=False)
    for name in ("candidate", "was", "is", "RL Pass@1", "reason"):
        table.add_column(name, overflow="fold")
    for entry in replayed:
        score = (entry.outcome.benchmark or {}).get("pass_at_1")
        cells = [entry.after.candidate_id, entry.before.decision, entry.after.decision]
        cells += ["-" if score is None else f"{score:.3f}", entry.after.reason]
        table.add_row(*map(Text, cells), style="bold" if entry.before.decision != entry.after.decision else "")
    Console(width=max(Console().width, 100)).print(table)
    differing = [f"{entry.after.candidate_id}: {', '.join(entry.differs)}" for entry in replayed if entry.differs]
    if arguments.set:
        changed = sum(entry.before.decision != entry.after.decision for entry in replayed)
        print(f"\n{changed} of {len(replayed)} verdicts change; RL ran as it did before.")
    elif differing:
        raise InputError("\n".join(["these verdicts do not come out as they were stored:", *differing]))
    else:
        print(f"\nall {len(replayed)} verdicts of {folder.name} come out as they were, to the last digit.")


def _show_result(folder: Path, work: Path, console, tracked: bool = True) -> None:
    """Prints the outcome of every candidate and where to look further."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rlready.components.core import tracking

    records = json.loads((folder / "outcomes.json").read_text())
    table = Table(box=None, pad_edge=False, title="\nresult", title_justify="left")
    k = records["parameters"]["gate_k"]
    for name in ("candidate", "SFT Pass@1", f"Pass@{k}", "loss", "verdict", "RL Pass@1", "greedy"):
        table.add_column(name, justify="left" if name in ("candidate", "verdict") else "right", no_wrap=True)

    def figure(value) -> str:
        return "-" if value is None else f"{value:.3f}"

    def cells(name: str, outcome: dict, verdict: str, k: int) -> list:
        predictors, scored = outcome["predictors"], outcome["benchmark"] or {}
        curve = {int(at): value for at, value in predictors["curve"]}
        figures = [curve.get(1), curve.get(k), predictors["generalization_loss"]]
        last = [scored.get("pass_at_1"), scored.get("greedy_pass_at_1")]
        error = scored.get("standard_error")
        shown = figure(last[0]) + (f" ± {error:.3f}" if error else "")
        if error == 0 and "interval" in scored:
            shown += " [{:.3f}, {:.3f}]".format(*scored["interval"])
        shown_figures = [figure(value) for value in figures]
        if predictors["sequence"]:
            shown_figures[1] = "{low:.2f}-{high:.2f}".format_map(predictors["sequence"])
        return [Text(name), *shown_figures, Text(verdict), shown, figure(last[1])]

    table.add_row(*cells("base model, no RL", records["reference"], "", k))
    ranked = sorted(records["outcomes"], key=lambda o: -((o["benchmark"] or {}).get("pass_at_1") or -1))
    for outcome in ranked:
        verdict = outcome["verdict"]["decision"] + (", audited" if outcome["verdict"]["audited"] else "")
        table.add_row(*cells(outcome["candidate"]["candidate_id"], outcome, verdict, k))
    # Cut off, the table would say nothing; on a narrow terminal its lines wrap.
    Console(file=console.file, width=max(console.width, 100)).print(table)
    lines = [f"\nreport      {_shorten(folder / 'report.html')}"]
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not server.startswith("http"):
        mlflow = _shorten(Path(sys.executable).parent / "mlflow")
        store = server or f"sqlite:///{_shorten(work / 'mlflow.db')}"
        lines.append(f"start       {shlex.join([mlflow, 'ui', '--backend-store-uri', store])}")
        server, experiment = "http://127.0.0.1:5000", "1"  # the only one of a file of its own
    else:
        experiment = tracking.find_experiment() if tracked else None
    if experiment:
        page = f"experiments/{experiment}/runs?viewStateShareKey=rlready&workflowType=machine_learning"
        lines.append(f"compare     {server.rstrip('/')}/#/{page}")
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _shorten(path: Path) -> str:
    """Returns a path relative to the current folder where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    main()
