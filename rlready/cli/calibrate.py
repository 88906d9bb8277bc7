"""rlready calibrate."""

from pathlib import Path

from rlready.analysis.calibration import GATE, MOST_RISE, TOLERATED, FrontierPoint, calibrate, propose, set_up
from rlready.analysis.comparison import read_rows
from rlready.analysis.format import count, show_estimate
from rlready.analysis.noise import describe_small_spread, measure_noise
from rlready.analysis.plateau import describe_settling
from rlready.analysis.policies import list_policies, price
from rlready.analysis.pool import find_pools, find_probes
from rlready.analysis.sweep_result import SweepResult, parse_sweep, read_sweep
from rlready.cli.command import WORK, Arguments, Command, locate_run, print_table
from rlready.errors import InputError
from rlready.run.local.storage import RESULT
from rlready.stats.ties import reaches
from rlready.tracking.runs import find_outcomes

COMMAND = Command("calibrate", "rlready calibrate study-20261103-101500 ./other/outcomes.json", WORK)
RUNS = "run names, outcomes.json files, or MLflow run ids (the last finished run)"
COMMAND.add_argument("runs", nargs="*", metavar="RUN", help=RUNS)
COMMAND.add_argument(
    "--regret", type=float, default=0.01, help="maximum expected regret in Pass@1: 0, 0.005, 0.01, 0.02 or 0.05 (0.01)"
)


def execute(arguments: Arguments) -> None:
    """Prints the frontier, what races and halving without thresholds cost, what to expect, and the lines for a recipe."""
    if arguments.regret not in TOLERATED:
        raise InputError(f"--regret: one of {', '.join(f'{value:g}' for value in TOLERATED)}; got {arguments.regret:g}")
    benches, sweeps, candidates = [], {}, 0
    for name in arguments.runs or [""]:
        sweep = sweeps[name or "the last run"] = _read_run(name, arguments)
        benches.append(set_up(sweep, name or "the last run"))
        candidates = max(candidates, len(sweep.outcomes))
    steps = calibrate(benches)
    settings = {name for bench in benches for name in bench.names}
    learned = f"{count(len(settings), 'setting')} of {count(len(benches), 'run')}"
    print(f"Learned from {learned}. Each setting is judged by thresholds chosen without it.\n")
    _print_frontier(steps)
    for name, sweep in sweeps.items():
        _print_races(sweep, name)
        rows, _, _ = read_rows(sweep)
        for said in describe_small_spread(rows, measure_noise(rows)):
            print(f"\n{name}: {said} Any gate then saves cost; the cheapest choice is one random candidate.")
    chosen = propose(steps, arguments.regret)
    print(f"\n{describe(chosen)}\n\nparameters:")
    for line in chosen.rule.write_recipe(candidates):
        print(f"  {line}")


def _read_run(name: str, arguments: Arguments) -> SweepResult:
    """Returns the outcomes of a run, from a file, else from a run on this machine, else from MLflow."""
    path = Path(name)
    if not path.is_file():
        path = locate_run(Arguments(run=name, work=arguments.work)) / RESULT
    if not name or path.exists():
        return read_sweep(path)
    found = find_outcomes(name)
    if found is None:
        raise InputError(
            f"{name}: neither a file, nor a finished run in {arguments.work}, nor a run in MLflow (MLFLOW_TRACKING_URI)"
        )
    return parse_sweep(name, found[1])


def _print_frontier(steps: list[FrontierPoint]) -> None:
    lines = []
    for step in steps:
        rule = step.rule
        cells = {
            "rule": step.kind,
            "regret allowed": f"{step.tolerated:g}",
            "cost": show_estimate(step.share, step.share_interval),
            "regret": show_estimate(step.regret, step.regret_interval, 3),
            "random, same cost": f"{step.drawn:.3f}",
            "over base": "-" if rule.lead == -1 else f"{rule.lead:+.3f}",
            "rise": "-" if rule.rise == MOST_RISE else f"{rule.rise:.3f}",
            "budget": "-" if rule.budget == 1 else f"{rule.budget:g}",
            "by": "-" if rule.budget == 1 else rule.rank_by,
        }
        race = {"race at": f"{rule.race_steps or '-'}", "keep": "-" if rule.race_keep == 1 else f"{rule.race_keep:g}"}
        lines.append(cells | (race if any(one.kind != GATE for one in steps) else {}))
    print_table([*lines[0]], [[*cells.values()] for cells in lines], 180)


def _print_races(sweep: SweepResult, name: str) -> None:
    """Prints what races and halving, which learn nothing from results, would have cost and lost in a run."""
    rows, base, k = read_rows(sweep)
    pool = find_pools(rows, base)[0]
    if not (probes := find_probes(pool)):
        return
    print(f"\n{name}, without learning from results:\n")
    policies = [one for one in list_policies(pool, k, probes) if any(part.probe for part in one.rounds) or not one.measures]
    table = [
        [one.label, f"{one.taken}", f"{one.share:.3f}", show_estimate(one.regret, one.interval, 3)]
        for one in (price(policy, pool) for policy in policies)
    ]
    print_table(("policy", "RL for", "cost", "regret"), table, 140, ["policy"])
    for said in describe_settling(pool, probes):
        print(said)


def describe(step: FrontierPoint) -> str:
    """Returns what to expect of the thresholds, and how certain that is."""
    expected = (
        f"Expect {show_estimate(step.share, step.share_interval)} of the cost of RL for all, predictors included, and a regret"
        f" of {show_estimate(step.regret, step.regret_interval, 3)} in Pass@1 (choosing as many at random: {step.drawn:.3f})."
    )
    if step.regret_interval is None:
        certainty = "The regret has no interval: hardly any resampling of these settings loses anything."
    elif step.regret_interval[1] <= step.tolerated:
        certainty = f"On settings like these it loses at most {step.tolerated:g}."
    else:
        may = "may" if reaches(step.tolerated, step.regret) else "is expected to"
        certainty = f"It {may} lose more than {step.tolerated:g}: up to {step.regret_interval[1]:.3f} is plausible."
    worse = " A random choice does at least as well: these thresholds add nothing." if step.drawn <= step.regret else ""
    return f"{expected} {certainty}{worse}"
