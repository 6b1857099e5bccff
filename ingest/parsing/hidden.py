"""Characters that a reader cannot see but a model can: removed from every document."""

from __future__ import annotations

import re

# Zero-width characters, bidi controls, invisible operators, tag characters, variation selectors 17-256, and
# the control characters other than tab and line feed. The joiners U+200C and U+200D stay: Persian, Hindi and
# emoji are misspelt without them. Lone surrogates cannot be stored.
HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e01ef]"
)
LINE_ENDS = re.compile("\r\n|[\r\x0c\x85\u2028\u2029]")


def clean(text: str) -> str:
    """The text with line feeds as its only line ends and nothing hidden in it."""
    return HIDDEN.sub("", LINE_ENDS.sub("\n", text)).strip()
