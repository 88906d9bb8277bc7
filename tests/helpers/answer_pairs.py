"""Pairs of answers that are certainly equal or certainly different: by construction, no library and no check is asked.

Every function takes a random generator and yields (gold, answer, right). Values are Python's fractions and strings; they
are written in one of several ways at random, and a different one differs in its value by construction.
"""

import random
from collections.abc import Callable, Iterator
from fractions import Fraction

Pairs = Iterator[tuple[str, str, bool]]
KINDS: dict[str, Callable[[random.Random], Pairs]] = {}
LETTERS = "abdghkmnpqrtuvwxyz"
UNITS = [
    ("cm", "centimeters", "mm"),
    ("m", "meters", "km"),
    ("kg", "kilograms", "g"),
    ("hours", "hrs", "minutes"),
    ("seconds", "s", "days"),
    ("feet", "ft", "inches"),
    ("dollars", "dollars", "cents"),
    ("miles", "mi", "yards"),
    ("liters", "L", "gallons"),
    ("students", "students", "teachers"),
]
WORDS = "Tuesday ellipse parabola even odd Brenda increasing Friday triangle hyperbola north purple never".split()  # noqa: SIM905


def kind(function):
    """Registers a kind of pairs."""
    KINDS[function.__name__.replace("_", " ")] = function
    return function


def make_pairs(seed: int, rounds: int) -> list[tuple[str, str, str, bool]]:
    """Returns (kind, gold, answer, right), each kind `rounds` times."""
    rng = random.Random(seed)
    return [(name, *pair) for _ in range(rounds) for name, function in KINDS.items() for pair in function(rng)]


def draw_fraction(rng, low=2, high=30) -> Fraction:
    """Returns a fraction that is no integer."""
    value = Fraction(rng.choice([-1, 1]) * rng.randint(1, 80), rng.randint(low, high))
    return value if value.denominator > 1 else draw_fraction(rng, low, high)


def write(value) -> str:
    """Returns a fraction or integer in LaTeX as data sets write it."""
    value = Fraction(value)
    sign = "-" if value < 0 else ""
    return str(value) if value.denominator == 1 else rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def rewrite(rng, value) -> str:
    """Returns a fraction or integer in another way."""
    value = Fraction(value)
    p, q = value.numerator, value.denominator
    if q == 1:
        ways = [
            f"{p}",
            f"{p}.0",
            f"{{{p}}}",
            rf"\({p}\)",
            rf"\[{p}\]",
            rf"\mathbf{{{p}}}",
            rf"\text{{{p}}}",
            f"+{p}" if p > 0 else f"−{-p}",
        ]
        ways += [
            f"{p + 5} - 5",
            f"{p}.",
            rf"\frac{{{3 * p}}}{{3}}",
            f"${p}$",
            rf"\displaystyle {p}",
            f"{{\\large {p}}}",
        ]
        if p >= 1000:
            ways += [
                f"{p:,}",
                f"{p:,}".replace(",", "{,}"),
                f"{p:,}".replace(",", r",\!"),
                f"{p:,}".replace(",", r"\,"),
                f"{p:,}".replace(",", " "),
            ]
        return rng.choice(ways)
    k, a, sign = rng.randint(2, 9), abs(p), "-" if p < 0 else ""
    ways = [
        f"{p}/{q}",
        rf"{sign}\dfrac{{{a}}}{{{q}}}",
        rf"{sign}\tfrac{{{a * k}}}{{{q * k}}}",
        rf"\frac{{{-p}}}{{{-q}}}",
        f"({p}/{q})",
        rf"\frac{{{p}}}{{{q}}}",
    ]
    ways += [
        rf"{sign}{{{a} \over {q}}}",
        rf"\boldsymbol{{{sign}\frac{{{a}}}{{{q}}}}}",
        rf"\[{sign}\frac{{{a}}}{{{q}}}\]",
        rf"{a}\cdot\frac{{{sign}1}}{{{q}}}",
    ]
    if a > q:
        ways += [rf"{sign}{a // q}\frac{{{a % q}}}{{{q}}}", f"{sign}{a // q} {a % q}/{q}"]
    if a < 10 and q < 10:
        ways += [rf"{sign}\frac{a}{q}", rf"{sign}\frac {a}{q}"]
    if decimals := write_decimal(value):
        ways += [decimals, decimals + "0"]
    return rng.choice(ways)


def write_decimal(value) -> str | None:
    """Returns a fraction as a decimal number where that is exact with at most five decimals."""
    scaled = value * 10**5
    return f"{float(value):.5f}".rstrip("0").rstrip(".") if scaled.denominator == 1 else None


def disturb(rng, value) -> Fraction:
    """Returns another value near by, or one that a slip makes of it."""
    value = Fraction(value)
    p, q = value.numerator, value.denominator
    others = [
        -value,
        Fraction(p + 1, q),
        Fraction(p - 1, q),
        Fraction(p, q + 1),
        value * 10,
        value / 10,
        value + Fraction(1, 1000),
    ]
    others += [
        Fraction(q, p) if p else 1,
        value + Fraction(1, 10**9),
        value * 2,
        value + 10,
        Fraction(int(str(abs(p))[::-1]), q),
    ]
    return rng.choice([other for other in others if other != value])


@kind
def fraction(rng) -> Pairs:
    value = draw_fraction(rng)
    yield write(value), rewrite(rng, value), True
    yield rewrite(rng, value), rewrite(rng, value), True
    yield write(value), rewrite(rng, disturb(rng, value)), False
    yield write(value), write(disturb(rng, value)), False


