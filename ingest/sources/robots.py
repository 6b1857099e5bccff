"""robots.txt (RFC 9309): which paths of a site a crawler may visit, and how slowly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

MAX_BYTES = 512_000
MAX_DELAY_S = 30.0


@dataclass(frozen=True, slots=True)
class Robots:
    """The rules for us: (may visit, pattern) in any order, and the pause asked for between two visits."""

    rules: tuple[tuple[bool, str], ...] = ()
    delay_s: float = 0.0

    def allows(self, path: str) -> bool:
        """Whether a path (with its query) may be visited: the longest pattern decides, on a tie Allow."""
        path = normal(path)
        if path == "/robots.txt":
            return True
        fitting = [(len(pattern), may) for may, pattern in self.rules if fits(path, pattern)]
        return max(fitting)[1] if fitting else True


def parse(text: str, agent: str) -> Robots:
    """The groups of robots.txt that name this agent; if none does, those for everybody."""
    named: list[tuple[str, str]] = []
    everybody: list[tuple[str, str]] = []
    targets: list[list[tuple[str, str]]] = []
    is_head, is_named = False, False
    for line in text[:MAX_BYTES].removeprefix("\ufeff").splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "user-agent":
            if not is_head:
                targets = []
            is_head = True
            if value == "*":
                targets.append(everybody)
            elif value and value.lower() == agent.lower():
                targets.append(named)
                is_named = True
        elif key in ("allow", "disallow", "crawl-delay"):
            is_head = False
            for target in targets:
                target.append((key, value))
    chosen = named if is_named else everybody
    rules = tuple((key == "allow", normal(value)) for key, value in chosen if key != "crawl-delay" and value)
    return Robots(rules, max((seconds(value) for key, value in chosen if key == "crawl-delay"), default=0.0))


def fits(path: str, pattern: str) -> bool:
    """Whether a path begins with a pattern, in which * is anything and a final $ the end."""
    # Searched piece by piece: a regular expression could be made to take forever by a hostile robots.txt.
    is_anchored = pattern.endswith("$")
    first, *others = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    if not others:
        return not is_anchored or at == len(path)
    for piece in others[:-1]:
        found = path.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    last = others[-1]
    if is_anchored:
        return path.endswith(last) and len(path) - len(last) >= at
    return path.find(last, at) >= 0


def normal(path: str) -> str:
    """A path with the same characters escaped however it was written."""
    escaped = quote(path, safe="/%?&=*$:;,@!'()+~-._#[]|")
    return re.sub(r"%([0-9a-fA-F]{2})", respelt, escaped)


def respelt(found: re.Match[str]) -> str:
    """An escape in capitals, or the character itself where none was needed."""
    character = chr(int(found[1], 16))
    is_unreserved = character.isascii() and (character.isalnum() or character in "-._~")
    return character if is_unreserved else found[0].upper()


def seconds(value: str) -> float:
    try:
        asked = float(value)
    except ValueError:
        return 0.0
    return min(asked, MAX_DELAY_S) if asked > 0 else 0.0
