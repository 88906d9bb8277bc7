"""Precision, recall and speed of the verifier, beside math-verify alone, printed and never asserted: make bench."""

import itertools
import json
import os
import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest
from helpers import answer_pairs

from rlready.verifier import verify
from rlready.verifier.formats import boxed
from rlready.verifier.processes import workers

pytestmark = pytest.mark.bench
WORDS = ("Tuesday", "ellipse", "even", "Brenda", "MAKE", "neither", "yes", "square")
UNITS = (("cm", "centimeters", "mm"), ("m", "meters", "cm"), ("inches", "in", "feet"), ("hours", "hours", "minutes"))


def make_fraction(rng):
    """Returns a fraction that is no integer, and LaTeX of it, of equal ones and of others."""
    value = Fraction(rng.choice([-1, 1]) * rng.randint(1, 60), rng.randint(2, 40))
    return value if value.denominator > 1 and abs(value) != 1 else make_fraction(rng)


def write(value):
    sign = "-" if value < 0 else ""
    return str(value) if value.denominator == 1 else rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def rewrite(value, rng):
    p, q, k = value.numerator, value.denominator, rng.randint(2, 9)
    ways = [f"{p}/{q}", rf"\dfrac{{{p}}}{{{q}}}", rf"\frac{{{p * k}}}{{{q * k}}}", rf"\tfrac{{{-p}}}{{{-q}}}"]
    return rng.choice(ways)