@kind
def integer(rng) -> Pairs:
    value = rng.choice([rng.randint(-99, 999), rng.randint(1000, 99_999), rng.randint(10**6, 10**10)])
    yield str(value), rewrite(rng, value), True
    yield f"{value}.0", rewrite(rng, value), True
    yield str(value), rewrite(rng, disturb(rng, value)), False
    yield f"{value:,}" if value > 999 else str(value), rewrite(rng, disturb(rng, value)), False


@kind
def rounded(rng) -> Pairs:
    value = Fraction(rng.randint(1, 99), rng.choice([3, 7, 11, 13, 17]))
    if value.denominator == 1:
        return
    for digits in (1, 2, 3, 4):
        yield write(value), f"{float(value):.{digits}f}", False
    root = rng.choice([2, 3, 5, 7, 11, 13])
    yield rf"\sqrt{{{root}}}", f"{root**0.5:.{rng.randint(1, 5)}f}", False
    yield write(value), f"{float(value):.12f}", True
    yield rf"\sqrt{{{root}}}", f"{root**0.5:.10f}", True


@kind
def repeating_decimal(rng) -> Pairs:
    digits, zeros = str(rng.randint(1, 98)), rng.randint(0, 2)
    if digits in ("9", "99"):
        return
    value = Fraction(int(digits), (10 ** len(digits) - 1) * 10**zeros)
    written = rf"0.{'0' * zeros}\overline{{{digits}}}"
    dots = rf"\dot{{{digits}}}" if len(digits) == 1 else rf"\dot{{{digits[0]}}}\dot {digits[1]}"
    endings = [dots, f"({digits})", digits * 3 + "...", digits * 4 + r"\ldots", rf"\bar{{{digits}}}"]
    for way in (written, f"0.{'0' * zeros}{rng.choice(endings)}"):
        yield write(value), way, True
        yield way, rewrite(rng, value), True
        yield write(disturb(rng, value)), way, False
        yield f"0.{'0' * zeros}{digits}", way, False


@kind
def nested_set(rng) -> Pairs:
    a, b, c = rng.sample(range(1, 99), 3)
    flat, pair, deep = rf"\{{{a},{b},{c}\}}", rf"\{{\{{{a},{b}\}},{c}\}}", rf"\{{\{{{a},{b}\}},\{{{c}\}}\}}"
    others = [
        flat,
        pair,
        deep,
        rf"\{{{flat}\}}",
        rf"\{{{a},\{{{b},{c}\}}\}}",
        rf"\{{({a},{b}),{c}\}}",
        rf"{a},{b},{c},{c}",
    ]
    for gold, answer in (
        (0, rf"\{{{c},{b},{a}\}}"),
        (1, rf"\{{{c},\{{{b},{a}\}}\}}"),
        (2, rf"\{{\{{{c}\}},\{{{b},{a}\}}\}}"),
    ):
        yield others[gold], answer, True
        yield others[gold], rng.choice(others[:gold] + others[gold + 1 :]), False
    yield rf"\{{{a}\}}", str(a), True
    yield rf"\{{\{{{a}\}}\}}", rng.choice([str(a), rf"\{{{a}\}}"]), False


@kind
def sign_of_nothing(rng) -> Pairs:
    value = draw_fraction(rng)
    zero = rng.choice([r"\pm 0", r"\mp0", r"\pm0.0"])
    yield rewrite(rng, value), f"{write(value)}{zero}", True
    yield "0", zero, True
    yield write(value), rf"{write(value)}\pm 1", False
    yield write(value), rf"\pm{write(abs(value))}", False


@kind
def polar(rng) -> Pairs:
    radius, degrees = rng.randint(2, 30), rng.choice([15, 36, 60, 75, 110, 240])
    turn = write(Fraction(degrees, 180))
    cis = rng.choice([r"\operatorname{cis}", r"\text{cis }", r"\,\mathrm{cis}\,"])
    ways = [r"R(\cos D^\circ+i\sin D^\circ)", rf"Re^{{i{turn}\pi}}", rf"R{cis}D^\circ"]
    other = degrees + rng.choice([-degrees * 2, 1, 90, 180])
    for way in ways:
        yield rf"{radius}{cis}({turn}\pi)", way.replace("R", str(radius)).replace("D", str(degrees)), True
        yield rf"{radius}{cis}{degrees}^\circ", way.replace("R", str(radius + 1)).replace("D", str(degrees)), False
    yield rf"{radius}{cis}{degrees}^\circ", rf"{radius}{cis}({other}^\circ)", False
    yield rf"{radius}{cis}{degrees}^\circ", rf"{radius}{cis}{degrees}", False


@kind
def option_before_its_value(rng) -> Pairs:
    value, letter = draw_fraction(rng), rng.choice("ABCDE")
    label = rng.choice(["{}) ", "({}) ", r"\text{{({}) }}", "{}. ", r"\textbf{{({})}}\ ", r"\mathrm{{({})}}\,", r"({})\ "])
    yield write(value), label.format(letter) + write(value), True
    yield write(value), label.format(letter) + write(disturb(rng, value)), False
    yield label.format(letter) + write(value), label.format("E") + rewrite(rng, value), True


@kind
def point(rng) -> Pairs:
    a, b = rng.sample(range(-9, 30), 2)
    one, other = rng.sample("ABCMPQ", 2)
    yield (
        f"{one}({a},{b})",
        rng.choice([f"({a}, {b})", f"{one}=({a},{b})", f"{one}({a};{b})", f"(x,y)=({a},{b})"]),
        True,
    )
    yield f"({a},{b})", f"{one}({a}, {b})", True
    yield (
        f"{one}({a},{b})",
        rng.choice([f"({b},{a})", f"{one}({b},{a})", f"{other}({a},{b})", f"{a + b}", f"[{a},{b}]"]),
        False,
    )


