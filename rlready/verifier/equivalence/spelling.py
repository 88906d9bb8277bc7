r"""One spelling for what looks different and means the same: unicode, sizes, fonts, spaces and synonyms of LaTeX."""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

TABLE = re.compile(r"(\S+)=(\S+)")
# Each character on the left; a command is followed by a space.
CHARACTERS = {
    character: spelled + " " * spelled[-1].isalpha()
    for characters, spelled in TABLE.findall(r"""
    −–‒‐‑﹣－=- ∕⁄=/ ′’‘´=' “”=" ，、=, ∣｜=| 。=. ×✕⨯=\times ·⋅∙•=\cdot ≤⩽≦=\le ≥⩾≧=\ge ≈≃≅=\approx °º˚=^\circ ∅⌀=\emptyset
    ÷=\div ∞=\infty ≠=\ne ∪=\cup ∩=\cap ∈=\in ∖=\setminus ±=\pm ∓=\mp ⟨=\langle ⟩=\rangle ⌊=\lfloor ⌋=\rfloor ⌈=\lceil
    ⌉=\rceil ∠=\angle △=\triangle ∑=\sum ∏=\prod ∫=\int ∨=\vee ∧=\wedge ∀=\forall ∃=\exists √=\sqrt ∛=\sqrt[3] ℓ=\ell ħ=\hbar
    …=\ldots ∂=\partial α=\alpha β=\beta γ=\gamma δ=\delta ε=\epsilon ζ=\zeta η=\eta θ=\theta ι=\iota κ=\kappa
    λ=\lambda μµ=\mu ν=\nu ξ=\xi π=\pi ρ=\rho σ=\sigma τ=\tau φϕ=\phi χ=\chi ψ=\psi ω=\omega Γ=\Gamma Δ=\Delta Θ=\Theta
    Λ=\Lambda Ξ=\Xi Π=\Pi Σ=\Sigma Φ=\Phi Ψ=\Psi Ω=\Omega""")
    for character in characters
}
CHARACTERS |= dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", "") | {"℃": "^\\circ C", "℉": "^\\circ F"}
CHARACTERS |= {letter: f"\\mathbb{{{plain}}}" for letter, plain in zip("ℝℤℕℚℂℙ", "RZNQCP", strict=True)}
for fraction in "¼½¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞":
    top, _, bottom = unicodedata.normalize("NFKC", fraction).partition("⁄")
    CHARACTERS[fraction] = f"\\frac{{{top}}}{{{bottom}}}"
UNUSUAL = str.maketrans(CHARACTERS)
RAISED, LOWERED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n"), str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")

SYNONYMS = TABLE.findall(r"""
    \leq=\le \geq=\ge \neq=\ne \leqslant=\le \geqslant=\ge \leqq=\le \geqq=\ge \lt=< \gt=> \dfrac=\frac \tfrac=\frac
    \cfrac=\frac \nicefrac=\frac \sfrac=\frac \dbinom=\binom \tbinom=\binom \degree=^\circ \bigcup=\cup
    \varnothing=\emptyset \O=\emptyset \lbrace=\{ \rbrace=\} \lbrack=[ \rbrack=] \lvert=| \rvert=| \vert=| \lparen=(
    \rparen=) \mid=| \smallsetminus=\setminus \backslash=\setminus \simeq=\approx \approxeq=\approx \dots=\ldots
    \cdots=\ldots \lor=\vee \ast=* \centerdot=\cdot \colon=: \varepsilon=\epsilon \vartheta=\theta \varphi=\phi \varrho=\rho
    \varkappa=\kappa \Reals=\mathbb{R} \reals=\mathbb{R} \R=\mathbb{R} \arctg=\arctan \tg=\tan \ctg=\cot \sh=\sinh \ch=\cosh
    \mathdollar=\$ \euro=€ \pounds=£ \yen=¥ \textdollar=\$ \infin=\infty \percent=% \widehat=\hat \widetilde=\tilde
    \overrightarrow=\vec \emph=\text \textrm=\text \textnormal=\text \textit=\text \textsf=\text \texttt=\text \mbox=\text
    \hbox=\text \textsc=\text \textup=\text \operatorname=\mathrm \mathop=\mathrm \mathup=\mathrm \textbf=\text \surd=\sqrt
    \cr=\\ \tabularnewline=\\ \thickapprox=\approx \land=\text{and} \wedge=\text{and}""")
DROPPED = r"""
    \left \right \big \Big \bigg \Bigg \bigl \bigr \Bigl \Bigr \biggl \biggr \Biggl \Biggr \bigm \Bigm \middle \displaystyle
    \textstyle \scriptstyle \limits \nolimits \mathbf \boldsymbol \bm \mathit \mathsf \mathtt \mathnormal \large \Large
    \LARGE \huge \Huge \small \normalsize \bf \it \rm \bfseries \ensuremath \mathstrut \hfill \underline \mathopen
    \mathclose \mathord \mathbin \mathrel \mathpunct \bold \mathbfit \fbox \checkmark"""
