"""Every sentence of the report is true of its outcome: each is recognised by its pattern, and checked against the records."""

import json
import math
import re
from types import SimpleNamespace

from helpers.generated import BASES, RACES, SWEEPS
from hypothesis import given, settings
from hypothesis import strategies as st

from rlready.analysis.comparison import read_rows
from rlready.analysis.gate_audit import audit_rejections, is_refused
from rlready.analysis.sweep_result import SweepResult
from rlready.stages.report.candidates import describe_candidates
from rlready.stages.report.gate_sections import describe_audit, describe_costs
from rlready.stages.report.headline import summarize, tell_result
from rlready.stages.report.predictor_sections import describe_forecasts
from rlready.stages.report.report import write_verdicts

NAMES = r"\w+(?:, \w+)*(?: and \d+ more)?"
FIGURE = r"\d\.\d+(?: \[[-+]?\d\.\d+, [-+]?\d\.\d+\]| ± \d\.\d+)?(?: \(external\))?(?: \(greedy \d\.\d+\))?"
NUMBER = r"[-+]?[\d,.]+"
PART = r"((?:\d+|none) of \d+ \w[\w ]*|(?:all \d+|both|the only|no) \w[\w ]*)"  # of some things, and which
THEM = r"(\d+ of them|none of them|all of them|it)"
AMONG = r"(?:Among those (?:with RL|measured), the|The)"


def find_facts(outcomes, base):
    rows, base, _ = read_rows(SweepResult(list(outcomes), base, {}))
    finished = [row for row in rows if row.score is not None]
    judged = [row for row in rows if row.verdict.decision and not row.failed_early]
    measured = [row for row in judged if not row.lost]
    seconds = [row.outcome.rl.seconds for row in rows if row.outcome.rl and (row.sent or not row.dropped)]
    return SimpleNamespace(
        rows=rows, base=base, finished=finished, judged=judged, measured=measured, failed=[row for row in rows if row.failure],
        approved=[row for row in measured if row.approved], refused=[row for row in measured if not row.approved],
        best=finished[0] if finished else None, named={row.name: row for row in rows},
        raced=any(row.outcome.race for row in rows),
        off=any(row.verdict.mode == "off" for row in judged), seconds=seconds,
        all_ran=all(row.score is not None for row in measured), dropped=[row for row in rows if row.dropped],
        outrun=[row for row in judged if row.outrun and row.sent], unsent=[row for row in measured if not row.sent],
        told=[row for row in judged if row.approved], untold=[row for row in judged if not row.approved],
    )  # fmt: skip


def list_named(facts, names):
    return [facts.named[name] for name in names.split(" and ")[0].split(", ")]


def share_lost(row):
    seen = row.predictors.by_products if row.score is None or row.elsewhere else row.benchmark
    return math.nan if seen.truncated is None else seen.truncated, max(seen.truncated or 0.0, seen.unreadable or 0.0)


def is_highest(facts, name, figure):
    best = facts.named[name]
    return best.score == max(row.score for row in facts.finished) and abs(best.score - float(figure[:5])) < 1e-3


def is_share(facts, part):
    return facts.told and not facts.off and read_part(part) == [len(facts.told), len(facts.judged)]


def read_part(said):
    """Returns how many of how many a phrase such as "2 of 3 runs" or "both runs" says."""
    numbers, first = [int(number) for number in re.findall(r"\d+", said)], said.split()[0]
    assert not (numbers and first.isdigit() and (numbers[0] == numbers[-1] or numbers[0] == 0)), said
    return {"the": [1, 1], "both": [2, 2], "no": [0, 1], "none": [0, *numbers], "all": 2 * numbers}.get(first, numbers)