@kind
def number_base(rng) -> Pairs:
    base, name = rng.choice([(11, "eleven"), (12, "twelve"), (16, "16")])
    digits = f"{rng.randint(1, 9)}{rng.choice('AB' if base > 11 else 'A')}{rng.randint(0, 9)}"
    yield (
        f"{digits}_{{{base}}}",
        rng.choice([f"({digits})_{{{base}}}", rf"\text{{{digits}}}_{{{base}}}", rf"{digits}_{{\text{{{name}}}}}"]),
        True,
    )
    yield (
        f"{digits}_{{{base}}}",
        rng.choice([f"{digits[::-1]}0_{{{base}}}", f"{digits}_{{13}}", str(int(digits, base)), f"1{digits}_{{{base}}}"]),
        False,
    )


@kind
def named_quantity(rng) -> Pairs:
    value, other = draw_fraction(rng), rng.randint(2, 999)
    a, b, c = rng.sample("ABCDEFGHKLMNPQRST", 3)
    x, y = rng.sample("abmnpqrsxyz", 2)
    names = [
        f"{a}{b}",
        f"|{a}{b}|",
        rf"\angle {a}{b}{c}",
        rf"\overline{{{a}{b}}}",
        f"P({a})",
        f"P({a}={other % 7})",
        f"{x}+{y}",
    ]
    names += [
        rf"S_{{\triangle {a}{b}{c}}}",
        rf"\mathbb{{P}}({a})",
        rf"\Pr({a})",
        f"{x}_{{{other}}}",
        f"f({other})",
        rf"\frac{{{a}{b}}}{{{b}{c}}}",
    ]
    names += [
        rf"P({a}\cap {b})",
        r"\text{Area}",
        f"[{a}{b}{c}]",
        f"{x}-{y}",
        f"{x}{y}",
        rf"{x}\cdot {y}",
        rf"\text{{Area of }}\triangle {a}{b}{c}",
    ]
    name = rng.choice(names)
    yield write(value), f"{name} = {rewrite(rng, value)}", True
    yield str(other), f"{name}={other}", True
    yield write(value), f"{name} = {rewrite(rng, disturb(rng, value))}", False
    yield f"{a}{b}={other}", str(other), True
    yield f"|{a}{b}|={write(value)}", rewrite(rng, value), True
    yield f"{a}{b}={other}", str(other + 1), False
    yield f"{a}{b}={other}", f"{a}{c}={other}", False
    yield f"P({a})={write(value)}", f"P({b})={write(value)}", False
    yield f"{x}={other}", f"{y}={other}", False
    yield str(other), rf"{name} \ne {other}", False


@kind
def chain(rng) -> Pairs:
    value, a, b = draw_fraction(rng), rng.randint(2, 400), rng.randint(2, 400)
    yield str(a + b), f"{a}+{b}={a + b}", True
    yield str(a * b), rf"{a} \times {b} = {a * b}", True
    yield str(a - b), f"x = {a}-{b} = {a - b}", True
    yield write(value), rf"{write(value)} = {rewrite(rng, value)}", True
    yield write(value), rf"x = {write(value)} \approx {float(value):.3f}", True
    yield write(value), rf"{write(value)} \approx {float(value):.2f}", True
    yield rf"{write(value)} \approx {float(value):.3f}", rewrite(rng, value), True
    yield str(a + b), f"{a}+{b}={a + b + 1}", False
    yield str(a + b + 1), f"{a}+{b}={a + b + 1}", False
    yield str(a + b), f"x={a + b + 1}={a + b}", False
    yield write(value), rf"{write(disturb(rng, value))} = {write(value)}", False
    yield str(a), rf"{a} \approx {a + 1}", False


@kind
def surd(rng) -> Pairs:
    a, b, c = rng.randint(1, 20), rng.randint(2, 9), rng.randint(2, 9)
    n = rng.choice([2, 3, 5, 6, 7, 10, 11, 13, 14, 15])
    gold = rf"\frac{{{a}+{b}\sqrt{{{n}}}}}{{{c}}}"
    equal = [
        rf"\frac{{{a}}}{{{c}}}+\frac{{{b}\sqrt{{{n}}}}}{{{c}}}",
        rf"({a}+{b}\sqrt {{{n}}})/{c}",
        rf"\frac{{\sqrt{{{b * b * n}}}+{a}}}{{{c}}}",
    ]
    equal += [
        rf"\frac{{{a} + {b}√{n}}}{{{c}}}",
        rf"({a}+{b}*sqrt({n}))/{c}",
        rf"\frac1{c}\left({a}+{b}\cdot {n}^{{1/2}}\right)",
    ]
    yield gold, rng.choice(equal), True
    others = [
        rf"\frac{{{a}-{b}\sqrt{{{n}}}}}{{{c}}}",
        rf"\frac{{{a}+{b}\sqrt{{{n + 1}}}}}{{{c}}}",
        rf"\frac{{{a}+{b}\sqrt[3]{{{n}}}}}{{{c}}}",
    ]
    others += [
        rf"{a}+\frac{{{b}\sqrt{{{n}}}}}{{{c}}}",
        rf"\frac{{{b}+{a}\sqrt{{{n}}}}}{{{c}}}" if a != b else f"{a}",
        rf"\frac{{{a}+{b}}}{{{c}}}",
    ]
    yield gold, rng.choice(others), False
    yield rf"{a}\pm\sqrt{{{n}}}", rf"{a}-\sqrt{{{n}}}, {a}+\sqrt{{{n}}}", True
    yield rf"{a}\pm\sqrt{{{n}}}", rf"{a}+\sqrt{{{n}}}", False
    yield rf"\pm {a}, \pm {a + b}", f"{-a}, {a}, {a + b}, {-a - b}", True
    yield rf"\pm {a}", str(a), False


