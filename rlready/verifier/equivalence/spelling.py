r"""One spelling for what looks different and means the same: unicode, sizes, fonts, spaces and synonyms of LaTeX."""

import re
import unicodedata
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
RAISED_RUN, LOWERED_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+"), re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
AREA = re.compile(r"(?<=\d)\s*((?:[mck]?m|ft|in)(?=[²³])|[μµ][a-zA-Z]{1,2}\b|[kM]Ω)")
ROOT_OF_DIGITS = re.compile(r"([√∛])\s*(\d+)")

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
    \mathclose \mathord \bold \mathbfit \fbox"""
SAME = dict(SYNONYMS) | dict.fromkeys(DROPPED.split(), "")
COMMAND = re.compile(r"\\[a-zA-Z]+")
SPACE = re.compile(r"(?<!\\)\\[,;:!> ]|\\q?quad\b|\\(?:thinspace|enspace|medspace|nobreak)\b|~|\s")
SKIPPED = re.compile(
    r"\\(?:hspace|vspace|phantom|hphantom|vphantom|label|tag|color|textcolor)\*?\s*\{[^{}]*\}|\\(?:left|right)\s*\."
)
# `\mu\text{m}`, `\text{\mu m}`, `\text{k}\Omega`, `\text{k\Omega}`
MICRO = re.compile(r"\\mu\s*\\(?:text|mathrm)\s*\{\s*([a-zA-Z]{1,2})\s*\}|\\(?:text|mathrm)\s*\{\s*\\mu\s*([a-zA-Z]{1,2})\s*\}")
OHM = re.compile(r"\\(?:text|mathrm)\s*\{\s*([kM]?)\s*(?:\}\s*\\Omega(?![a-zA-Z])|\\Omega\s*\})")
TEXT_IN_TEXT = re.compile(r"(\\text\s*\{[^{}]*)\\(?:text|mathrm)\s*\{([^{}]*)\}")
BOLD_SET = re.compile(r"(?<=\\in)\s*(?:\\(?:mathbf|boldsymbol|bm|mathrm|text)\s*)?\{\s*([RZNQC])\s*\}")
DELIMITER = re.compile(r"(?<!\\)\\[()\[\]]")
COMMAS = re.compile(r"(?<=\d)(?:\{,\}|,\s*\\!)\s*(?=\d{3}(?!\d))")
GROUPS_APART = re.compile(
    r"(?<![\d.,_^A-Za-z])([1-9]\d{0,2})((?:(?:\s|~|\\[,;:> ]|\{\s\})+\d{3})+)(?!\s*[\d/]|\s*\.(?!\d)|\s*,\s*\d)"
)
# Digits that recur: between dots above them, in brackets, or written out and going on.
RECURRING = re.compile(r"(?<=[.\d])\\dot\s*\{?(\d)\}?(?:(\d*)\\dot\s*\{?(\d)\}?)?")
IN_BRACKETS = re.compile(r"([-+]?\d*\.\d*)\((\d+)\)(?=\\?%?$)")
GOING_ON = re.compile(r"(?<!\d)(\d*\.\d*?)(?=\d{3})(\d{1,6}?)\2+\s*(?:\\ldots|\.{3,})")
OVERLINED = re.compile(r"(?<=\.)(\d*\\overline\s*\{?\d+\}?)\s*(?:\\ldots|\.{3,})")
# `\frac{\text{m}}{\text{s}^2}`
UNIT_FRACTION = re.compile(
    r"\\frac\s*\{\s*(\\(?:text|mathrm)\s*\{[^{}]*\})\s*\}\s*\{\s*(\\(?:text|mathrm)\s*\{[^{}]*\}(?:\^\{?\d\}?)?)\s*\}"
)
SI = re.compile(r"\\(?:SI|qty)\s*\{([^{}]*)\}\s*\{([a-zA-Z/]+)\}")
MINUTES = re.compile(r"(\d+)\s*\^\s*\{?\\circ\s*\}?\s*(\d+)\s*(?:'|\^\{?\\prime\}?)(?:\s*(\d+)\s*(?:''|\"))?(?![\d'])")
HTML = re.compile(r"<(su[bp])>([^<>]*)</\1>")
ESCAPES = {"\f": "\\f", "\b": "\\b", "\v": "\\v", "\a": "\\a"}
BROKEN = re.compile(r"[\f\v\a\b](?=[a-z]{2})")
TWICE = re.compile(r"\\(?=\\(?:[a-zA-Z]{2}|[{}]))")
TIMES = re.compile(r"(?<=\d)\s*x\s*(?=10\s*\^)")
ROW_SPACE = re.compile(r"(?<=\\\\)\s*\[-?[\d.]+\s*(?:pt|em|ex|mm|cm)\]")
ALIGNED = re.compile(r"(\\(?:begin|end)\s*\{)(?:align|gather|equation|split|eqnarray)(?:ed)?\*?\}")
EMPHASISED = re.compile(r"\s*(\*\*?|__|`)([^*`]+)\1\s*")
RUPEES, DOLLARS = re.compile(r"(?<![A-Za-z])Rs\.?\s*(?=\d)"), re.compile(r"(?<![A-Za-z])US(?=\\?\$)")
# Bold letters are vectors where they are multiplied so.
BOLD = r"\\(?:mathbf|boldsymbol|bm|bold|mathbfit)\s*(?:\{\s*([A-Za-z])\s*\}|([A-Za-z]))"
CROSS = re.compile(rf"{BOLD}\s*\\times\s*{BOLD}")
LAST_MARK = re.compile(r"(?<![.\\])[.,;]\s*$|(?:\s*\\\\)+\s*$")
LAST_SPACE = re.compile(r"(?<!\\)(?:\s*\\[,;:! ]?)+\s*$")
WRAPPED = re.compile(r"\{[^{}]*\}")
DEGREE = re.compile(r"(?<=[\d}])\^\s*(?:\{\s*)?(?:\\(?:text|mathrm)\s*\{\s*o\s*\}|o(?![a-zA-Z]))(?:\s*\})?")
CURRENCY = re.compile(r"([-+]?)\s*\$\s*(?=[\d.])")
LISTED = re.compile(rf"(?<=\d)(?:(?:{SPACE.pattern})+,|,(?:{SPACE.pattern}))(?:{SPACE.pattern})*(?=\d{{3}}(?!\d))")
APART = re.compile(rf"(?<=\d)(?:{SPACE.pattern})+(?=\d)")  # digits
TEXT = re.compile(r"\\(?:text|mathrm)\s*\{([^{}]*)\}")


@lru_cache(4096)  # reading and comparing both begin with it, and the samples of a problem share its reference
def respell(text: str) -> str:
    """Returns LaTeX in one spelling: ASCII, without delimiters, sizes and bold type, synonyms as one of them."""
    text = DOLLARS.sub("", RUPEES.sub("₹", EMPHASISED.sub(r"\2", text, count=1) if EMPHASISED.fullmatch(text) else text))
    if not text.isascii():
        text = _respell_unicode(text)
    # Escapes that a program took for characters of its own, `\\f` of `\\frac`, or wrote twice.
    text = BROKEN.sub(lambda found: ESCAPES[found[0]], text)
    text = ALIGNED.sub(r"\1aligned}", text) if "\\begin" in text else TWICE.sub("", text)
    text = COMMAS.sub("", text).replace("{,}", ",").replace("{.}", ".").replace("{:}", ":")
    text = GROUPS_APART.sub(lambda found: found[1] + "".join(re.findall(r"\d+", found[2])), text)
    if "$" in text:
        if text.count("$") - text.count("\\$") == 1:
            text = CURRENCY.sub(r"\1\\$", text, count=1) if CURRENCY.match(text.lstrip()) else text
        text = re.sub(r"(?<!\\)\$", " ", text)
    if "\\" in text:
        text = SKIPPED.sub(" ", DELIMITER.sub(" ", CROSS.sub(r"\\vec{\1\2}\\times\\vec{\3\4}", text)))
        text = COMMAND.sub(lambda found: SAME.get(found[0], found[0]), text)
        text = BOLD_SET.sub(r" \\mathbb{\1}", text) if "\\in" in text else text
        if "\\mu" in text or "\\Omega" in text:
            text = OHM.sub(r"\\text{ \1Ω}", MICRO.sub(r"\\text{ μ\1\2}", text))
        text = TEXT_IN_TEXT.sub(r"\1\2", text)
        text = UNIT_FRACTION.sub(r"\1/\2", SI.sub(r"\1\\text{ \2}", text))
    if "<" in text:
        text = HTML.sub(lambda found: ("^" if found[1] == "sup" else "_") + f"{{{found[2]}}}", text)
    text = (
        text.replace("\\not=", "\\ne ").replace("<=", "\\le ").replace(">=", "\\ge ").replace("!=", "\\ne ").replace("**", "^")
    )
    if "." in text:
        text = RECURRING.sub(r"\\overline{\1\2\3}", OVERLINED.sub(r"\1", text))
        text = GOING_ON.sub(r"\1\\overline{\2}", IN_BRACKETS.sub(r"\1\\overline{\2}", text))
    text = MINUTES.sub(r"(\1+\\frac{\2}{60}+\\frac{0\3}{3600})^\\circ", text).replace("per cent", "percent")
    text = text.replace("\\%", "%").replace("{\\circ}", "\\circ").replace("{^\\circ}", "^\\circ")
    text = LAST_SPACE.sub("", TIMES.sub("\\\\times ", ROW_SPACE.sub("", DEGREE.sub("^\\\\circ", text))))
    text = LAST_MARK.sub("", text.strip()).strip()
    return text[1:-1].strip() if WRAPPED.fullmatch(text) else text


@lru_cache(4096)
def normalise(text: str) -> str:
    """Returns respelled LaTeX without spaces, so that equal strings mean the same answer; digits apart stay apart."""
    text = LISTED.sub(",␣", APART.sub("␣", respell(text)))
    text = SPACE.sub("", TEXT.sub(r"\1", text)).replace("\\$", "")
    text = re.sub(r"([_^])\{(\w)\}", r"\1\2", text)
    option = re.fullmatch(r"\(([A-Z])\)", text)
    return option[1] if option else text


def _respell_unicode(text: str) -> str:
    text = AREA.sub(r"\\text{ \1}", text)
    text = RAISED_RUN.sub(lambda run: f"^{{{run[0].translate(RAISED)}}}", text)
    text = LOWERED_RUN.sub(lambda run: f"_{{{run[0].translate(LOWERED)}}}", text)
    text = ROOT_OF_DIGITS.sub(r"\1{\2}", text)
    return unicodedata.normalize("NFKC", text.translate(UNUSUAL))