def make_pairs(seed):
    """Yields (kind, gold, answer, right); equal or not by construction, no library is asked."""
    rng = random.Random(seed)
    value, other = make_fraction(rng), make_fraction(rng)
    p, q, k = value.numerator, value.denominator, rng.randint(2, 9)
    a, b, n = rng.randint(1, 9), rng.randint(2, 9), rng.choice([2, 3, 5, 6, 7, 10, 11, 13])
    gold = write(value)
    yield "fraction", gold, rewrite(value, rng), True
    yield "fraction", gold, write(-value), False
    yield "fraction", gold, write(1 / value), False
    yield "fraction", gold, write(Fraction(p + 1, q)), False
    short = Fraction(rng.randint(1, 999), rng.choice([8, 20, 25, 40]))
    yield "decimal", write(short), str(float(short)), True
    yield "decimal", str(float(short)), rf"\frac{{{short.numerator}}}{{{short.denominator}}}", True
    yield "decimal", write(short), str(float(short * 10)), False
    whole, part = rng.randint(1, 9), Fraction(rng.randint(1, 4), 5)
    mixed = rf"{whole}\frac{{{part.numerator}}}{{{part.denominator}}}"
    yield "mixed number", write(whole + part), mixed, True
    yield "mixed number", write(whole * part), mixed, False
    yield "surd", rf"{a}+{b}\sqrt{{{n}}}", rf"\sqrt{{{b * b * n}}}+{a}", True
    yield "surd", rf"\frac{{{b}}}{{\sqrt{{{n}}}}}", rf"\frac{{{b}\sqrt{{{n}}}}}{{{n}}}", True
    yield (
        "surd",
        rf"\frac{{{a}+{b}\sqrt{{{n}}}}}{{{k}}}",
        rf"\frac{{{a}}}{{{k}}} + \frac{{{b}}}{{{k}}}\sqrt {{{n}}}",
        True,
    )
    yield "surd", rf"{a}+{b}\sqrt{{{n}}}", rf"{a}-{b}\sqrt{{{n}}}", False
    yield "surd", rf"{a}+{b}\sqrt{{{n}}}", rf"{a}+{b}\sqrt{{{n + 1}}}", False
    yield "surd", rf"{b}\sqrt{{{n}}}", rf"{b}\sqrt[3]{{{n}}}", False
    huge = 10 ** rng.randint(9, 12)
    yield "nearly equal", str(huge), rf"\sqrt{{{huge}^2+1}}", False
    yield "nearly equal", rf"2^{{-{n * 9}}}", rf"2^{{-{n * 9 + 1}}}", False
    yield "nearly equal", rf"\frac{{1}}{{{b}^{{{70 + a}}}}}", rf"\frac{{1}}{{{b}^{{{71 + a}}}}}", False
    yield "nearly equal", f"10^{{{30 + n}}}", f"10^{{{30 + n}}}+{a}", False
    yield "nearly equal", f"e^{{-{40 + n}}}", f"e^{{-{41 + n}}}", False
    yield "pi", rf"\frac{{{p}\pi}}{{{q}}}", rf"\frac{{{p}}}{{{q}}}\pi", True
    yield "pi", rf"{a}\pi+{b}", rf"{b} + {a} \pi", True
    yield "pi", rf"{a}\pi", str(a), False
    yield "pi", rf"{b}\pi", rf"\frac{{\pi}}{{{b}}}", False
    yield "e", rf"1-\frac{{{a}}}{{e}}", rf"\frac{{e-{a}}}{{e}}", True
    yield "e", rf"1-\frac{{{a}}}{{e}}", rf"1+\frac{{{a}}}{{e}}", False
    yield "e", rf"1-{a}/e", rf"1+{a}/e", False
    yield "power", f"{b}^{{{a}}}", str(b**a), True
    yield "power", f"{b}^{{-{a}}}", rf"\frac{{1}}{{{b**a}}}", True
    yield "power", f"{b}^{{{a}}}", f"{b}^{{{a + 1}}}", False
    yield "power", f"{b}^{{{-a}}}", f"-{b}^{{{a}}}", False
    yield "factorial", rf"\binom{{{a + 6}}}{{2}}", str((a + 6) * (a + 5) // 2), True
    yield "factorial", f"{b}!", rf"{b}\cdot({b - 1})!", True
    yield "factorial", f"{b + 1}!", f"{b}!", False
    yield "logarithm", rf"\log_{{{b}}} {n + 1}", rf"\frac{{\ln {n + 1}}}{{\ln {b}}}", True
    yield "logarithm", rf"\ln {b * n}", rf"\ln {b} + \ln {n}", True
    yield "logarithm", rf"\log_{{{b}}} {b + 1}", rf"\log_{{{b + 1}}} {b}", False
    yield "polynomial", f"(x+{a})(x-{b})", f"x^2+{a - b}x-{a * b}".replace("+-", "-"), True
    yield "polynomial", f"{a}x+{b}y", f"{b}y + {a}x", True
    yield "polynomial", f"x^2+{a}x+{b}", f"x^2-{a}x+{b}", False
    yield "polynomial", f"x^{{{b}}}+{a}", f"x^{{{b + 1}}}+{a}", False
    yield "polynomial", f"{a}x+{b}", f"{a}y+{b}", False
    yield "rational function", rf"\frac{{x}}{{x+{a}}}", rf"1-\frac{{{a}}}{{x+{a}}}", True
    yield "rational function", rf"\frac{{x}}{{x+{a}}}", rf"\frac{{x}}{{x-{a}}}", False
    numbers = [value, other, Fraction(a), Fraction(-b)]
    written, again = [write(x) for x in numbers], [rewrite(x, rng) if x.denominator > 1 else str(x) for x in numbers]
    turned = again[1:] + again[:1]
    distinct = len(set(numbers)) == 4
    yield "tuple", "(" + ", ".join(written) + ")", r"\left(" + ",".join(again) + r"\right)", True
    if distinct:
        yield "tuple", f"({', '.join(written)})", f"({', '.join(turned)})", False
        yield "set", rf"\{{{', '.join(written)}\}}", rf"\left\{{ {', '.join(turned)} \right\}}", True
        yield "set", ", ".join(written), ", ".join(turned), True
        yield "set", ", ".join(written), ", ".join(turned[:3]), False
    yield "set", rf"\{{{written[0]}, {a}\}}", rf"\{{{a + 1}, {again[0]}\}}", False
    yield "interval", f"[{-b},{a})", rf"\left[-{b}, {a}\right)", True
    yield "interval", f"[{-b},{a})", rf"[-{b}, {a}]", False
    yield "interval", rf"(-\infty,{a}]", rf"x \le {a}", True
    yield "interval", rf"(-\infty,{a}]", rf"x < {a}", False
    yield "interval", rf"({-b},{a})", rf"-{b} < x < {a}", True
    yield "union", rf"(-\infty,{-b}) \cup ({a},\infty)", rf"({a},\infty)\cup(-\infty,-{b})", True
    yield "union", rf"(-\infty,{-b}) \cup ({a},\infty)", rf"(-\infty,-{b}]\cup({a},\infty)", False
    matrix = r"\begin{{pmatrix}} {} & {} \\ {} & {} \end{{pmatrix}}"
    yield "matrix", matrix.format(*written), matrix.replace("pmat", "bmat").replace(r" \\ ", r"\\").format(*again), True
    if distinct:
        yield "matrix", matrix.format(*written), matrix.format(*turned), False
        yield "matrix", matrix.format(*written), matrix.format(again[0], again[2], again[1], again[3]), False
    yield "equation", f"x={written[0]}", again[0], True
    yield "equation", written[0], f"x = {again[0]}", True
    yield "equation", f"y={a}x+{b}", f"y={b}+{a}x", True
    yield "equation", f"y={a}x+{b}", f"{a}x-y+{b}=0", True
    yield "equation", f"{a}x+{b}y={n}", f"{a * k}x+{b * k}y={n * k}", True
    yield "equation", f"y={a}x+{b}", f"y={a}x-{b}", False
    yield "equation", f"x={a}", f"y={a}", False
    yield "equation", f"x={a}", str(a + 1), False
    yield "two signs", rf"{a}+\sqrt{{{n}}}, {a}-\sqrt{{{n}}}", rf"{a}\pm\sqrt{{{n}}}", True
    yield "two signs", rf"{a}\pm\sqrt{{{n}}}", rf"{a}+\sqrt{{{n}}}", False
    yield "complex", f"{a}+{b}i", f"{b}i+{a}", True
    yield "complex", f"{a}+{b}i", f"{a}-{b}i", False
    yield "thousands", f"{a * 1000 + 17}", f"{a},017", True
    yield "thousands", f"{a * 1000 + 17}", rf"{a},\!017", True
    yield "thousands", f"{a}{b}", f"{a},{b}", False
    yield "scientific", rf"{a}.5\times 10^{{{n}}}", f"{a}5{'0' * (n - 1)}", True
    yield "scientific", rf"{a}.5\times 10^{{{n}}}", rf"{a}.5\times 10^{{{n + 1}}}", False
    yield "scientific", rf"{a}.5\times 10^{{-{n}}}", rf"{a}.5e-{n}", True
    yield "percent", rf"{a * 10}\%", f"{a * 10}", True
    yield "percent", rf"{a * 10}\%", f"0.{a}", True
    yield "percent", rf"{a * 10}\%", rf"{b * 10 + 1}\%", False
    yield "degrees", rf"{a * 10}^\circ", f"{a * 10}", True
    yield "degrees", rf"{a * 10}^{{\circ}}", rf"{a * 10}\text{{ degrees}}", True
    yield "degrees", rf"{a * 10}^\circ", rf"{a * 10 + 1}^\circ", False
    unit, same, different = rng.choice(UNITS)
    yield "units", rf"{a}\text{{ {unit}}}", str(a), True
    yield "units", rf"{a}\text{{ {unit}}}", rf"{a}\,\mathrm{{{same}}}", True
    yield "units", rf"{a}\text{{ {unit}}}", rf"{a}\text{{ {different}}}", False
    yield "units", rf"\${a}.50", f"{a}.5", True
    yield "base", f"{a}1_{{{n}}}", f"{a}1_{n}" if n < 10 else f"{a}1_{{{n}}}", True
    yield "base", f"{a}1_{{{n}}}", f"{a}1_{{{n + 1}}}", False
    word = rng.choice(WORDS)
    yield "word", rf"\text{{{word}}}", word, True
    yield "word", rf"\text{{{word}}}", word[1:] + word[0], False
    yield "word", word, word[::-1], False
    yield "time", rf"{a}:30 \text{{ a.m.}}", rf"{a}:30 \text{{ p.m.}}", False
    yield "ratio", f"{a}:{b * a + 1}", f"{b * a + 1}:{a}", False


def make_data_pairs(folder):
    """Yields pairs from the golds of MATH: rewritten as text so that they mean the same, or with one integer changed."""
    rng = random.Random(0)
    for line in (Path(folder) / "math_500" / "test.jsonl").read_text().splitlines():
        gold = json.loads(line)["answer"]
        loose = gold.replace(r"\left", "").replace(r"\right", "").replace(r"\frac", r"\dfrac").replace(",", ", ")
        slashed = re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"(\1/\2)", gold)
        for answer in {loose, slashed} - {gold}:
            yield "MATH-500 rewritten", gold, answer, True
        # Digits in an index or a text may be changed without changing what is meant.
        if (places := list(re.finditer(r"\d+", gold))) and not re.search(r"_|\\text", gold):
            place = rng.choice(places)
            wrong = gold[: place.start()] + str(int(place[0]) + 1) + gold[place.end() :]
            yield "MATH-500 one number changed", gold, wrong, False