@kind
def nearly_equal(rng) -> Pairs:
    n, a = rng.randint(20, 900), rng.randint(2, 9)
    yield f"10^{{{n}}}", rf"\sqrt{{10^{{{2 * n}}}+{a}}}", False
    yield r"\pi", rf"\pi+10^{{-{n}}}", False
    yield rf"e^{{-{n}}}", rf"e^{{-{n + 1}}}", False
    yield rf"e^{{-{n}}}", "0", False
    yield rf"{a}^{{-{n}}}", rf"{a}^{{-{n + 1}}}", False
    yield rf"\frac{{1}}{{10^{{{n}}}}}", rf"\frac{{1}}{{10^{{{n + 1}}}}}", False
    yield rf"{a}^{{{n}}}", rf"{a}^{{{n}}}+1", False
    yield rf"\ln({a})", rf"\ln({a}+10^{{-{n}}})", False
    yield rf"\sqrt{{{a}}}", rf"\sqrt{{{a}}}+e^{{-{n}}}", False
    yield rf"{n}!", rf"({n + 1})!", False
    yield rf"{n}!", rf"{n}\cdot({n - 1})!", True
    yield rf"{a}^{{{n}}}", rf"{a}\cdot {a}^{{{n - 1}}}", True
    yield rf"e^{{-{n}}}", rf"\frac{{1}}{{e^{{{n}}}}}", True
    yield r"\infty", rf"10^{{{n}}}", False
    yield rf"{n}", r"\infty", False
    yield r"-\infty", r"\infty", False
    yield f"{a ** (a**2)}", f"{a}^{{{a}^{{2}}}}", True
    if a != 2:
        yield f"{(a**a) ** 2}", f"{a}^{a}^2", False


@kind
def upright_letter(rng) -> Pairs:
    letter, a, b = rng.choice("inxkvyzpqe"), rng.randint(2, 99), rng.randint(2, 9)
    font = rng.choice(["mathrm", "text", "mbox", "mathbf", "textbf", "textit", "mathit"])
    yield str(a), rf"{a}\{font}{{{letter}}}", False
    yield rf"{a}\{font}{{{letter}}}", str(a), False
    yield rf"{a}\mathrm{{{letter}}}", f"{a}{letter}", True
    yield rf"{a}+{b}\mathrm{{i}}", str(a + b), False
    yield rf"{a}+{b}\mathrm{{i}}", f"{a}+{b}i", True
    yield rf"{a}+{b}\mathrm{{i}}", rf"{a}-{b}\mathrm{{i}}", False
    yield rf"{b}\mathrm{{e}}^{{x}}", str(b), False
    yield rf"{b}\mathrm{{e}}^{{x}}", rf"{b}\exp(x)", True
    yield rf"{a}\mathrm{{n}}-{b}", f"{a}-{b}", False


@kind
def words_behind_a_number(rng) -> Pairs:
    a = rng.randint(2, 400)
    wrong = "thousand;million;squared;cubed;factorial;is wrong;at least;less than the total;plus six;six;or more;percent more"
    wrong += ";times two;divided by 3;dozen;and a half;not;minus one;over two;choose two;modulo seven;hundredths;or so, maybe 7"
    for text in rng.sample(wrong.split(";"), 4):
        yield str(a), rf"{a}\text{{ {text}}}", False
    yield str(a), rf"\text{{not }}{a}", False
    yield str(a * 1000), rf"{a}\text{{ thousand}}", True
    yield f"{a}000000", rf"{a} million", True


@kind
def unit(rng) -> Pairs:
    name, same, different = rng.choice(UNITS)
    a = rng.randint(2, 400)
    value = rng.choice([Fraction(a), draw_fraction(rng)])
    behind = (
        rng.choice([rf"\text{{ {name}}}", rf"\,\mathrm{{{name}}}", rf"\ \text{{{name}}}", rf"~\text{{{name}}}"])
        if len(name) > 1
        else rf"\text{{ {name}}}"
    )
    yield str(a), f"{a}{behind}", True
    yield f"{a}{behind}", str(a), True
    yield f"{write(value)}{behind}", rf"{rewrite(rng, value)}\text{{ {same}}}", True
    yield f"{a}{behind}", rf"{a}\text{{ {different}}}", False
    yield f"{a}{behind}", rf"{a + 1}\text{{ {same}}}", False
    yield rf"{a}\text{{ cm}}^2", rf"{a}\text{{ square centimeters}}", True
    yield rf"{a}\text{{ cm}}^2", rf"{a}\text{{ cm}}^3", False
    yield rf"{a}\text{{ m/s}}", rf"{a}\text{{ meters per second}}", True
    yield rf"{a}\text{{ m/s}}", rf"{a}\text{{ m}}", False
    yield rf"{a}\text{{ km/h}}", rf"{a}\text{{ mph}}", False
    yield str(a), f"{a} square units", True
    yield str(a), f"{a} {rng.choice(['weeks', 'cm', 'inches', 'people', 'years', 'cubic feet'])}", True
    yield str(a), f"{a}cm^2", True


@kind
def money(rng) -> Pairs:
    a, cents = rng.randint(1, 99), rng.randint(10, 99)
    yield rf"\${a}.{cents}", f"{a}.{cents}", True
    yield f"{a}.{cents}", rf"\${a}.{cents}", True
    yield rf"\${a}", rf"{a}\text{{ dollars}}", True
    yield rf"\${a}", rf"{a}\text{{ cents}}", False
    yield rf"{a}\text{{ cents}}", rf"\${a}", False
    yield f"{a},{cents}0", rf"\${a}{{,}}{cents}0", True
    yield f"{a}.{cents}", f"{a}.{cents}€", True
    yield rf"\${a}", f"€{a}", False
    yield rf"\${a}.{cents}", rf"\${cents}.{a}" if a != cents else "1", False