PATTERNS = {  # a sentence, and what must be true of its groups
    rf"(\w+) ended best after RL, with Pass@1 ({FIGURE}): ahead of (?:\w+|each of the other \d+) beyond chance\.":
        lambda f, name, figure: is_highest(f, name, figure) and len(f.finished) > 1,
    rf"(\w+) has the highest Pass@1 after RL, ({FIGURE})\.": lambda f, name, figure: is_highest(f, name, figure),
    rf"Equal to it: ({NAMES})\.": lambda f, names: all(row.score == f.best.score for row in list_named(f, names)),
    rf"Not clearly worse: ({NAMES})\.": lambda f, names: all(row.score is not None for row in list_named(f, names)),
    rf"Whether it is ahead of ({NAMES}) beyond chance is unknown\.":
        lambda f, names: all(not (f.best.benchmark.standard_error and row.benchmark.standard_error)
            for row in list_named(f, names)),
    r"Choosing hardly mattered: the results of (\d+) candidates spread no more than the noise; best minus worst: [^a-z]*\.":
        lambda f, n: int(n) == len(f.finished) > 2,
    rf"Only (\w+) has finished RL, with Pass@1 {FIGURE}, so there is nothing to compare it with\.":
        lambda f, name: [row.name for row in f.finished] == [name],
    r"No candidate has a result: all failed\.": lambda f: len(f.failed) == len(f.rows) > 1,
    r"No candidate has a result: the only one failed\.": lambda f: len(f.failed) == len(f.rows) == 1,
    rf"No candidate has finished RL: it or its benchmark failed for (?:all candidates|the only candidate) sent to it,"
    rf" ({NAMES})\.":
        lambda f, names: not f.finished and all(row.failure.stage in ("rl", "benchmark") for row in list_named(f, names))
        and not f.dropped,
    rf"No candidate has finished RL: it or its benchmark failed for ({NAMES}), and the race dropped (\d+) others?\.":
        lambda f, names, dropped: not f.finished and int(dropped) == len(f.dropped)
        and all(row.failure.stage in ("rl", "benchmark") for row in list_named(f, names)),
    rf"RL of ({NAMES}) ended early, converged: every rollout right\.":
        lambda f, names: all(row.stopped.startswith("converged") for row in list_named(f, names)),
    r"No candidate has finished RL, so which one is worth it is still unknown\.": lambda f: not f.finished,
    r"No candidate has finished RL, because the gate approved none(?: of them)?\.": lambda f: not f.finished and not f.approved,
    r"(\w+) (has the highest Pass@k and )?is (rejected|undecided): [^.]*\.":
        lambda f, name, highest, decision: f.named[name].verdict.decision == decision and bool(highest) == (len(f.judged) > 1)
        and f.named[name].pass_at_k == max(row.pass_at_k for row in f.judged),
    r"No candidate that finished RL solved a problem of the benchmark \(Pass@1 0\.000[^)]*\), so none is best\. To measure a"
    r" Pass@1 this low, use [^.]*\.": lambda f: f.finished and not any(row.score for row in f.finished),
    r"The scores say little: .{1,5} of the samples were truncated by the length limit; raise [^.]*\.":
        lambda f: any(cut >= 0.9 for cut, _ in map(share_lost, f.rows)),
    r"The scores say little: .{1,5} of the samples were truncated by the length limit or have no final answer; raise [^.]*\.":
        lambda f: any(2 * cut >= lost >= 0.9 for cut, lost in map(share_lost, f.rows)),
    r"The scores say little: .{1,5} of the samples have no final answer in the form [^.]*\.":
        lambda f: any(lost >= 0.9 and 2 * cut < lost for cut, lost in map(share_lost, f.rows)),
    r"The scores say little: .{1,5} of the samples have no final answer; whether they were truncated is unknown\.":
        lambda f: any(math.isnan(cut) and lost >= 0.9 for cut, lost in map(share_lost, f.rows)),
    rf"Nearly all samples of ({NAMES}) have no final answer; whether they were truncated is unknown\.":
        lambda f, names: all(math.isnan(cut) and lost >= 0.9 for cut, lost in map(share_lost, list_named(f, names))),
    rf"Nearly all samples of ({NAMES}) were truncated by the length limit(?: or have no final answer)?; raise [^.]*\.":
        lambda f, names: all(2 * cut >= lost >= 0.9 for cut, lost in map(share_lost, list_named(f, names))),
    rf"Nearly all samples of ({NAMES}) have no final answer in the form [^.]*\.":
        lambda f, names: all(lost >= 0.9 and 2 * cut < lost for cut, lost in map(share_lost, list_named(f, names))),
    r"(\d+) candidates?: (\d+) approved, (\d+) rejected(?:, (\d+) undecided)?(?:, (\d+) failed before the gate)?"
    r"(?:; (\d+) failed after the gate)?\.":
        lambda f, total, approved, rejected, undecided, early, late: [int(n or 0) for n in (total, early, late)]
        == [len(f.rows), sum(r.failed_early for r in f.rows), sum(not r.failed_early for r in f.failed)]
        and [int(n or 0) for n in (approved, rejected, undecided)]
        == [sum(r.verdict.decision == name for r in f.judged) for name in ("approved", "rejected", "undecided")],
    rf"External, and shown as recorded: {PART}; (it was not checked|whether [^.]*)\.":
        lambda f, part, checked: read_part(part) == [sum(bool(row.elsewhere) for row in f.finished), len(f.finished)]
        and checked.startswith("it") == (len(f.finished) == 1),
    rf"The base model, without SFT and RL, scores ({FIGURE})\.": lambda f, figure: abs(f.base.score - float(figure[:5])) < 1e-3,
    r"Over the base model, (\w+) gained ([-+]\d\.\d+) in sampled and ([-+]\d\.\d+) in greedy Pass@1"
    r"(?:; the sampled (?:gain|loss) (?:may be|is beyond) chance|, so none of it is sharpening"
    r"|: [^.]* answers that greedy decoding already gave)?\.":
        lambda f, name, gain, greedy: f.named[name] is f.best
        and abs(f.best.score - f.base.score - float(gain)) < 1e-3
        and abs(f.best.greedy_score - f.base.greedy_score - float(greedy)) < 1e-3,
    r"How much of the gain of (\w+) is sharpening is unknown: greedy Pass@1 was not measured before and after\.":
        lambda f, name: f.named[name] is f.best and None in (f.best.greedy_score, f.base.greedy_score),
    r"Under greedy decoding (\w+) leads with (\d\.\d+), by [^a-z]*(?:, beyond chance|, which may be chance)?\.":
        lambda f, name, top: f.named[name].greedy_score == max(r.greedy_score for r in f.finished
            if r.greedy_score is not None),
    r"Each result is from one seed, so this holds [^.]*\.": lambda f: len(f.finished) > 1,
    r"No candidate solved a problem in one try before RL, so Pass@1 could not rank them\.":
        lambda f: not any(row.sft_pass_at_1 for row in f.rows),
    AMONG + r" highest Pass@1 before RL, (\d\.\d+), belongs to (\w+), which has no result of RL \([^.]*\); how it"
    r" would have ended is unknown\.":
        lambda f, most, name: f.named[name].score is None and f.named[name].sft_pass_at_1 == max(r.sft_pass_at_1 or 0
            for r in f.rows),
    AMONG + r" highest Pass@1 before RL, (\d\.\d+), was also the highest after RL\.":
        lambda f, led: any(abs(r.sft_pass_at_1 - float(led)) < 1e-3 for r in f.finished if r.score == f.best.score)
        and all(r.sft_pass_at_1 <= float(led) + 1e-3 for r in f.finished),
    AMONG + r" highest Pass@1 before RL was not the highest after RL: (\w+) led with (\d\.\d+) and"
    rf" ended at {FIGURE}, [^a-z]* lower(?:, which may be chance)?\.":
        lambda f, name, led: f.named[name].score < f.best.score
        and f.named[name].sft_pass_at_1 == max(r.sft_pass_at_1 for r in f.finished) > f.best.sft_pass_at_1,
    # The gate
    rf"The gate approved {PART}, a net saving of (?:about )?[<>]? ?\d+% over running RL on all (of them|that did not fail)\.":
        lambda f, part, which: is_share(f, part) and None not in f.seconds and f.refused
        and (which == "of them") == (f.judged == f.measured),
    rf"The gate approved {PART}, with no net saving: RL or its benchmark failed for every candidate that was to finish RL\.":
        lambda f, part: is_share(f, part) and all(r.lost for r in f.judged if r.sent and not r.outrun),
    rf"The gate approved {PART}, with no net saving: RL this short costs less than measuring\.":
        lambda f, part: is_share(f, part) and min(filter(None, f.seconds), default=9) < 1000,
    rf"The gate approved {PART}, with no net saving: the gate costs more than it avoids, by .{{1,5}} of the cost of RL for"
    r" all\.":
        lambda f, part: is_share(f, part) and f.seconds.count(1000.0) < len(f.seconds) and f.refused,
    rf"(?:The gate approved {PART} and the|The) race dropped (?:{THEM}|{PART}),"
    r" (?:a net saving of (?:about )?[<>]? ?\d+% over running RL on all (?:of them|that did not fail)|with no net saving: RL"
    r" this short costs less than measuring|with no net saving: (?:(gate and race) cost|(the race) costs) more than"
    r" (?:they avoid|it avoids), by .{1,5} of the cost of RL for all|with no net saving: RL or its benchmark failed for every"
    r" candidate that was to finish RL|with an unknown net saving: (.*?))\.(?= |$)":
        lambda f, approved, them, dropped, both, race, why: (both or race or name_judge(f)) == name_judge(f)
        and (read_part(dropped) == [len(f.outrun), len(f.judged)] if f.off else is_share(f, approved)
            and read_them(them, len(f.told)) == len(f.outrun)) and f.outrun and (not why or is_unknown(f, why)),
    rf"RL went on for {PART} anyway; ({THEM[1:-1]}|it did not) beat the best that won the race\.":
        lambda f, part, beat: (ran := read_part(part)) == [sum(r.score is not None for r in f.outrun), len(f.outrun)]
        and "dropped candidate" in part and read_them(beat, ran[0]) == sum(r.score > max(w.score for w in f.finished
            if w.sent and not w.outrun) for r in f.outrun if r.score is not None),
    rf"RL went on for {PART} anyway, but none of those that won the race has a result\.":
        lambda f, part: read_part(part) == [sum(r.score is not None for r in f.outrun), len(f.outrun)]
        and not any(r.sent and not r.outrun for r in f.finished),
    r"Whether a dropped candidate would have (ended best|gained from RL) is unknown without an audit \(race_audit_fraction\)\.":
        lambda f, ended: f.outrun and all(r.dropped for r in f.outrun) and (ended == "ended best") == bool(f.finished),
    r"Whether a candidate not approved would have (?:ended best|gained from RL) is unknown:"
    r" RL or its benchmark failed for those audited\.":
        lambda f: any(r.verdict.audited for r in f.failed) and not any(r.verdict.audited for r in f.finished),
    r"Whether a candidate not approved would have (?:ended best|gained from RL) is unknown:"
    r" the race dropped some of those audited\.":
        lambda f: any(r.verdict.audited and r.dropped for r in f.unsent),
    rf"The gate approved {PART}, with an unknown net saving: (.*?)\.(?= |$)":
        lambda f, part, why: is_share(f, part) and is_unknown(f, why),
    r"RL ran for all( that did not fail)?, which shows the regret: the best score was missed by (\d\.\d+)\.":
        lambda f, alive, regret: f.all_ran and bool(alive) == any(r.lost for r in f.judged)
        and abs(f.best.score - max(r.score for r in f.finished if r.approved) - float(regret)) < 1e-3,
    rf"The gate approved {PART}(?: that it could judge \((\d+) failed earlier\))?, so it saved nothing\.":
        lambda f, part, early: not f.untold and is_share(f, part)
        and int(early or 0) == sum(r.failed_early for r in f.rows),
    rf"The gate approved {PART}(?: that it could judge \((\d+) failed earlier\))?, which (leaves|would leave) no result\.":
        lambda f, part, early, leaves: not f.told and read_part(part) == [0, len(f.judged)]
        and int(early or 0) == sum(r.failed_early for r in f.rows)
        and (leaves == "leaves") == all(r.score is None for r in f.judged),
    rf"RL ran for {PART} anyway\.":
        lambda f, part: read_part(part) == [sum(r.score is not None for r in f.untold), len(f.judged)],
    r"Whether a candidate without RL would have (ended best|gained from RL) is unknown without an audit [^.]*\.":
        lambda f, ended: any(r.score is None for r in f.judged) and not any(r.dropped for r in f.unsent)
        and (ended == "ended best") == bool(f.finished),
    rf"RL ran for {PART} anyway(?: \((\d+) more failed\))?; ({THEM[1:-1]}|it did not) beat the best approved one\.":
        lambda f, part, lost, beat: (audit := audit_rejections(f.rows)) and int(lost or 0) == len(list_failed(f))
        and re.search("(?:rejected|unapproved) candidates?$", part)
        and read_part(part) == [audit.observed, len(list_refused(f)) + int(lost or 0)]
        and read_them(beat, audit.observed) == audit.false,
    r"The other (?:one was|(\d+) were) not run\.":
        lambda f, unseen: int(unseen or 1) <= sum(r.score is None for r in f.refused) and unseen != "1",
    # The audit
    r"The gate was off, so there are no rejections to check\.": lambda f: any(r.verdict.mode == "off" for r in f.rows),
    r"The gate rejected no candidate that it judged, so there are no rejections to check\.":
        lambda f: not any(is_refused(r) for r in f.measured),
    r"Unknown: RL or its benchmark failed for (\d+) audited candidates?; to find out, retry (?:it|them) \(sweep_attempts\)\.":
        lambda f, n: int(n) == sum(r.verdict.audited for r in f.failed) > 0,
    rf"Unknown: RL ran for {PART}\. To find out, run again with [^.]*\.":
        lambda f, part: read_part(part) == [0, len(list_refused(f))] and not any(r.score is not None for r in list_refused(f)),
    rf"RL ran for {PART}, but there is no result of an approved one to compare with\.":
        lambda f, part: read_part(part) == [sum(r.score is not None for r in list_refused(f)), len(list_refused(f))]
        and not any(r.approved for r in f.finished),
    r"The rejections cannot be checked: the probability with which RL ran for the rejected is not recorded\.":
        lambda f: any(not r.verdict.propensity for r in list_refused(f) if r.score is not None and not r.elsewhere),
    rf"(\d+) of (\d+) rejected candidates (has|have) an external result; ({THEM[1:-1]}|it did not) beat the best approved one"
    rf" \(\w+, {FIGURE}\)\. Results that were chosen, [^.]*\. To narrow this down, [^.]*\.":
        lambda f, theirs, n, have, beat: int(theirs) == sum(bool(r.elsewhere) for r in list_refused(f)) < int(n)
        and (have == "has") == (theirs == "1") and read_them(beat, int(theirs)) == sum(r.score > max(
            a.score for a in f.finished if a.approved) for r in list_refused(f) if r.score is not None),
    r"(?:Rejected|Unapproved): (\d+) candidates?\.": lambda f, n: int(n) == len(list_refused(f)),
    r"RL ran for (all of them|it), so nothing is extrapolated\.":
        lambda f, them: all(r.score is not None for r in list_refused(f)) and (them == "it") == (len(list_refused(f)) == 1),
    r"RL ran for (\d+) of them, drawn at random; each result is weighted by inverse propensity\.":
        lambda f, n: int(n) == sum(r.score is not None and not r.elsewhere for r in list_refused(f)),
    r"External: (\d+) results?(?:, chosen and not drawn, so not extrapolated)?\.":
        lambda f, n: int(n) == sum(bool(r.elsewhere) for r in list_refused(f)),
    rf"False rejections \(ended above the best approved candidate, (\w+), {FIGURE}\): (none|\d+)[^.]*; (\d+) results?"
    r" observed\. Estimated false-rejection rate \d\.\d+(?: \([^)]*\))?\.":
        lambda f, best, false, seen: f.named[best].score == max(r.score for r in f.finished if r.approved)
        and int(false.replace("none", "0"))
        == sum(r.score > f.named[best].score for r in list_refused(f) if r.score is not None) <= int(seen),
    r"Regret \(how far above it (?:rejected|unapproved) candidates end, on average\): \d\.\d+(?: \([^)]*\))?\. Both figures"
    r" are underestimated, [^.]*\.": lambda f: True,
    r"(\d+) approved candidates? without a result yet: the best approved may still be better\.":
        lambda f, n: int(n) == sum(r.score is None and not r.dropped for r in f.approved),
    r"Not counted: (\d+) undecided candidates? without RL\.":
        lambda f, n: int(n) <= sum(r.verdict.decision == "undecided" and r.score is None for r in f.rows),
    r"Not counted: (\d+) failed candidates?(?:, (\d+) of them (?:rejected|unapproved))?\.":
        lambda f, n, refused: int(n) == sum(r.score is None for r in f.failed) and int(refused or 0) == len(list_failed(f)),
    r"Unknown: the race dropped (\d+) of the candidates that the gate audit sent to RL, so those with a result are no random"
    r" draw\.": lambda f, n: int(n) == sum(r.dropped for r in f.unsent) > 0,
    r"The race dropped (\d+) approved candidates? before there was a result\.":
        lambda f, n: int(n) == sum(r.dropped for r in f.approved) > 0,
    # The cost
    rf"(The gate cost {NUMBER} device-seconds: t|T)he predictors of all candidates and of the base model"
    rf"(?: cost {NUMBER} device-seconds)?\.": lambda f, what: f.finished and (what == "T") == f.off,
    r"The gate was off, so nothing was saved\.": lambda f: f.off and not f.raced,
    rf"For (\d+) candidates? without RL( or dropped by the race)?, RL and benchmark would have taken"
    rf" about {NUMBER}(?: ± {NUMBER})?, at the mean"
    rf" of [^.]*\.":
        lambda f, skipped, raced: int(skipped) == len({r.name for r in (*f.refused, *f.dropped) if r.score is None})
        and bool(raced) == bool(f.dropped),
    rf"The race cost ({NUMBER}): RL of each (approved )?candidate that it dropped\.":
        lambda f, cost, approved: bool(approved) != f.off and read_number(cost)
        == sum(2 * r.outcome.rl.seconds for r in f.dropped if r.sent) > 0,
    rf"RL and benchmark of (\d+) candidates? that (gate or race|the race) had decided against took ({NUMBER}) after that:"
    r" the cost of the audit\.":
        lambda f, refused, who, cost: (who == "the race") == f.off
        and int(refused) == sum(r.score is not None and (r.outrun or not r.sent) for r in f.rows)
        and read_number(cost) > 0,
    rf"RL and benchmark of (\d+) candidates? that the gate had not approved took {NUMBER}: the cost of the audit\.":
        lambda f, refused: 0 < int(refused) <= sum(r.score is not None and not r.approved for r in f.rows),
    r"(It|They) kept no candidate from RL, so nothing was saved\.":
        lambda f, who: (f.off or not any(r.score is None for r in f.refused)) and not f.dropped
        and (who == "They") == (name_judge(f) == "gate and race"),
    rf"Net(?:, excluding the audit)?: \+{NUMBER} device-seconds; (the gate|the race|gate and race) saved more than"
    r" (?:it|they) cost\.":
        lambda f, who: who == name_judge(f) and (f.refused or f.outrun) and any(r.sent for r in f.rows),
    rf"Net(?:, excluding the audit)?: [-+]{NUMBER} device-seconds; this is no saving, because no candidate was approved\.":
        lambda f: not any(r.sent for r in f.rows),
    rf"Net(?:, excluding the audit)?: [-+]{NUMBER} device-seconds; this is no saving, because RL or its benchmark failed for"
    r" every candidate that was to finish RL\.": lambda f: all(r.lost for r in f.judged if r.sent and not r.outrun),
    rf"Net(?:, excluding the audit)?: ([-+]{NUMBER}) device-seconds; (the gate|the race|gate and race) cost more than"
    r" (?:it|they) saved\.":
        lambda f, net, who: who == name_judge(f) and (net.startswith("-") or float(net) == 0),
    r"Net(?:, excluding the audit)?: \+0 device-seconds; (the gate|the race|gate and race) saved as much as"
    r" (?:it|they) cost\.":
        lambda f, who: who == name_judge(f),
    r"What (the gate|the race|gate and race) saved cannot be computed: (.*?)\.(?= |$)":
        lambda f, who, why: who == name_judge(f) and is_unknown(f, why),
    r"A device-second is one second on one device\.": lambda f: True,
    # The four lines
    r"Winner: unknown, no candidate has finished RL": lambda f: not f.finished,
    r"Winner: none, no result of RL is above 0": lambda f: f.finished and not any(r.score for r in f.finished),
    rf"Winner: (\w+)(?:, equal to ({NAMES}))?, Pass@1 ({FIGURE}) after RL(?:; base model (\d\.\d+))?":
        lambda f, name, equal, figure, base: is_highest(f, name, figure) and (base is None) == (f.base.score is None)
        and all(row.score == f.best.score for row in (list_named(f, equal) if equal else ())),
    r"Gate: decided on no candidate": lambda f: not f.judged,
    r"Gate: off, RL for every candidate(, up to the race)?": lambda f, raced: f.off and (not raced or f.raced),
    rf"Gate: approved {PART}; \w+: .*":
        lambda f, part: read_part(part) == [0, len(f.judged)] and not any(r.approved for r in f.judged),
    rf"Gate: approved ({NAMES}) \({PART}\)(; \w+)?: .*":
        lambda f, names, part, first: all(r.approved for r in list_named(f, names))
        and read_part(part) == [len(f.told), len(f.judged)] and bool(first) == (len(f.told) > 1),
    r"Net saving: (?:about )?[<>]? ?\d+% of the cost of RL for all candidates( that did not fail)?":
        lambda f, alive: (f.told or f.off) and (f.refused or f.outrun) and bool(alive) == (f.judged != f.measured),
    r"Net saving: none, because (.*)": lambda f, why: not ("approved" in why and f.told) and not ("decide" in why and f.told),
    r"Net saving: unknown, because (.*)": lambda f, why: is_unknown(f, why),
    r"Certainty: unknown(?:, nothing to compare it with)?$":
        lambda f: len(f.finished) < 2 or not any(r.score for r in f.finished),
    r"Certainty: ahead of all others beyond chance \(.*\)": lambda f: f.finished[0].score > f.finished[1].score,
    rf"Certainty: (?:not clearly ahead of ({NAMES}))?(?:; )?(?:unknown against ({NAMES}))? \(.*\)":
        lambda f, level, unknown: all(r.score is not None for names in (level, unknown) if names for r in list_named(f, names)),
}  # fmt: skip


