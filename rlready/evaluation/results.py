"""The results of an evaluation, as a table and as metrics."""

from dataclasses import dataclass

from rlready.evaluation.plan import Evaluation
from rlready.evaluation.suite import BenchmarkScore, SuiteScore


@dataclass(frozen=True)
class Results:
    """The scores of each benchmark, their mean, and how many completions this call drew; the others were kept."""

    scores: list[BenchmarkScore]
    mean: SuiteScore
    sampled: int


def list_metrics(results: Results) -> dict[str, float | None]:
    """Returns the metrics for MLflow, e.g. gsm8k/pass_at_1 and mean/pass_at_1."""
    metrics: dict[str, float | None] = {
        "mean/pass_at_1": results.mean.pass_at_1,
        "mean/pass_at_1_low": results.mean.interval[0],
        "mean/pass_at_1_high": results.mean.interval[1],
    }
    for score in results.scores:
        metrics |= {f"{score.benchmark}/pass_at_{int(k)}": value for k, value, *_ in score.curve}
        metrics[f"{score.benchmark}/pass_at_1"] = score.pass_at_1
        metrics[f"{score.benchmark}/pass_at_1_standard_error"] = score.standard_error
        metrics[f"{score.benchmark}/greedy_pass_at_1"] = score.greedy
        metrics[f"{score.benchmark}/verifier_unknown"] = score.unknown
    return metrics


def describe_results(evaluation: Evaluation, results: Results) -> str:
    """Returns the results as a table for a terminal."""
    ks = sorted({int(k) for score in results.scores for k, *_ in score.curve if k > 1})
    header = f"{'benchmark':<22}{'problems':>9}{'Pass@1':>18}{'greedy':>8}" + "".join(f"{f'Pass@{k}':>9}" for k in ks)
    lines = [header]
    for benchmark, score in zip(evaluation.benchmarks, results.scores, strict=True):
        curve = {int(k): value for k, value, *_ in score.curve}
        cells = "".join(f"{curve[k]:>9.3f}" if k in curve else f"{'-':>9}" for k in ks)
        notes = [f"chance {score.chance:.3f}"] if score.chance else []
        if score.unknown:
            notes.append(f"no verdict on {score.unknown:.1%}, counted as wrong: Pass@1 is too low by that at most")
        notes += [f"left out: {count} x {reason}" for reason, count in benchmark.left_out.items()]
        shown = _show(score.pass_at_1, score.standard_error)
        lines.append(f"{score.benchmark:<22}{score.problems:>9}{shown:>18}{score.greedy:>8.3f}{cells}  {'; '.join(notes)}")
        lines += [f"  {name:<20}{count:>9}{_show(mean, error):>18}" for name, count, mean, error in score.subjects]
    if len(results.scores) > 1:
        low, high = results.mean.interval
        shown = _show(results.mean.pass_at_1, results.mean.standard_error)
        lines.append(f"{'mean of benchmarks':<22}{'':>9}{shown:>18}  95% interval {low:.3f} to {high:.3f}")
    return "\n".join(line.rstrip() for line in lines)


def _show(mean: float, error: float | None) -> str:
    return f"{mean:.3f}" + ("" if error is None else f" ± {error:.3f}")