SAME = dict(SYNONYMS) | dict.fromkeys(DROPPED.split(), "")
SPACE = re.compile(r"(?<!\\)\\[,;:!> ]|\\(?:q?quad|(?:thin|en|med|thick)space|nobreak)(?![a-zA-Z])|~|\s")
TEXT = re.compile(r"\\(?:text|mathrm)\s*\{([^{}]*)\}")
UPRIGHT = r"\\(?:text|mathrm)\s*\{"
BOLD = r"\\(?:mathbf|boldsymbol|bm|bold|mathbfit)\s*(?:\{\s*([A-Za-z])\s*\}|([A-Za-z]))"
DIGIT_GROUPS = r"(?<![\d.,_^A-Za-z])([1-9]\d{0,2})((?:(?:\s|~|\\[,;:> ]|\{\s\})+\d{3})+)(?!\s*[\d/]|\s*\.(?!\d)|\s*,\s*\d)"
UNIT_FRACTION = rf"\\frac\s*\{{\s*({UPRIGHT}[^{{}}]*\}})\s*\}}\s*\{{\s*({UPRIGHT}[^{{}}]*\}}(?:\^\{{?\d\}}?)?)\s*\}}"
MINUTES = r"(\d+)\s*\^\s*\{?\\circ\s*\}?\s*(\d+)\s*(?:'|\^\{?\\prime\}?)(?:\s*(\d+)\s*(?:''|\"))?(?![\d'])"
ESCAPES = {"\f": "\\f", "\b": "\\b", "\v": "\\v", "\a": "\\a"}
BROKEN = re.compile(r"[\f\v\a\b](?=[a-z]{2})")
TWICE = re.compile(r"\\(?=\\(?:[a-zA-Z]{2}|[{}]))")
LAST_MARK = re.compile(r"(?<![.\\])[.,;]\s*$|\\text\s*\{\s*[.,;]\s*\}$|(?:\s*\\\\)+\s*$")
WRAPPED = re.compile(r"\{[^{}]*\}")
LISTED = re.compile(rf"(?<=\d)(?:(?:{SPACE.pattern})+,|,(?:{SPACE.pattern}))(?:{SPACE.pattern})*(?=\d{{3}}(?!\d))")
APART = re.compile(rf"(?<=\d)(?:{SPACE.pattern})+(?=\d)")  # digits
Replacement = str | Callable[[re.Match[str]], str]
Rules = list[tuple[str, re.Pattern[str], Replacement]]


def _compile(*rows: tuple[str, str, Replacement]) -> Rules:
    """Compiles rules: (what every match contains, a pattern, its replacement)."""
    return [(part, re.compile(pattern), replacement) for part, pattern, replacement in rows]