def list_refused(facts):
    return [row for row in facts.rows if is_refused(row) and (not row.failure or row.elsewhere)]


def list_failed(facts):
    return [row for row in facts.failed if is_refused(row) and row.score is None and not row.failed_early]


def read_them(said, seen):
    """Returns how many of some things that were named before a phrase such as "2 of them" or "it" says."""
    assert said.startswith("it") == (seen == 1) and said != f"{seen} of them"
    number = {"none of them": 0, "it did not": 0, "it": 1, "all of them": seen}.get(said)
    return int(said.split()[0]) if number is None else number


def read_number(shown):
    return float(shown.replace(",", ""))


def name_judge(facts):
    return "the gate" if not facts.raced else "the race" if facts.off else "gate and race"


def is_unknown(facts, why):
    """Whether a reason why costs are unknown is true."""
    if why.startswith("no candidate has finished RL"):
        return not any(row.outcome.rl and row.outcome.benchmark for row in facts.rows)
    if "external" in why:
        return any(row.elsewhere for row in facts.finished)
    return "not recorded" in why and None in facts.seconds


def check_races(sweep, facts):
    """Checks the marks under the table, the cells that they explain, and the verdicts for scripts."""
    table = describe_candidates(facts.rows, facts.base, 64, 10)
    shown, notes = {row[0]: row[1] for row in table.table[1:]}, " ".join(table.notes)
    for row in facts.rows:
        step = row.outcome.race and row.outcome.race.step
        assert (f"(dropped at step {step})" in shown[row.name]) == row.dropped
        assert ("(race audited)" in shown[row.name]) == (row.outrun and not row.dropped)
    assert ("Dropped: " in notes) == bool(facts.dropped)
    assert ("Race audited: " in notes) == any(row.outrun and not row.dropped for row in facts.rows)
    for entry in json.loads(write_verdicts(sweep))["candidates"]:
        race = facts.named[entry["candidate"]].outcome.race
        assert entry["race"] == (race and {key: getattr(race, key) for key in ("goes_on", "step", "place", "reason")})
    *before, at_race = describe_forecasts(facts.rows).texts if facts.raced else ["", ""]
    assert "race: No" not in at_race and not any(text.startswith("At the race") for text in before)


