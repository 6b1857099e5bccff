"""What a page says and does not show: text that a reader cannot see must not be answered from.

Only what stands in the element itself counts. Style sheets are left alone: pages fold sections away with
them that a click shows.
"""

from __future__ import annotations

import re

Colour = tuple[int, int, int]

NAMED: dict[str, Colour] = {"white": (255, 255, 255), "black": (0, 0, 0)}
WHITE = NAMED["white"]
HEX = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6})$")
RGB = re.compile(r"rgba?\((\d{1,3}),(\d{1,3}),(\d{1,3})(?:,(\d?\.?\d+))?\)")
GONE = re.compile(
    r"(?:^|;)(?:display:none|visibility:(?:hidden|collapse)|opacity:0(?:\.0*)?(?=[;!]|$)|color:transparent|"
    r"(?:left|top|text-indent):-\d{4,}px)"
)
TINY = re.compile(r"(?:^|;)font-size:(?:0(?:\.0*)?(?:[a-z%]+)?|0?\.\d+p[xt]|1(?:\.0*)?p[xt])(?:!|;|$)")
DECLARED = re.compile(r"(?:^|;)(color|background(?:-color)?):([^;!]+)")
ALIKE = 8


def squeezed(style: str) -> str:
    """A style attribute without white space, in lower case."""
    return "".join(style.split()).lower()


def is_gone(style: str) -> bool:
    """Whether a squeezed style takes the element and all in it out of sight."""
    return GONE.search(style) is not None or TINY.search(style) is not None


def colours(style: str, attributes: dict[str, str]) -> tuple[Colour | None, Colour | None]:
    """The colours of text and background that an element declares, None for what it does not."""
    found = {name[:5]: colour(value) for name, value in DECLARED.findall(style)}
    text = found.get("color") or colour(attributes.get("color", ""))
    return text, found.get("backg") or colour(attributes.get("bgcolor", ""))


def colour(value: str) -> Colour | None:
    """A colour as CSS or an Office format writes it; None for one that is not understood."""
    value = value.strip().lower()
    if value in NAMED:
        return NAMED[value]
    if match := RGB.match(value):
        red, green, blue = (min(255, int(part)) for part in match.groups()[:3])
        return red, green, blue
    if match := HEX.match(value):
        digits = match.group(1)
        digits = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)
    return None


def alike(one: Colour, other: Colour) -> bool:
    """Whether nobody can tell the two colours apart."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= ALIKE


def warning(count: int) -> tuple[str, ...]:
    """What to say about passages that were left out because nobody sees them."""
    return (f"{count} hidden passages removed",) if count else ()
