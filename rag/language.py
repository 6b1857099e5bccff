"""Which language a text is in: by its script, within a script by letters and small words."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

# What stands over, under or behind a letter and is none: accents, points, vowel signs of India and beyond.
MARKS = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u07a6-\u07b0\u0900-\u0903\u093a-\u094f"
    "\u0951-\u0957\u0962\u0963\u0981-\u0983\u09bc-\u09d7\u0a01-\u0a03\u0a3c-\u0a51\u0a70\u0a71\u0a75\u0a81-\u0a83"
    "\u0abc-\u0acd\u0b01-\u0b03\u0b3c-\u0b57\u0b82\u0bbe-\u0bd7\u0c00-\u0c04\u0c3c-\u0c56\u0c81-\u0c83\u0cbc-\u0cd6"
    "\u0d00-\u0d03\u0d3b-\u0d57\u0d81-\u0d83\u0dca-\u0df3\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc"
    "\u0ec8-\u0ece\u0f71-\u0f84\u0f8d-\u0fbc\u102b-\u103e\u17b4-\u17d3\u200c\u200d"
)
LETTERS = rf"[^\W_]+(?:[{MARKS}]+[^\W_]*)*"  # of one word
# Scripts that put no spaces between words: Thai to Khmer, kana, Han.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")

SAMPLE = 4000
LEAST_LETTERS = 12
LEAST_HITS = 2
# The first word of a letter's Unicode name is its script.
SCRIPTS = {
    "HANGUL": "ko",
    "GREEK": "el",
    "THAI": "th",
    "DEVANAGARI": "hi",
    "HEBREW": "he",
    "BENGALI": "bn",
    "TAMIL": "ta",
    "TELUGU": "te",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "ETHIOPIC": "am",
    "KHMER": "km",
    "LAO": "lo",
    "MYANMAR": "my",
}
# Letters that only some languages of a script have.
ARABIC = {"fa": "پچژگ", "ur": "ٹڈڑںےھ"}
CYRILLIC = {"uk": "іїєґ", "be": "ўі", "sr": "ђћљњџј", "mk": "ѓќѕј", "bg": "", "kk": "әғқңөұүһ"}
BULGARIAN = frozenset("се на от за да че като са със след това който бъде към".split())  # noqa: SIM905
RUSSIAN = frozenset("и в не на что с как это из для он его но все так или был к".split())  # noqa: SIM905
LATIN = {
    "en": "the of and to in is that for it was with as on be by this are from or which have not but an you a "
    "at if has can no",
    "de": "der die und den das von zu mit ist des im für auf dem nicht ein eine als auch sich werden sind",
    "fr": "le la les et des du en est une un dans pour que qui par sur pas au avec ce plus sont il aux cette",
    "es": "el la los de que y en las del se por un con una para es no su al como más pero fue este son",
    "pt": "o a os as de que e do da em um uma para com não por mais dos das no na ao são como foi se pelo",
    "it": "il di che la e per un una del della in non sono con le dei si da nel alla i gli anche più",
    "nl": "de het een van en in is dat op te voor met zijn niet aan er door bij ook als werd naar deze uit",
    "sv": "och att det som en på är av för med den till inte om har ett de från vid kan eller var sig",
    "da": "og at det en den til af som på er for med ikke der de har et var fra men kan eller blev også",
    "no": "og det en som på er av for til med at den ikke har de et var fra kan eller om ble også etter seg",
    "fi": "ja on ei se että oli hän mutta joka myös tai kun ovat sen kuin mukaan sekä voi niin olla vuonna",
    "pl": "w i na z do nie się że jest to o od jak przez po dla oraz ale za są był które który tym lub",
    "cs": "a v se na je že s z do o k to jako i pro by ve jsou byl po podle nebo která které také při",
    "sk": "a v sa na je že s z do o k to ako aj pre by vo sú bol po podľa alebo ktorá ktoré tiež pri",
    "hu": "a az és hogy nem is egy van volt meg ez csak de vagy mint már még azt ki el lehet kell szerint",
    "ro": "și de în a la cu pe care din nu o un să este pentru mai au sau ca prin fost sunt al dar după",
    "tr": "ve bir bu da de için ile olarak olan çok daha gibi kadar sonra ancak en her ya veya ise değil",
    "id": "yang dan di dari untuk dengan pada ini dalam tidak itu ke adalah oleh akan sebagai atau juga bisa",
    "vi": "và của là có được cho trong các không một với những người đã này từ khi để theo tại về",
    "ca": "el la els de que i en les del per un amb una és no al com més però va són seva aquest dels",
    "hr": "i u je na se da su za od s a kao koji što ili ne bi iz do po koja nije te biti prema samo",
    "et": "ja on ei et see ta oli kui ka aga mis või ning selle oma mida siis nii veel pärast kes",
    "lv": "un ir ar no par ka uz kas tas bija to lai vai kā arī pēc pie gan bet nav šis tika",
    "lt": "ir yra kad su į iš tai kaip buvo bet ne apie po arba už jo taip per nuo prie ar šis dėl",
    "sl": "in je v na za se da so z od pri bi kot tudi ne s po ki ali iz do lahko biti pa",
}
OWN = {
    "de": "ßäöü",
    "fr": "çèêœàùû",
    "es": "ñ¿¡áíóú",
    "pt": "ãõçâê",
    "it": "àèìòù",
    "sv": "åäö",
    "da": "æøå",
    "no": "æøå",
    "fi": "äö",
    "pl": "łąęśżźćń",
    "cs": "ěřůčšž",
    "sk": "ľĺŕôčšž",
    "hu": "őűáéö",
    "ro": "ăâîșțşţ",
    "tr": "ığşçöü",
    "vi": "ơưđạảấầậếệộớợụ",
    "ca": "çàèòï·",
    "hr": "čćđšž",
    "et": "õäöü",
    "lv": "āēīūģķļņšž",
    "lt": "ėįųąęčšž",
    "sl": "čšž",
}
# Beside the words above: not for telling longer texts apart.
_MORE = tomllib.loads(Path(__file__).with_name("language.toml").read_text("utf-8"))
QUESTION_WORDS, SMALL_WORDS = (
    {name: frozenset(words.split()) for name, words in _MORE[table].items()} for table in ("asking", "small")
)
# English first: what cannot be told is taken for it.
LANGUAGES = tuple(QUESTION_WORDS)
UNTOLD = ("", *LANGUAGES)  # for those who have to know that it cannot be told
LAST_LATIN = "\u024f"
ONE_WORD = 1.0  # is found in any language
WORDS = {language: frozenset(words.split()) for language, words in LATIN.items()}
WORD = re.compile(r"[^\W\d_]+")


def language(texts: Iterable[str]) -> str:
    """The language of a document as ISO 639-1, by a sample from its middle; empty when it cannot be told."""
    sample = middle(list(texts)).lower()
    if sample.isascii():
        return by_words(sample)
    letters = [character for character in sample if character.isalpha()]
    if len(letters) < LEAST_LETTERS:
        return ""
    scripts = Counter(unicodedata.name(each, "").partition(" ")[0] for each in letters)
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    # East Asian texts quote Latin words; a letter of theirs says more than one of those.
    east = kana + scripts["CJK"]
    if 3 * east > len(letters):
        return "ja" if 10 * kana > east else "zh"
    script, count = scripts.most_common(1)[0]
    if 3 * count < len(letters):
        return ""
    if script == "LATIN":
        return by_words(sample)
    if script == "CYRILLIC":
        return cyrillic(sample)
    if script == "ARABIC":
        return by_letters(sample, ARABIC, least=0.01 * count) or "ar"
    return SCRIPTS.get(script, "")


def spoken(text: str, among: Sequence[str]) -> str:
    """The one of these languages that a few words are in; the first if it is none, or cannot be told."""
    lower = text.lower()
    words = WORD.findall(lower)

    def hits(name: str) -> float:
        known = [word for word in words if word in small_words(name)]
        asking = sum(word in QUESTION_WORDS.get(name, ()) for word in known)
        own = sum(each in OWN.get(name, "") for each in lower) if known else 0
        return len(known) + asking / 2 + own / 2

    best = max(dict.fromkeys([*among, *LANGUAGES]), key=hits)
    return best if best in among and hits(best) > ONE_WORD else among[0]


def is_latin(text: str) -> bool:
    """Whether all letters of a text are Latin ones."""
    return not any(each > LAST_LATIN and each.isalpha() for each in text)


@cache
def small_words(name: str) -> frozenset[str]:
    """Words of a language that say little on their own, its question words among them, in lower case."""
    none: frozenset[str] = frozenset()
    return none.union(*(table.get(name, none) for table in (WORDS, QUESTION_WORDS, SMALL_WORDS)))


def middle(texts: list[str]) -> str:
    """Some thousand characters from the middle: the start is often a cover, the end a list of names."""
    total = sum(map(len, texts))
    skipped, taken, size = (total - SAMPLE) // 2, list[str](), 0
    for text in texts:
        if skipped >= len(text):
            skipped -= len(text)
            continue
        taken.append(text[max(0, skipped) :][: SAMPLE - size])
        size, skipped = size + len(taken[-1]), 0
        if size >= SAMPLE:
            break
    return "\n".join(taken)


def by_words(sample: str) -> str:
    """Among languages in Latin letters: the one with most of its small words, letters of its own beside."""
    words = Counter(WORD.findall(sample))
    total = sum(words.values())
    letters = Counter(character for character in sample if not character.isascii())
    scores = {}
    for language, small in WORDS.items():
        hits = sum(count for word, count in words.items() if word in small)
        own = sum(letters[character] for character in OWN.get(language, ""))
        foreign = sum(letters.values()) - own
        scores[language] = hits + own - 0.3 * foreign if hits >= LEAST_HITS else 0.0
    best = max(scores, key=lambda each: scores[each])
    return best if scores[best] > 0.04 * total else ""


def cyrillic(sample: str) -> str:
    if found := by_letters(sample, CYRILLIC, least=3):
        return found
    words = Counter(WORD.findall(sample))
    bulgarian = sum(words[word] for word in BULGARIAN - RUSSIAN)
    return "bg" if bulgarian > sum(words[word] for word in RUSSIAN - BULGARIAN) else "ru"


def by_letters(sample: str, alphabets: dict[str, str], *, least: float) -> str:
    """The language most of whose own letters occur."""
    letters = Counter(sample)
    counts = {name: sum(letters[each] for each in alphabet) for name, alphabet in alphabets.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] > least else ""
