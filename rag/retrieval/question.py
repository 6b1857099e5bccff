"""A follow-up question in a form that can be searched for on its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.language import LETTERS, MARKS, UNSPACED
from rag.types import Message

WORDS = re.compile(rf"{LETTERS}(?:['’-]{LETTERS})*")
# Words that point back into the conversation, or open a question that continues the one before.
POINTERS = re.compile(
    r"\b(it|its|they|them|their|this|these|those|he|him|his|she|her|ones"
    r"|ihn|ihm|ihr|ihre|ihren|dieser|diese|dieses|davon|dazu|dort|dafür"
    # In small letters only: ESA and CES are names. "quelle", "este" and "dit" are other words elsewhere.
    r"|(?-i:ils|elles?|celui|celle|ceux|celles|cela|ça|cet|cette|ces"
    r"|él|ellos|ellas?|eso|esto|es[ae]s|est[ao]s|esos|aquell?[oa]s?"
    r"|esso|essa|essi|quest[oaie]|quell[oai]|eles?|elas?|isso|isto|disso|deze|hij|zij|daarvan|daarvoor)"
    r"|هذا|هذه|ذلك|تلك)\b"
    r"|(?<!其)它们?|(?<!其)他们?|她们?|这些?个?|那些|那个|それ(?!ぞれ)|これ(?!から|まで)|あれ(?!ば)"
    rf"|(?<![\w{MARKS}])(?:इस|उस|यह|वह)(?:का|की|के|में|से|को)?(?![\w{MARKS}])",
    re.IGNORECASE,
)
OPENERS = (
    "and ",
    "but ",
    "or ",
    "also ",
    "what about",
    "how about",
    "und ",
    "was ist mit",
    "wie ist es mit",
    "et ",
    "¿y ",
    "y ",
    "qu'en est-il",
    "¿qué hay de",
    "那么",
    "还有",
    "और ",
    "وماذا عن",
)
# "And in Zurich?" behind "... in Oslo?": a name or a number, with its preposition, and nothing else.
MONTH = (
    r"(?:january|february|march|april|(?-i:May)|june|july|august|september|october|november|december|"
    r"januar|februar|märz|mai|juni|juli|oktober|dezember|janvier|février|mars|avril|juin|juillet|août|"
    r"septembre|octobre|novembre|décembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|"
    r"octubre|noviembre|diciembre)"
)
NAME = rf"(?:\d[\d.,]*|[^\W\d_a-z][\w'’-]*|(?i:{MONTH}\b))"
PREPOSITION = (
    r"(?:in|on|at|for|of|to|from|by|with|during|since|until|für|im|am|von|aus|nach|bei|mit|"
    r"en|pour|à|au|aux|du|de|dans|para|por|a)"
)
# "And the lowest?" behind "Which month had the highest ...?".
EXTREMES = [
    ("highest", "lowest"), ("largest", "smallest"), ("biggest", "smallest"), ("most", "fewest"),
    ("most", "least"),
    ("longest", "shortest"), ("oldest", "newest"), ("earliest", "latest"), ("first", "last"),
    ("best", "worst"), ("maximum", "minimum"), ("most expensive", "cheapest"),
    ("höchste", "niedrigste"), ("höchsten", "niedrigsten"), ("größte", "kleinste"), ("größten", "kleinsten"),
    ("meisten", "wenigsten"), ("teuerste", "günstigste"), ("plus élevé", "plus bas"),
    ("plus élevée", "plus basse"), ("plus grand", "plus petit"), ("plus grande", "plus petite"),
    ("mayor", "menor"), ("más alto", "más bajo"), ("más alta", "más baja"),
]  # fmt: skip
TURNED = re.compile(
    r"(?:and|but|und|et|y|¿y|what about|how about)\s+(?:the|which|what|der|die|das|le|la|les|el|los)?\s*"
    r"(?P<extreme>\w+(?:\s\w+)?)\s*[?.!]*",
    re.IGNORECASE,
)
EXCHANGE = re.compile(
    r"(?i:and|but|or|und|oder|et|y|¿y|what about|how about|was ist mit|wie ist es mit)\s+"
    rf"(?:(?P<before>(?i:{PREPOSITION}))\s+)?(?P<name>{NAME}(?:\s+{NAME})*)\s*[?.!]*"
)
SHORT_WORDS = 3
TURNS_BACK = 3
# Of the answer before: its beginning names what it is about.
ANSWER_CHARACTERS = 300
# What the last turn counts beside the turn with its context (qa/mtrag_human: recall@10 .84 alone, .88 so).
LEANING_SHARE, STANDING_SHARE = 0.5, 0.8
FEW_WORDS = 2
FUNCTION_WORDS = frozenset(
    WORDS.findall(
        "a an and are about can could did do does for from get give had has have how i in is me more much "
        "many my of on please should tell that the there to was we were what when where which who why will "
        "with would you your wie wer wo wann warum ist sind hat haben kann ich wir man der die das ein eine "
        "und mir mehr viel viele über für mit"
    )
)


def standalone(question: str, history: Sequence[Message] = ()) -> str:
    """The question with the user's turn that it leans on; unchanged when it leans on none.

    "And in Zurich?" behind "How high is the limit in Oslo?" becomes "How high is the limit in Zurich?"; what
    says more than another name has the earlier turn put before it.
    """
    asked = [message.content for message in history if message.role == "user"][-TURNS_BACK:]
    question = question.strip()
    if not asked or not leans_back(question):
        return question
    *earlier, last = asked
    before = standalone(last, [Message("user", each) for each in earlier])
    return exchanged(question, before) or turned(question, before) or f"{before} {question}"


def turned(question: str, before: str) -> str:
    """The question before with its extreme turned round, as "And the lowest?" asks; empty: it does not."""
    follow_up = TURNED.fullmatch(question)
    if not follow_up:
        return ""
    asked = follow_up["extreme"].casefold()
    for pair in EXTREMES:
        for old, new in (pair, pair[::-1]):
            if asked == new and len(found := re.findall(rf"\b{old}\b", before, re.IGNORECASE)) == 1:
                return re.sub(rf"\b{re.escape(found[0])}\b", new, before)
    return ""


def exchanged(question: str, before: str) -> str:
    """The question before, with the name or number that the follow-up puts in its place; empty: none does."""
    follow_up = EXCHANGE.fullmatch(question)
    if not follow_up:
        return ""
    number = follow_up["name"][0].isdigit()
    month = re.fullmatch(MONTH, follow_up["name"], re.IGNORECASE)
    led = rf"(?i:\b{follow_up['before']})" if follow_up["before"] else r"(?<=[\w,])"
    name = r"\d[\d.,]*(?<![.,])" if number else r"[^\W\d_a-z][\w'’-]*(?:\s+[^\W\d_a-z][\w'’-]*)*"
    if month:
        # A month takes the place of a month, whatever stands in front of that.
        led, name = r"(?<=[\w,])", rf"(?i:{MONTH})"
    places = list(re.finditer(rf"{led}\s+(?P<name>{name})(?![\w-])", before))
    if len(places) != 1:
        return ""
    start, end = places[0].span("name")
    return before[:start] + follow_up["name"] + before[end:]


def in_context(question: str, history: Sequence[Message]) -> str:
    """The question behind the user's turn and the beginning of the answer before it; empty without those.

    Not a question any more, but what is near it in the conversation: search with both and blend.
    """
    asked = [message.content for message in history if message.role == "user"][-1:]
    answered = [message.content[:ANSWER_CHARACTERS] for message in history if message.role == "assistant"][
        -1:
    ]
    return " ".join([*asked, *answered, question]).strip() if asked else ""


def own_share(question: str) -> float:
    """What the last turn counts against the same turn in its context."""
    return LEANING_SHARE if leans_back(question) else STANDING_SHARE


def unclear(question: str, history: Sequence[Message] = ()) -> str:
    """The word that points at nothing ("it" in "How long is it kept?"), to ask back about; empty if clear.

    Only where no turn came before and too few words are left to search for.
    """
    if any(message.role == "user" for message in history):
        return ""
    pointer = POINTERS.search(question)
    if pointer is None:
        return ""
    left = POINTERS.sub(" ", question)
    if UNSPACED.search(left):
        return ""
    words = {word.casefold() for word in WORDS.findall(left)} - FUNCTION_WORDS
    named = re.search(r"\d|(?<=\s)[^\W\d_a-z]\w", question) is not None
    return pointer.group() if len(words) <= FEW_WORDS and not named else ""


def count(text: str) -> int:
    """Words of a text; where they have no spaces between them, two characters are one."""
    runs = UNSPACED.findall(text)
    return len(WORDS.findall(UNSPACED.sub(" ", text))) + sum(len(run) + 1 for run in runs) // 2


def leans_back(question: str) -> bool:
    """Whether a question cannot be understood without the turn before it."""
    return (
        count(question) <= SHORT_WORDS
        or question.casefold().lstrip().startswith(OPENERS)
        or POINTERS.search(question) is not None
    )