@kind
def thousands(rng) -> Pairs:
    a, b = rng.randint(1, 999), rng.randint(100, 999)
    yield f"{a}{b}", f"{a},{b}", True
    yield f"{a}{b}", f"{a} {b}", True
    yield f"{a}{b}", rf"{a}\,{b}", True
    apart = rng.choice([", ", r",\ ", r",~", " ,", ";", " and ", r"\text{ or }"])
    yield f"{a},{b}", f"{a}{apart}{b}", False
    yield f"{a}{b}", f"{a}{apart}{b}", False
    yield f"-{a},{b}", f"-{a}, {b}", False
    yield f"({a},{b})", f"{a},{b}", False
    yield f"{a}, {b}", f"{a}{b}", False
    yield f"{a}, {b}", f"{b}, {a}", True
    yield f"{a}{b}017", f"{a}, {b}, 017", False
    yield rf"{a}\text{{ and }}{b}", f"{b}, {a}", True
    yield rf"{a}\text{{ and }}{b}", str(b), False
    yield str(b), rf"{a}\text{{ or }}{b}" if a != b else "0", False
    yield f"{a},{b}", rf"\{{{a}, {b}\}}", False


@kind
def percent(rng) -> Pairs:
    a = rng.randint(1, 99)
    for written in (rf"{a}\%", f"{a}%", f"{a} percent", rf"{a}\text{{ percent}}", f"{a} pct", rf"{a}.0\%"):
        yield rf"{a}\%", written, True
        yield str(a), written, True
    yield rf"{a}\%", write(Fraction(a, 100)), True
    yield rf"{a}\%", rf"{a + 1}\%", False
    yield rf"{a}\%", rf"{a}^\circ", False
    yield rf"{a}\%", write(Fraction(a, 10)), False


@kind
def degrees(rng) -> Pairs:
    a = rng.randint(1, 179)
    gold = rng.choice([rf"{a}^\circ", rf"{a}^{{\circ}}", rf"{a}\text{{ degrees}}"])
    for written in (f"{a}°", f"{a} degrees", rf"{a}^\circ", rf"{a}^{{\circ}}", rf"{a}\degree", str(a)):
        yield gold, written, True
    yield gold, rf"\frac{{{a}\pi}}{{180}}", True
    yield rf"\frac{{{a}\pi}}{{180}}", f"{a}°", True
    yield gold, rf"\frac{{{a}\pi}}{{90}}", False
    yield gold, rf"{a}\text{{ minutes}}", False
    yield gold, rf"{a + 1}^\circ", False
    yield rf"\sin {a}", rf"\sin {a}^\circ", False
    yield rf"\sin {a}^\circ", rf"\cos\left({90 - a}^\circ\right)", True


@kind
def base(rng) -> Pairs:
    n = rng.randint(3, 9)
    digits = rng.choice("12") + "".join(rng.choice("012") for _ in range(3))
    for written in (
        f"{digits}_{n}",
        rf"{digits}_{{{n}}}",
        f"({digits})_{n}",
        rf"({digits})_{{{n}}}",
        rf"{digits}_{{\text{{{n}}}}}",
    ):
        yield f"{digits}_{n}", written, True
    yield f"{digits}_{n}", rf"{digits}_{{{n + 1}}}", False
    yield f"{digits}_{n}", f"{digits[::-1]}_{n}" if digits != digits[::-1] else "3_9", False
    yield digits, f"{digits}_{n}", False


@kind
def scientific(rng) -> Pairs:
    a, n = rng.randint(1, 9), rng.randint(3, 30)
    sign = rng.choice(["", "-"])
    for written in (
        rf"{a}.5\times 10^{{{sign}{n}}}",
        rf"{a}.5\cdot10^{{{sign}{n}}}",
        f"{a}.5e{sign}{n}",
        f"{a}.5*10^({sign}{n})",
        f"{a}.5×10^{{{sign}{n}}}",
    ):
        yield rf"{a}.5 \times 10^{{{sign}{n}}}", written, True
    yield f"{a}.5e{sign}{n}", rf"{a}.5\times 10^{{{sign}{n}}}\text{{ kg}}", True
    yield f"1e{sign}{n}", rf"10^{{{sign}{n}}}", True
    yield rf"{a}.5\times 10^{{{sign}{n}}}", f"{a}.5e{sign}{n + 1}", False
    yield f"{a}e{n}", f"{a}e-{n}", False
    yield f"{a}e{n}", rf"{a}\cdot e\cdot {n}", False


@kind
def complex_number(rng) -> Pairs:
    a, b = rng.randint(1, 20), rng.randint(1, 20)
    yield (
        f"{a}+{b}i",
        rng.choice(
            [
                f"{b}i+{a}",
                f"{a}+{b}*i",
                rf"{a}+{b}\cdot i",
                f"{a}.0 + {b}.0i",
                f"({a}+{b}i)",
                f"{a} + i{b}" if False else f"{a}-(-{b}i)",
            ]
        ),
        True,
    )
    yield f"{a}-{b}i", rng.choice([f"-{b}i+{a}", f"{a} - {b}*i", rf"{a}-{b}\mathrm{{i}}", f"{a} + -{b}i"]), True
    yield f"{a}+{b}i", f"{a}-{b}i", False
    yield f"{a}+{b}i", f"{b}+{a}i" if a != b else "1", False
    yield f"{a}+{b}i", f"{a + b}", False
    yield rf"\frac{{1}}{{{a}+{b}i}}", rf"\frac{{{a}-{b}i}}{{{a * a + b * b}}}", True
    yield rf"{a}e^{{{b}ix}}", rf"{a}\cos({b}x)+{a}i\sin({b}x)", True
    yield rf"\sqrt{{-{a * a}}}", f"-{a}", False