UNICODE = _compile(
    ("", r"(?<=\d)\s*((?:[mck]?m|ft|in)(?=[²³])|[μµ][a-zA-Z]{1,2}\b|[kM]Ω)", r"\\text{ \1}"),
    ("", "[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+", lambda run: f"^{{{run[0].translate(RAISED)}}}"),
    ("", "[₀₁₂₃₄₅₆₇₈₉]+", lambda run: f"_{{{run[0].translate(LOWERED)}}}"),
    ("", r"([√∛])\s*(\d+)", r"\1{\2}"),
)
RULES = _compile(
    ("", r"\A\s*(\*\*?|__|`)([^*`]+)\1\s*\Z", r"\2"),
    ("Rs", r"(?<![A-Za-z])Rs\.?\s*(?=\d)", "₹"),
    ("US", r"(?<![A-Za-z])US(?=\\?\$)", ""),
    ("\\begin", r"(\\(?:begin|end)\s*\{)(?:align|gather|equation|split|eqnarray)(?:ed)?\*?\}", r"\1aligned}"),
    (",", r"(?<=\d)(?:\{,\}|,\s*\\!)\s*(?=\d{3}(?!\d))", ""),
    ("{", r"(?<!\\text)\{([,.:])\}", r"\1"),
    ("", DIGIT_GROUPS, lambda found: found[1] + "".join(re.findall(r"\d+", found[2]))),
    ("$", r"\A(\s*[-+]?)\s*\$\s*(?=[\d.])((?:\\\$|[^$])*)\Z", r"\1\\$\2"),  # the only one
    ("$", r"(?<!\\)\$", " "),
    # Bold letters are vectors where they are multiplied so.
    ("\\times", rf"{BOLD}\s*\\times\s*{BOLD}", r"\\vec{\1\2}\\times\\vec{\3\4}"),
    ("\\", r"(?<!\\)\\[()\[\]]", " "),
    ("\\", r"\\(?:[hv]space|[hv]?phantom|label|tag|color|textcolor)\*?\s*\{[^{}]*\}|\\(?:left|right)\s*\.", " "),
    ("\\", r"\\[a-zA-Z]+", lambda command: SAME.get(command[0], command[0])),
    ("\\in", r"(?<=\\in)\s*(?:\\(?:mathbf|boldsymbol|bm|mathrm|text)\s*)?\{\s*([RZNQC])\s*\}", r" \\mathbb{\1}"),
    # `\mu\text{m}`, `\text{\mu m}`, `\text{k}\Omega`, `\text{k\Omega}`
    ("\\mu", rf"\\mu\s*{UPRIGHT}\s*([a-zA-Z]{{1,2}})\s*\}}|{UPRIGHT}\s*\\mu\s*([a-zA-Z]{{1,2}})\s*\}}", r"\\text{ μ\1\2}"),
    ("\\Omega", rf"{UPRIGHT}\s*([kM]?)\s*(?:\}}\s*\\Omega(?![a-zA-Z])|\\Omega\s*\}})", r"\\text{ \1Ω}"),
    ("\\text", rf"(\\text\s*\{{[^{{}}]*){UPRIGHT}([^{{}}]*)\}}", r"\1\2"),
    ("\\", r"\\(?:SI|qty)\s*\{([^{}]*)\}\s*\{([a-zA-Z/]+)\}", r"\1\\text{ \2}"),
    ("\\frac", UNIT_FRACTION, r"\1/\2"),
    ("<", r"<sup>([^<>]*)</sup>", r"^{\1}"),
    ("<", r"<sub>([^<>]*)</sub>", r"_{\1}"),
    ("=", r"\\not=|!=", r"\\ne "),
    ("=", "<=", r"\\le "),
    ("=", ">=", r"\\ge "),
    ("**", r"\*\*", "^"),
    # Digits that recur: between dots above them, in brackets, or written out and going on.
    (".", r"(?<=\.)(\d*\\overline\s*\{?\d+\}?)\s*(?:\\ldots|\.{3,})", r"\1"),
    (".", r"(?<=[.\d])\\dot\s*\{?(\d)\}?(?:(\d*)\\dot\s*\{?(\d)\}?)?", r"\\overline{\1\2\3}"),
    (".", r"([-+]?\d*\.\d*)\((\d+)\)(?=\\?%?$)", r"\1\\overline{\2}"),
    (".", r"(?<!\d)(\d*\.\d*?)(?=\d{3})(\d{1,6}?)\2+\s*(?:\\ldots|\.{3,})", r"\1\\overline{\2}"),
    ("\\circ", MINUTES, r"(\1+\\frac{\2}{60}+\\frac{0\3}{3600})^\\circ"),
    ("per cent", "per cent", "percent"),
    ("\\%", r"\\%", "%"),
    ("{}", r"(?<!\\)\{\}(?=\s*\^)", ""),
    ("\\circ", r"\{\s*(\^?)\s*(?:\{\s*\\circ\s*\}|\\circ)\s*\}", r"\1\\circ"),
    ("^", r"(?<=[\d}])\^\s*(?:\{\s*)?(?:\\(?:text|mathrm)\s*\{\s*o\s*\}|o(?![a-zA-Z]))(?:\s*\})?", r"^\\circ"),
    ("\\\\", r"(?<=\\\\)\s*\[-?[\d.]+\s*(?:pt|em|ex|mm|cm)\]", ""),
    ("x", r"(?<=\d)\s*x\s*(?=10\s*\^)", r"\\times "),
    ("", r"(?<!\\)(?:\s*\\[,;:! ]?)+\s*$", ""),
)


def _apply(rules: Rules, text: str) -> str:
    for part, pattern, replacement in rules:
        if part in text:
            text = pattern.sub(replacement, text)
    return text


@lru_cache(4096)  # reading and comparing both begin with it, and the samples of a problem share its reference
def respell(text: str) -> str:
    """Returns LaTeX in one spelling: ASCII, without delimiters, sizes and bold type, synonyms as one of them."""
    if not text.isascii():
        # The second time also what other forms of letters were: `𝜋`.
        text = unicodedata.normalize("NFKC", _apply(UNICODE, text).translate(UNUSUAL)).translate(UNUSUAL)
    # Escapes that a program took for characters of its own, `\\f` of `\\frac`, or wrote twice.
    text = BROKEN.sub(lambda found: ESCAPES[found[0]], text)
    text = LAST_MARK.sub("", _apply(RULES, text if "\\begin" in text else TWICE.sub("", text)).strip()).strip()
    return text[1:-1].strip() if WRAPPED.fullmatch(text) else text


@lru_cache(4096)
def normalise(text: str) -> str:
    """Returns respelled LaTeX without spaces, so that equal strings mean the same answer; digits apart stay apart."""
    text = LISTED.sub(",␣", APART.sub("␣", respell(text)))
    text = SPACE.sub("", TEXT.sub(r"\1", text)).replace("\\$", "")
    text = re.sub(r"([_^])\{(\w)\}", r"\1\2", text)
    option = re.fullmatch(r"\(([A-Z])\)", text)
    return option[1] if option else text
