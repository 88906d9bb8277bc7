"""The known units, with their powers."""

import re

# Between commas: a unit's name here, then other spellings. Singular; a plural s or es may follow.
NAMES = """
mm millimeter millimetre, cm centimeter centimetre, dm decimeter decimetre, m meter metre, km kilometer kilometre,
nm nanometer nanometre, μm micrometer micrometre micron, in inch inche, ft foot feet, yd yard, mi mile, ly lightyear, AU,
mg milligram, g gm gram gramme, kg kilogram kilo, t ton tonne, lb pound, oz ounce, pc parsec,
s sec second, ms millisecond, ns nanosecond, min minute, h hr hour, day, wk week, month, yr year, decade, century,
L l liter litre, mL ml milliliter millilitre, cL cl centiliter, gal gallon, pint, quart, cup, acre, ha hectare,
N newton, kN kilonewton, J joule, kJ kilojoule, cal calorie, kcal kilocalorie, eV electronvolt, keV, MeV, GeV, erg,
W watt, kW kilowatt, MW megawatt, V volt, mV millivolt, kV, A amp ampere, mA milliampere, C coulomb, F farad, T tesla,
Ω ohm Omega, kΩ kiloohm, MΩ megaohm, μF microfarad, μC microcoulomb, μs microsecond, μA, μH, μT, μJ, μL, μg, μV, Wb weber,
G gauss, K kelvin, Pa pascal, kPa kilopascal, MPa, atm atmosphere, bar,
Hz hertz, kHz kilohertz, MHz, GHz, mol mole, rad radian, sr, dB decibel,
bit, byte, KB kilobyte, MB megabyte, GB gigabyte,
° degree deg, $ dollar usd buck, ¢ cent, € euro eur, £ gbp sterling, ¥ yen jpy yuan rmb cny 元, ₹ rupee rs inr,
% percent pct percentage, unit, square cubic
"""
# What is counted in word problems.
COUNTED = """
people person child children student boy girl man men woman women adult kid friend player team member guest worker employee
customer passenger teacher family families way time set group piece part item object thing total point solution root value
number digit integer factor divisor term element subset function permutation combination arrangement outcome possibility
possibilities case path route step move turn round game match goal side edge vertex vertices face diagonal triangle rectangle
circle region cube tile cell row column line grade apple orange banana lemon peach pear grape berry berries strawberry
strawberries egg cookie cake cupcake pie slice candy candies chocolate sandwich sandwiches pizza burger sweet donut muffin loaf
loaves meal cup glass bottle can jar box basket bag bucket pack packet package page book notebook magazine newspaper letter
word card stamp coin bill note ticket pencil pen marker crayon sheet paper chair table bench seat bed room house floor door
window brick block stone rock flower rose tree plant seed leaf leaves bird chicken duck hen cow sheep goat pig horse dog puppy
puppies cat kitten fish rabbit ant bee toy ball balloon doll marble bead sticker car truck bus bike bicycle train plane boat
wheel trip lap mark shirt dress shoe sock hat pant battery batteries phone computer song photo picture video question problem
test class lesson stick rope ribbon button key rung monkey bear lion peanut nut potato potatoes tomato tomatoes carrot onion
bean shell star fly flies cupful serving bite drink soda beer pill tablet dose vote call message email token pair
atom molecule electron mice geese teeth dice deer each apiece left remaining
"""
UNITS = {alias: unit.split()[0] for unit in NAMES.split(",") for alias in unit.split()}
LETTERS = {name for name in UNITS if len(name) == 1 and name.isalpha()}  # `m` may be a metre or a variable
COUNTS = set(COUNTED.split())
# Without `\text` these are more likely symbols, or words that mean something else.
NO_UNIT_IF_BARE = LETTERS | set(re.findall(r"\w+", "in mi mg ms ns pc Pa ha ly sr cl cal bar min AU nm total"))
ADJECTIVES = {"different", "distinct", "possible", "ordered", "unordered", "unique", "such", "us"}
REMARKS = {"old", "long", "tall", "wide", "high", "deep", "apart", "away"}  # after a unit
POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen""".split()  # noqa: SIM905
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
QUOTIENTS = {"mph": ("mi", "h"), "kmh": ("km", "h"), "kph": ("km", "h"), "rpm": ("rev", "min")}
PRODUCTS = {"Nm": ("N", "m"), "kWh": ("kW", "h")}
COMPOUNDS = {name: {top: 1, bottom: -1} for name, (top, bottom) in QUOTIENTS.items()}
COMPOUNDS |= {name: dict.fromkeys(units, 1) for name, units in PRODUCTS.items()}
TEMPERATURES = {"c": "°C", "celsius": "°C", "centigrade": "°C", "f": "°F", "fahrenheit": "°F"}
CURRENCIES = {"\\$": "$", "$": "$", "€": "€", "£": "£", "¥": "¥", "₹": "₹", "¢": "¢", "元": "¥"}
# Any other plural is a counted thing (`57 kites`), unless it is part of a number, an operation or a remark.
PLURAL = re.compile(r"(?=[a-z]*[aeiouy])(?![a-z]*(?:ss|us|is|ths|wards)$)([a-z]{3,})s", re.ASCII)
UNCOUNTED = """
plus minus less unless versus equals ones twos threes fours fives sixes sevens eights nines tens halves thirds quarters scores
lakhs crores cubes powers bases mods logs fails does exists divides exceeds satisfies works holds remains always perhaps
sometimes
"""
NOT_COUNTED = {*UNCOUNTED.split(), *(f"{scale}s" for scale in SCALES)}
# The first of two words does not change the number (`5 hot dogs`), unless it is a unit or one of these: `5 million people`.
FACTOR_WORDS = """
half third quarter lakh crore score gross pair twice double doubled triple tripled fold factorial root divided over per times
than point negative not none without repeating repeated recurring kilo mega
"""
CHANGING = {*NOT_COUNTED, *SCALES, *ONES, *TENS, *FACTOR_WORDS.split()}
QUALIFIER = re.compile(r"(?![a-z]*ths?$)[a-z]{3,}", re.ASCII)  # no ordinal: `5 tenth parts` are a half


def find_unit(word: str) -> str | None:
    """Returns the canonical name of a unit or a counted thing, singular or plural, or None."""
    spellings = (word, word.lower(), word.rstrip(".")) if len(word) > 1 else (word,)
    for name in spellings:
        for singular in _list_singulars(name):
            if singular in UNITS and (singular == name or len(singular) > 1):
                return UNITS[singular]
    return next((singular for singular in _list_singulars(word.lower()) if singular in COUNTS), None)


def _find_counted(word: str) -> str | None:
    """Returns the singular of a plural that is no unit and may be counted, or None."""
    plural = PLURAL.fullmatch(word)
    return plural[1] if plural and word not in NOT_COUNTED else None


def _find_counted_in_two_words(first: str, rest: list[str]) -> str | None:
    """Returns the singular of a counted thing in two words, such as `hot dog`, or None."""
    noun = rest[0][1:] if len(rest) == 1 and rest[0][0] == '"' else ""
    unit = find_unit(noun) if noun else None
    singular = _find_counted(noun) if unit is None else unit if unit in COUNTS else None
    changes = first in CHANGING or find_unit(first) or not QUALIFIER.fullmatch(first)
    return None if changes or not singular else f"{first} {singular}"


def _list_singulars(word: str) -> tuple[str, str, str]:
    return word, word.removesuffix("s"), word.removesuffix("es")


def read_unit(tokens: list[str]) -> tuple | None:
    """Reads tokens such as `"m / "s ^ 2` or `"square "feet` as ((unit, power), ...), sorted, or returns None."""
    powers: dict[str, int] = {}
    sign, ahead, place, expects = 1, 1, 0, True
    # `"newton-meters` is two words.
    tokens = [word for token in tokens for word in (token.replace("-", '-"').split("-") if token[0] == '"' else [token])]
    if '"of' in tokens[1:-1]:
        place = tokens.index('"of', 1)
        measure, things = read_unit(tokens[:place]), [token[1:] for token in tokens[place + 1 :] if token[0] == '"']
        plain = 0 < len(things) == len(tokens) - place - 1 < 4 and all(QUALIFIER.fullmatch(thing) for thing in things)
        counted = plain and CHANGING.isdisjoint(things) and dict(measure or ()).keys().isdisjoint(("%", "°"))
        return tuple(sorted((*measure, (" ".join(["of", *things]), 1)))) if measure and counted else None
    tokens = tokens[2:] if tokens[:2] in (['"of', '"a'], ['"of', '"an']) else tokens
    tokens = tokens[:-1] if tokens[1:] and tokens[-1][1:] in REMARKS else tokens
    while place < len(tokens):
        token = tokens[place]
        place += 1
        if token in ("/", "\\cdot", "*") or token == '"per':
            if expects and (powers or token not in ('"per', "/")):
                return None
            sign, expects = (-1 if token in ("/", '"per') else sign), True
            continue
        word = token[1:] if token[0] in '"`' else CURRENCIES.get(token, token if token in ("°", "%") else "")
        if word.lower() in POWERS and expects and place < len(tokens) and not powers.get(word):
            if word.lower() in ("squared", "cubed"):
                return None
            ahead = POWERS[word.lower()]
            continue
        if word.lower() in ADJECTIVES and expects and place < len(tokens):
            continue
        unit = find_unit(word) or (_find_counted(word) if token[0] == '"' else None) if word else None
        if unit == "°" and place < len(tokens) and (scale := tokens[place].lstrip('"`').lower()) in TEMPERATURES:
            unit = TEMPERATURES[scale]
            place += 1
        units = COMPOUNDS.get(word) or COMPOUNDS.get(word.lower()) or ({unit: 1} if unit else None)
        if not units:
            thing = _find_counted_in_two_words(word, tokens[place:]) if place == 1 else None
            return ((thing, 1),) if thing else None
        power, place = _read_power(tokens, place)
        for part, exponent in units.items():
            powers[part] = powers.get(part, 0) + sign * exponent * (power or ahead)
        ahead, expects = 1, False
    return tuple(sorted(powers.items())) if powers and not expects else None


def _read_power(tokens: list[str], place: int) -> tuple[int | None, int]:
    """Returns the exponent at a position, or None, and the position after it."""
    if match := re.match(r"\^(?:\{(-?\d)\}|(-?\d)(?!\d))", "".join(tokens[place : place + 5])):
        return int(match[1] or match[2]), place + len(match[0])
    word = "".join(tokens[place : place + 1]).lower()
    return (POWERS[word[1:]], place + 1) if word in ('"squared', '"cubed') else (None, place)