@kind
def letters(rng) -> Pairs:
    x, y = rng.sample(LETTERS, 2)
    a, b = rng.randint(2, 20), rng.randint(2, 20)
    yield f"{a}{x}+{b}", f"{b}+{a}{x}", True
    yield f"{a}{x}+{b}", f"{a}{x.upper()}+{b}", False
    yield f"{a}{x}+{b}", f"{a}{y}+{b}", False
    yield f"{x}{y}", f"{y}{x}", True
    yield f"{x}{y}", f"{x.upper()}{y.upper()}", False
    yield f"{x}_1", f"{x}_2", False
    yield f"{x}_1", f"{x.upper()}_1", False
    yield f"{x}_{{{a}}}+{y}", f"{y}+{x}_{{{a}}}", True
    yield rf"\frac{{{a}}}{{{b}}}{x}", rf"\frac{{{a}{x}}}{{{b}}}", True
    yield rf"\frac{{{a}}}{{{b}}}{x}", write(Fraction(a, b)), False
    yield rf"\alpha+{a}", rf"{a}+\alpha", True
    yield rf"\alpha+{a}", rf"\beta+{a}", False
    yield rf"\dot{{{x}}}_0", rf"\dot {x}_{{0}}", True
    yield rf"\dot{{{x}}}", x, False
    yield f"{x}'", x, False


