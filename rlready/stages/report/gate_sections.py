"""The sections on the gate's worth: other policies, the audit of its rejections, and what the run cost."""

import math

from rlready.analysis.comparison import Interval, Row
from rlready.analysis.costs import STAGES, UNIT, balance, list_entries
from rlready.analysis.format import MISSING, count, count_them, show_estimate, show_result
from rlready.analysis.gate_audit import Audit, audit_rejections, is_refused
from rlready.analysis.plateau import describe_settling
from rlready.analysis.policies import AFFORDED, LOST, describe_cheap, list_families, list_policies, name_cost, pick_probe, price
from rlready.analysis.pool import explain_no_pool, find_pools, find_probes
from rlready.analysis.saving import NO_RESULT, name_judges
from rlready.records.outcome import CANDIDATE_STAGES, STAGE_NAMES
from rlready.stages.report.document import Plot, Section
from rlready.stages.report.plots import draw_policies
from rlready.stats.intervals import MIN_POINTS

POLICIES = "Cost and regret of other policies"
NO_RACE = "Races have no cost here: no step before the end of RL has a validation of all candidates (rl_eval_steps)."
POLICY_NOTES = [
    "Cost, as a share of RL and benchmark for all: RL and benchmark of the settings chosen, the predictors if the policy needs"
    " them, and for races RL of the others until they are dropped and all validations until the last choice. SFT is not"
    f" counted. {MISSING}: not all costs were recorded.",
    "Regret: how far the best setting chosen ended below the best of all, in Pass@1 (mean over seeds), with ties broken at"
    f" random. In brackets: 95% intervals over settings, if there are at least {MIN_POINTS} and resampling them shows a regret."
    f" The noise of RL is in every regret. {MISSING}: the policy chose none.",
    "The gate chooses a setting if it approved at least half of its seeds. Its net saving counts single candidates instead.",
]


def describe_policies(rows: list[Row], base: Row, k: int | None) -> Section:
    """Returns the section that compares policies on candidates that RL ran for, or says why that cannot be."""
    pools = find_pools(rows, base)
    if not pools:
        return Section(POLICIES, [f"Unknown: {explain_no_pool(rows)}."])
    table, priced = [["Policy", "Among", "RL for", "Cost", "Regret"]], []
    probes = [find_probes(pool) for pool in pools]
    for pool, seen in zip(pools, probes, strict=True):
        priced.append([price(policy, pool) for policy in list_policies(pool, k, seen)])
        for found in priced[-1]:
            cost = f"{100 * found.share:.0f}%" if pool.priced else MISSING
            regret = show_estimate(found.regret, found.interval, 3)
            table.append([found.label, f"{pool.size} {pool.label}", str(found.taken), cost, regret])
    what, families = name_cost(pools[0]), list_families(pools[0], k, probes[0])
    plot = Plot(
        f"{what.capitalize()} against regret",
        f"Left and low is good; dotted: {100 * AFFORDED:.0f}% of the {what} and {LOST:g} of regret. Each line runs from the"
        " smallest budget to the largest.",
        draw_policies(pools[0], priced[0], families),
    )
    probe = pick_probe(pools[0], probes[0])
    races = f"Races are at step {probe.step}, without race_keep." if probe else NO_RACE
    texts = [*describe_cheap(pools[0], families), races, *describe_settling(pools[0], probes[0])]
    return Section(POLICIES, texts, table, POLICY_NOTES, [plot])


def describe_audit(rows: list[Row]) -> Section:
    """Returns the section on how many rejections were wrong and what they cost, or why that is unknown."""
    audit, title = audit_rejections(rows), "Were the rejections right?"
    if isinstance(audit, str):
        return Section(title, [audit])
    whole, false = audit.observed == audit.rejected, str(audit.false or "none")
    if audit.false > audit.unknown:
        clear = f"{count_them(audit.clear, audit.false)} beyond chance"
        if audit.false == 1:
            clear = "beyond chance" if audit.clear else "which may be chance"
        false += f", {clear}"
    if audit.unknown:
        false += f", {audit.unknown} unclear, without counts or standard errors"
    drawn = f"RL ran for {audit.drawn} of them, drawn at random; each result is weighted by inverse propensity."
    if whole:
        drawn = f"RL ran for {count_them(audit.rejected, audit.rejected)}, so nothing is extrapolated."
    if audit.chosen:
        drawn += f" External: {count(audit.chosen, 'result')}{'' if whole else ', chosen and not drawn, so not extrapolated'}."
    rate, regret = _show_interval(audit, audit.rate_interval, 2), _show_interval(audit, audit.regret_interval, 3)
    said = [
        f"{audit.called.capitalize()}: {count(audit.rejected, 'candidate')}. {drawn}",
        f"False rejections (ended above the best approved candidate, {audit.best.name}, {show_result(audit.best)}):"
        f" {false}; {count(audit.observed, 'result')} observed. Estimated false-rejection rate {audit.rate:.2f}{rate}.",
        f"Regret (how far above it {audit.called} candidates end, on average): {audit.regret:.3f}{regret}. Both figures are"
        " underestimated, because the best approved is the best of several noisy results and looks better than it is.",
    ]
    open_ones = [row for row in rows if row.score is None and not row.failure]
    undecided = [row for row in open_ones if row.verdict.decision == "undecided" and not is_refused(row)]
    waiting = [row for row in open_ones if row.approved and not row.dropped]
    which = f", {audit.failed} of them {audit.called}" if audit.failed else ""
    for found, noun, sentence in (
        ([row for row in rows if row.approved and row.dropped], "approved", "The race dropped {} before there was a result."),
        (waiting, "approved", "{} without a result yet: the best approved may still be better."),
        (undecided, "undecided", "Not counted: {} without RL."),
        ([row for row in rows if row.lost], "failed", f"Not counted: {{}}{which}."),
    ):
        if found:
            said.append(sentence.format(count(len(found), f"{noun} candidate")))
    return Section(title, said)