def count(pairs):
    """Returns for each kind and judge [right found, right, wrong taken for right, wrong], and what was misjudged."""
    tables, missed = {}, []
    for kind, gold, answer, right in pairs:
        ours = verify(rf"\boxed{{{answer}}}", gold, "boxed")
        alone = workers.ask("math-verify", answer, gold)
        for name, equal in (("ours", ours), ("math-verify", alone)):
            for row in (kind, "all"):
                cell = tables.setdefault(name, {}).setdefault(row, [0, 0, 0, 0])
                cell[0 if right else 2] += equal is True
                cell[1 if right else 3] += 1
        if ours is not right:
            missed.append((kind, gold, answer, right))
    return tables, missed


def test_precision_and_recall_on_labelled_answers():
    sources = [("generated", list(itertools.chain.from_iterable(map(make_pairs, range(12)))))]
    if folder := os.environ.get("RLREADY_DATA"):
        sources.append(("RLREADY_DATA", list(make_data_pairs(folder))))
    for source, pairs in sources:
        tables, missed = count(pairs)
        print(f"\n{source}, {len(pairs)} labelled answers: recall, and wrong ones taken for right")
        print(f"{'kind':<28} {'ours':>9} {'':>8}   {'math-verify':>11}")
        for kind in tables["ours"]:
            cells = [tables[name][kind] for name in ("ours", "math-verify")]
            print(f"{kind:<28}", *(f"{c[0]:>5}/{c[1]:<4} {c[2]:>4}/{c[3]:<5}" for c in cells))
        for name in ("ours", "math-verify"):
            found, right, wrong, _ = tables[name]["all"]
            print(f"{name}: precision {found / (found + wrong):.4f}, recall {found / right:.4f}")
        for miss in missed[:: max(1, len(missed) // 25)]:
            print("misjudged:", *miss)


def show_lost(name, judged):
    """Prints what was judged wrongly, by kind: of (kind, completion, gold, right, verdict)."""
    judged = list(judged)
    right = [row for row in judged if row[3]]
    accepted = [row for row in judged if row[4] is True and not row[3]]
    lost = Counter(row[0] for row in judged if row[4] is not row[3])
    print(f"\n{name}: {len(right)} right, {sum(row[4] is True for row in right)} found;", end=" ")
    print(f"{len(judged) - len(right)} wrong, {len(accepted)} taken for right; misjudged in all {sum(lost.values())}")
    for kind, number in lost.most_common():
        print(f"  {kind}: {number} of {sum(row[0] == kind for row in judged)}")
    for row in accepted:
        print("  taken for right:", *row)


def test_what_is_lost_by_kind():
    pairs = answer_pairs.make_pairs(seed=1, rounds=30)
    judged = ((kind, a, gold, right, verify(rf"\boxed{{{a}}}", gold, "boxed")) for kind, gold, a, right in pairs)
    show_lost("equal or different by construction", judged)
    # Lines of JSON: gold, answer (what is in the box, or a completion), format, expected, kind.
    if path := os.environ.get("RLREADY_CASES"):
        rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
        for row in rows:
            whole = "\\boxed" in row["answer"] or row["format"] == "letter"
            row["completion"] = row["answer"] if whole else rf"\boxed{{{row['answer']}}}"
        verdicts = [verify(row["completion"], row["gold"], row["format"]) for row in rows]
        show_lost(
            Path(path).name,
            ((r["kind"], r["answer"], r["gold"], r["expected"], v) for r, v in zip(rows, verdicts, strict=True)),
        )


def test_verdicts_a_second():
    # Other pairs for the threads, since a worker remembers what it parsed.
    pairs, others = (
        [pair[1:3] for pair in itertools.chain.from_iterable(map(make_pairs, seeds))]
        for seeds in (range(100, 103), range(103, 106))
    )
    verify(r"\boxed{\frac{x}{2}}", "x", "boxed")
    plain = [(str(number), str(number + number % 2)) for number in range(20_000)]

    def rate(pairs, threads=1):
        boxed._compare.cache_clear()
        begun = time.perf_counter()
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(lambda pair: verify(rf"\boxed{{{pair[1]}}}", pair[0], "boxed"), pairs))
        return len(pairs) / (time.perf_counter() - begun)

    print(f"\nplain numbers {rate(plain):,.0f}/s; LaTeX, each once {rate(pairs):,.0f}/s", end="")
    print(f", in {workers.WORKERS} threads {rate(others, workers.WORKERS):,.0f}/s; ", end="")
    begun = time.perf_counter()
    for gold, answer in others * 20:
        verify(rf"\boxed{{{answer}}}", gold, "boxed")
    print(f"LaTeX seen before {20 * len(others) / (time.perf_counter() - begun):,.0f}/s")