@kind
def polynomial(rng) -> Pairs:
    a, b, c = rng.randint(2, 9), rng.randint(2, 9), rng.randint(1, 9)
    x = rng.choice("xnt")
    gold = f"({x}+{a})({x}-{b})"
    expanded = f"{x}^2+{a - b}{x}-{a * b}".replace("+-", "-")
    yield gold, expanded, True
    yield expanded, rf"\left({x}-{b}\right)\left({x}+{a}\right)", True
    yield gold, f"{x}^2+{a - b}{x}-{a * b + 1}".replace("+-", "-"), False
    yield gold, f"({x}-{a})({x}+{b})" if a != b else "0", False
    yield rf"\frac{{{x}}}{{{x}+{a}}}", rf"1-\frac{{{a}}}{{{x}+{a}}}", True
    yield rf"\frac{{{x}}}{{{x}+{a}}}", rf"1+\frac{{{a}}}{{{x}+{a}}}", False
    yield rf"\frac{{{x}}}{{{x}+{a}}}", rf"\frac{{{x}}}{{{x}}}+{a}", False
    yield f"{x}^{{{a}}}", f"{x}^{{{a + 1}}}", False
    yield f"{x}^{{{2 * a}}}", f"({x}^{{{a}}})^2", True
    yield rf"{c}\cdot 2^{{{x}}}", rf"{2 * c}\cdot 2^{{{x}-1}}", True
    yield f"{x}2^{{{x}-1}}", rf"{x}\cdot 2^{{{x}-1}}", True
    yield rf"\sqrt{{{x}^2}}", x, False
    yield rf"|{x}-{a * 20}|", f"{a * 20}-{x}", False
    yield rf"|{x}-{a}|", rf"|{a}-{x}|", True
    yield rf"\lfloor \frac{{{x}}}{{{a}}} \rfloor", rf"\lfloor \frac{{{x}+1}}{{{a}}} \rfloor", False
    yield rf"\lfloor {x} \rfloor+{a}", rf"\lfloor {x}+{a} \rfloor", True
    yield rf"\sin({a}{x})", rf"\cos({a}{x})", False
    yield rf"\sin^2 {x}", rf"1-\cos^2({x})", True
    yield rf"\ln({a}{x})", rf"\ln {a}+\ln {x}", True
    yield rf"\ln({a}{x})", rf"\ln({a}) \cdot \ln({x})", False
    yield rf"\log_{{{a}}} {b + 9}", rf"\frac{{\ln {b + 9}}}{{\ln {a}}}", True
    yield rf"\ln {a}", rf"\log_e {a}", True
    yield rf"e^{{{a}{x}}}", rf"\exp{{({a}{x})}}", True
    yield rf"\binom{{{x}}}{{2}}", rf"\frac{{{x}({x}-1)}}{{2}}", True
    yield (
        rf"\binom{{{a + 5}}}{{3}}",
        rng.choice([rf"\dbinom{{{a + 5}}}{{3}}", rf"{{{a + 5} \choose 3}}", str((a + 5) * (a + 4) * (a + 3) // 6)]),
        True,
    )
    yield rf"\binom{{{a + 9}}}{{3}}", rf"\binom{{{a + 9}}}{{4}}", False
    yield rf"\sum_{{k=1}}^{{{x}}} k", rf"\frac{{{x}({x}+1)}}{{2}}", True
    yield rf"\sum_{{k=1}}^{{{a}}} k^2", str(sum(k * k for k in range(1, a + 1))), True
    yield rf"\sum_{{k=1}}^{{{a}}} k^2", str(sum(k * k for k in range(1, a + 1)) + 1), False


@kind
def constant(rng) -> Pairs:
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    yield rf"\frac{{x^{{{a}}}}}{{{a}}}+C", rf"c+\frac{{x^{{{a}}}}}{{{a}}}", True
    yield rf"c e^{{-{a}x}}+\frac{{1}}{{{b}}}", rf"\frac1{b}+Ce^{{-{a}x}}", True
    yield rf"c_1e^{{{a}x}}+c_2e^{{-{b}x}}", rf"C_{{1}}e^{{{a}x}}+C_{{2}}e^{{-{b}x}}", True
    yield rf"c e^{{-{a}x}}", rf"C e^{{{a}x}}", False
    yield f"{a}c+{b}", f"{a}C+{b}", False
    yield f"x^{{{a}}}+C", f"x^{{{a}}}", False


@kind
def equation(rng) -> Pairs:
    a, b, k = rng.randint(2, 9), rng.randint(2, 9), rng.randint(2, 5)
    value = draw_fraction(rng)
    yield f"x={write(value)}", rewrite(rng, value), True
    yield write(value), f"x = {rewrite(rng, value)}", True
    yield f"x={write(value)}", f"{rewrite(rng, value)} = x", True
    yield (
        f"y={a}x+{b}",
        rng.choice([f"y={b}+{a}x", f"{a}x-y+{b}=0", f"{a}x+{b}=y", f"y-{b}={a}x", f"{k}y={k * a}x+{k * b}"]),
        True,
    )
    yield (
        f"y={a}x+{b}",
        rng.choice([f"y={a}x-{b}", f"x={a}y+{b}", f"y={b}x+{a + 10}", f"{a}x+y+{b}=0", f"y={a}x"]),
        False,
    )
    yield f"f(x)={a}x+{b}", rng.choice([f"y={a}x+{b}", f"f(t)={a}t+{b}", f"f(x)={b}+{a}x", f"{a}x+{b}"]), True
    yield f"f(x)={a}x+{b}", rng.choice([f"g(x)={a}x+{b}", f"f(x)={a}t+{b}", f"f(x)={a}x-{b}"]), False
    yield f"{a}x+{b}y=7", f"{a * k}x+{b * k}y={7 * k}", True
    yield f"{a}x+{b}y=7", f"{a}x+{b}y=8", False
    yield f"{a}x+{b}y=7", "7", False
    yield f"x^2+y^2={a}", str(a), False
    yield f"x={a}, y={a + b}", f"x={a + b}, y={a}", False
    yield f"x={a}, y={a + b}", f"{a + b}, {a}", False
    yield f"x={a}, y={a + b}", f"y={a + b}, x={a}", True
    yield f"x={a}, y={a + b}", f"(x,y)=({a},{a + b})", True
    yield f"({a},{a + b})", f"(x, y) = ({a}, {a + b})", True
    yield (
        f"{a}, {a + b}",
        rng.choice([f"x={a + b}, x={a}", f"x_1={a},x_2={a + b}", rf"x={a}\text{{ or }}x={a + b}", f"x = {a}, {a + b}"]),
        True,
    )
    yield f"{a}", f"x+{b}={a}", False
    yield f"{a}", f"{k}x={a}", False


@kind
def tuple_and_list(rng) -> Pairs:
    values = [draw_fraction(rng), Fraction(rng.randint(1, 9)), Fraction(-rng.randint(10, 20))]
    one, two = [write(v) for v in values], [rewrite(rng, v) for v in values]
    turned = two[1:] + two[:1]
    big = rng.choice(["big", "Big", "bigg"])
    yield f"({','.join(one)})", rf"\{big}({', '.join(two)}\{big})", True
    yield f"({','.join(one)})", rf"\left({', '.join(two)}\right)", True
    yield f"({','.join(one)})", f"({', '.join(turned)})", False
    yield f"({','.join(one)})", f"({', '.join(two[:2])})", False
    yield (
        ", ".join(one),
        rng.choice([rf"\{{{', '.join(turned)}\}}", "; ".join(turned), rf"\lbrace {', '.join(turned)} \rbrace"]),
        True,
    )
    yield ", ".join(one), rf"{turned[0]}, {turned[1]}\text{{ and }}{turned[2]}", True
    yield ", ".join(one), ", ".join(two[:2]), False
    yield rf"\{{{', '.join(one)}\}}", f"{{{', '.join(turned)}}}", True
    yield rf"\{{{one[0]},{one[1]}\}}", rf"\{{{one[0]},{one[2]}\}}", False
    yield one[0], ", ".join(one), False
    yield rf"({one[0]},{one[1]}),({one[1]},{one[2]})", rf"({two[1]},{two[2]})\text{{ and }}({two[0]},{two[1]})", True
    yield rf"({one[0]},{one[1]}),({one[1]},{one[2]})", rf"({two[1]},{two[0]}),({two[1]},{two[2]})", False
    yield r"\emptyset", rng.choice([r"\varnothing", r"\{\}", "∅", r"\text{empty set}"]), True
    yield r"\emptyset", rng.choice(["0", r"\{0\}"]), False


@kind
def matrix(rng) -> Pairs:
    a, b, c, d = (rng.randint(-9, 99) for _ in range(4))
    gold = rf"\begin{{pmatrix}} {a} & {b} \\ {c} & {d} \end{{pmatrix}}"
    yield gold, rf"\begin{{bmatrix}}{a}&{b}\\{c}&{d}\end{{bmatrix}}", True
    yield gold, rf"\left(\begin{{array}}{{cc}} {a} & {b} \\ {c} & {d} \end{{array}}\right)", True
    yield gold, rf"\left[\begin{{matrix}} {a} & {b} \\ {c} & {d} \end{{matrix}}\right]", True
    yield gold, rf"\begin{{pmatrix}} {a} & {b} \\ {c} & {d + 1} \end{{pmatrix}}", False
    yield gold, rf"\begin{{pmatrix}} {a} & {b} \\ {d} & {c} \end{{pmatrix}}" if c != d else "0", False
    yield rf"\begin{{pmatrix}} {a} \\ {b} \end{{pmatrix}}", f"({a},{b})", True
    yield rf"\begin{{pmatrix}} {a} \\ {b} \end{{pmatrix}}", f"({b},{a})" if a != b else "0", False


@kind
def interval(rng) -> Pairs:
    a, b, c = sorted(rng.sample(range(-40, 40), 3))
    v = rng.choice(["x", "k", "m", r"\lambda"])
    yield (
        f"({a},{b})",
        rng.choice([f"{a}<{v}<{b}", rf"\{{{v} \mid {a}<{v}<{b}\}}", rf"\left({a},{b}\right)", rf"{v}\in({a},{b})"]),
        True,
    )
    yield (
        f"[{a},{b}]",
        rng.choice(
            [
                rf"{a}\le {v}\le {b}",
                rf"{a} ≤ {v} ≤ {b}",
                rf"{a}\leqslant {v}\leqslant {b}",
                rf"\{{{v}|{a}\le {v}\le {b}\}}",
            ]
        ),
        True,
    )
    yield f"({a},{b}]", rf"({a},{b})", False
    yield f"[{a},{b}]", rf"{a}<{v}<{b}", False
    yield rf"(-\infty,{a})", rng.choice([f"{v}<{a}", f"{a}>{v}", "(-∞, " + str(a) + ")"]), True
    yield rf"(-\infty,{a})", rng.choice([f"{v}>{a}", rf"{v}\le {a}", rf"(-\infty,{b})", rf"({a},\infty)"]), False
    yield rf"[{a},\infty)", rng.choice([rf"{v}\ge {a}", f"{v} >= {a}", rf"[{a},+\infty)"]), True
    union = rf"(-\infty,{a})\cup({b},\infty)"
    spelled = [
        rf"{v}<{a}\text{{ or }}{v}>{b}",
        rf"(-\infty,{a})\text{{ or }}({b},\infty)",
        f"(-∞,{a}) ∪ ({b},∞)",
        rf"({b},\infty)\cup(-\infty,{a})",
    ]
    spelled += [rf"(-\infty,{a})\bigcup({b},\infty)", rf"\mathbb{{R}}\setminus[{a},{b}]", rf"{v} < {a} or {v} > {b}"]
    yield union, rng.choice(spelled), True
    yield (
        union,
        rng.choice(
            [
                rf"(-\infty,{a}]\cup({b},\infty)",
                rf"(-\infty,{a})\cup({c},\infty)",
                rf"(-\infty,{a})\cap({b},\infty)",
                f"({a},{b})",
            ]
        ),
        False,
    )
    yield (
        rf"(-\infty,{a})\cup({a},\infty)",
        rng.choice([rf"{v}\neq {a}", rf"\mathbb{{R}}\setminus\{{{a}\}}", f"{v} != {a}"]),
        True,
    )
    yield rf"(-\infty,{a})\cup({a},\infty)", rng.choice([rf"{v}\neq {b}", r"\mathbb{R}", rf"{v}={a}"]), False
    yield (
        r"\mathbb{R}",
        rng.choice([r"(-\infty,\infty)", r"x\in\mathbb{R}", r"\text{all real numbers}", "ℝ", r"\mathbb R"]),
        True,
    )
    yield r"\mathbb{R}", rng.choice([r"\mathbb{Z}", r"(0,\infty)", r"\emptyset", r"\mathbb{R}\setminus\{0\}"]), False
    yield f"({a},{b}]\\cup({b},{c})", f"({a},{c})", True


@kind
def word(rng) -> Pairs:
    one, two = rng.sample(WORDS, 2)
    yield (
        rf"\text{{{one}}}",
        rng.choice([one, one.capitalize(), f'"{one}"', rf"\textbf{{{one}}}", rf"\mathrm{{{one}}}"]),
        True,
    )
    yield rf"\text{{{one}}}", rng.choice([two, rf"\text{{not {one}}}", f"{one} {two}", one[:-1], one + "s"]), False
    letter, other = rng.sample("ABCDE", 2)
    yield (
        letter,
        rng.choice([rf"\text{{({letter})}}", f"({letter})", rf"\textbf{{({letter})}}", rf"\mathrm{{{letter}}}"]),
        True,
    )
    yield letter, rng.choice([other, rf"\text{{({other})}}", letter.lower()]), False
    yield rf"\text{{{one} and {two}}}", f"{two}, {one}", True
    yield rf"\text{{{one}}}", rf"\text{{{one} or {two}}}", False


@kind
def ordinal(rng) -> Pairs:
    a = rng.randint(4, 20)
    yield (
        str(a),
        rng.choice([f"{a}th", rf"{a}^{{th}}", rf"{a}^{{\text{{th}}}}", rf"{a}\text{{th}}", rf"{a}^\text{{th}}"]),
        True,
    )
    yield str(a), f"{a + 1}th", False
    yield "21", "21st", True
    yield "2", "2nd", True


@kind
def ratio_and_time(rng) -> Pairs:
    a, b = rng.sample(range(2, 12), 2)
    yield f"{a}:{b}", rng.choice([f"{a} : {b}", rf"{a}\!:\!{b}", rf"\frac{{{a}}}{{{b}}}"]), True
    yield f"{a}:{b}", f"{b}:{a}", False
    yield (
        rf"{a}:{b}5\text{{ p.m.}}" if b < 6 else f"{a}:25 PM",
        rf"{a}:{b}5 PM" if b < 6 else rf"{a}:25\text{{ p.m.}}",
        True,
    )
    yield rf"{a}:30\text{{ p.m.}}", rf"{a}:30\text{{ a.m.}}", False
    yield f"{a}:30", f"{a}:31", False