def check(text, facts):
    rest = text
    while rest:
        found = next(((test, match) for pattern, test in PATTERNS.items() if (match := re.match(pattern, rest))), None)
        assert found, f"no pattern knows: {rest}"
        assert found[0](facts, *found[1].groups()), f"not true: {found[1][0]}"
        rest = rest[found[1].end() :].lstrip()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.one_of(SWEEPS, RACES), BASES)
def test_every_sentence_of_answer_summary_and_cost_is_true(outcomes, base):
    facts = find_facts(outcomes, base)
    cost = describe_costs(facts.rows, facts.base)
    summary = summarize(SweepResult(list(outcomes), base, {}), facts.rows, facts.base, 64)
    check_races(SweepResult(list(outcomes), base, {}), facts)
    for text in (*tell_result(facts.rows, facts.base, 64), *summary, *cost.texts, *describe_audit(facts.rows).texts):
        check(text, facts)
    net = next(line for line in summary if line.startswith("Net saving"))
    if "%" in net and "none" not in net:  # the top and the ledger agree
        assert re.search("saved more than (it|they) cost", " ".join(cost.texts))
    if re.search("because (RL this short|the (gate|race) costs|gate and race cost)", net):
        assert re.search("cost more than (it|they) saved", " ".join(cost.texts))