def _show_interval(audit: Audit, interval: Interval | None, digits: int) -> str:
    """Returns the interval of a figure of the audit in brackets; nothing if all rejected candidates have a result."""
    if audit.observed == audit.rejected:
        return ""
    if interval is None:
        return " (no interval: the candidates were drawn with different probabilities)"
    return f" (95% interval {interval[0]:.{digits}f} to {interval[1]:.{digits}f})"


def describe_costs(rows: list[Row], base: Row, trains: bool = True) -> Section:
    """Returns the section on what the experiment cost, and what the gate saved of it if RL was requested."""
    entries, unknown = list_entries(rows, base)
    table = [["Stage", "Device", "Runs", "Device-seconds"]]
    table += [[STAGES[e.stage], e.device, str(e.runs), f"{e.cost:,.1f}"] for e in entries]
    for device in dict.fromkeys(entry.device for entry in entries):
        of_kind = [entry for entry in entries if entry.device == device]
        total = f"{sum(entry.cost for entry in of_kind):,.1f}"
        table.append(["Sum", device, str(sum(entry.runs for entry in of_kind)), f"at least {total}" if unknown else total])
    for stage in CANDIDATE_STAGES:
        if failed := [row.failure for row in rows if row.failure and row.failure.stage == stage]:
            seconds = math.fsum(failure.seconds for failure in failed if failure.seconds is not None)
            least = f"at least {seconds:,.1f}" if seconds else MISSING  # on how many devices is not known
            table.append([f"{STAGE_NAMES[stage]}, failed", MISSING, str(len(failed)), least])
    table += [["Not recorded", MISSING, str(unknown), MISSING]] if unknown else []
    return Section("Cost", [*(_describe_balance(rows, base) if trains else []), UNIT], table)


def _describe_balance(rows: list[Row], base: Row) -> list[str]:
    found, (who, pronoun) = balance(rows, base), name_judges(rows)
    if not who:
        return ["The gate was off, so nothing was saved."]
    if isinstance(found, str):
        return [f"What {who} saved cannot be computed: {found}."]
    race, predictors = who == "the race", "the predictors of all candidates and of the base model"
    said = [f"The gate cost {found.spent:,.0f} device-seconds: {predictors}."]
    if race:
        said = [f"{predictors.capitalize()} cost {found.spent:,.0f} device-seconds."]
    if found.probed:
        said.append(f"The race cost {found.probed:,.0f}: RL of each {'' if race else 'approved '}candidate that it dropped.")
    if found.skipped:
        error = "" if found.error is None else f" ± {found.error:,.0f}"
        without = f"without RL{' or dropped by the race' if found.dropped else ''}"
        said.append(
            f"For {count(found.skipped, 'candidate')} {without}, RL and benchmark would have taken about"
            f" {found.avoided:,.0f}{error}, at the mean of those that ran."
        )
    net = "Net"
    if found.refused:
        by, after = "the gate had not approved", ""
        if any(row.outrun and row.sent and row.score is not None for row in rows):
            by, after = f"{who if race else 'gate or race'} had decided against", " after that"
        said.append(
            f"RL and benchmark of {count(found.refused, 'candidate')} that {by} took"
            f" {found.avoidable:,.0f}{after}: the cost of the audit."
        )
        net = "Net, excluding the audit"
    elif not found.skipped:
        said.append(f"{pronoun.capitalize()} kept no candidate from RL, so nothing was saved.")
    verdict = f"{who} saved as much as {pronoun} cost"
    if not any(row.keeps for row in rows):
        why = NO_RESULT if any(row.sent for row in rows) else "no candidate was approved"
        verdict = f"this is no saving, because {why}"
    elif found.net:
        more, less = ("saved", "cost") if found.net > 0 else ("cost", "saved")
        verdict = f"{who} {more} more than {pronoun} {less}"
    return [" ".join([*said, f"{net}: {found.net:+z,.0f} device-seconds; {verdict}."])]
