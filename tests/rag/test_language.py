"""The language of a document, by a sample of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.language import LANGUAGES, SAMPLE, is_latin, language, middle, small_words, spoken

CORPUS = Path(__file__).resolve().parents[3] / "shared/data/dev_set/qa/xquad_multilingual/corpus.jsonl"


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("en", "The pump has to be checked once a year by the person who is responsible for it."),
        ("de", "Die Pumpe ist einmal im Jahr von der Person zu prüfen, die für sie verantwortlich ist."),
        ("fr", "La pompe doit être contrôlée une fois par an par la personne qui en est responsable."),
        ("es", "La bomba debe ser revisada una vez al año por la persona que es responsable de ella."),
        (
            "pt",
            "A bomba deve ser verificada uma vez por ano pela pessoa que é responsável por ela, não antes.",
        ),
        ("it", "La pompa deve essere controllata una volta all'anno dalla persona che ne è responsabile."),
        ("nl", "De pomp moet één keer per jaar worden gecontroleerd door de persoon die er voor zorgt."),
        (
            "sv",
            "Pumpen ska kontrolleras en gång om året av den person som är ansvarig för den.",
        ),
        (
            "da",
            "Pumpen skal kontrolleres en gang om året af den person, der er ansvarlig for den.",
        ),
        ("pl", "Pompa musi być sprawdzana raz w roku przez osobę, która jest za nią odpowiedzialna."),
        ("cs", "Čerpadlo musí být jednou za rok zkontrolováno osobou, která je za něj odpovědná."),
        ("ro", "Pompa trebuie să fie verificată o dată pe an de către persoana care este responsabilă."),
        ("tr", "Pompa yılda bir kez bu işten sorumlu olan kişi için ve onun tarafından kontrol edilir."),
        ("fi", "Pumppu on tarkastettava kerran vuodessa, ja se on sen henkilön tehtävä, joka siitä vastaa."),
        ("hu", "A szivattyút évente egyszer ellenőrizni kell, és ez az a feladat, amely nem hagyható el."),
        ("vi", "Máy bơm phải được kiểm tra một lần trong năm bởi những người có trách nhiệm với nó."),
        ("id", "Pompa ini harus diperiksa sekali dalam setahun oleh orang yang bertanggung jawab untuk itu."),
        ("ru", "Насос должен проверяться один раз в год лицом, которое за него отвечает."),
        ("uk", "Насос має перевірятися один раз на рік особою, яка за нього відповідає, і не пізніше."),
        ("bg", "Помпата трябва да се проверява веднъж годишно от лицето, което отговаря за нея."),
        ("el", "Η αντλία πρέπει να ελέγχεται μία φορά το χρόνο από τον υπεύθυνο."),
        ("ar", "يجب فحص المضخة مرة واحدة في السنة من قبل الشخص المسؤول عنها."),
        ("fa", "پمپ باید سالی یک بار توسط شخص مسئول بررسی گردد."),
        ("he", "יש לבדוק את המשאבה פעם בשנה על ידי האדם האחראי לה."),
        ("hi", "पंप की वर्ष में एक बार उस व्यक्ति द्वारा जाँच की जानी चाहिए जो इसके लिए जिम्मेदार है।"),
        ("zh", "水泵必须每年由负责人检查一次。"),
        ("ja", "ポンプは責任者が年に一度点検しなければなりません。"),
        ("ko", "펌프는 책임자가 일 년에 한 번 점검해야 합니다."),
        ("th", "ต้องตรวจสอบปั๊มปีละครั้งโดยผู้รับผิดชอบ"),
        ("", "4711 0815 12,50 EUR"),
        ("", "Xyzzy plugh qwerty asdf uiop"),
    ],
)
def test_the_language_of_a_sentence(expected: str, text: str) -> None:
    assert language([text]) == expected


def test_the_sample_comes_from_the_middle() -> None:
    texts = ["a" * 10_000, "b" * SAMPLE, "c" * 10_000]
    assert set(middle(texts)) <= {"b", "\n"}
    assert middle(["short", "text"]) == "short\ntext"


@pytest.mark.skipif(not CORPUS.exists(), reason="the developer set is not beside this repository")
def test_paragraphs_of_six_languages() -> None:
    rows = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]
    right = sum(language([row["text"]]) == row["metadata"]["lang"] for row in rows)
    assert right / len(rows) >= 0.99


def test_small_words_are_known_by_language() -> None:
    assert {"el", "quién"} <= small_words("es") and "what" in small_words("en")
    assert {"什么"} <= small_words("zh") and {"कितना"} <= small_words("hi")
    assert small_words("") == frozenset() == small_words("xx")


@pytest.mark.parametrize(
    "text",
    ["A laptop is replaced at no cost.", "A badge costs a fee. No badge, no entry.", "If a pump has a leak"],
)
def test_small_words_of_english_are_not_those_of_others(text: str) -> None:
    assert language([text]) == "en"


@pytest.mark.parametrize(
    ("text", "latin"),
    [("Straße 20 ºC, 5 µm", True), ("Ελλάδα", False), ("年", False), ("حق", False)],
)
def test_letters_that_are_latin(text: str, latin: bool) -> None:
    assert is_latin(text) is latin


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How long does it take?", "en"),
        ("Darf ich rauchen?", "de"),
        ("Où fumer ?", "fr"),
        ("¿Y en 2023?", "es"),
        ("Hoeveel verlofdagen?", "nl"),
        # A name or a letter of another language is none, and what is in none of these is not the nearest one.
        ("Los Angeles office address?", "en"),
        ("Zürich office opening hours", "en"),
        ("de Gaulle biography", "en"),
        ("A4 paper", "en"),
        ("VPN", "en"),
        ("", "en"),
        ("Jaký je rozpočet na tiskárny?", "en"),
        ("Mennyi a nyomtatók költségvetése?", "en"),
        ("打印机的年度预算是多少？", "en"),
    ],
)
def test_the_language_of_a_few_words_among_some(question: str, expected: str) -> None:
    assert spoken(question, ["en", "de", "fr", "es", "nl"]) == expected


def test_the_language_of_a_few_words_among_all() -> None:
    assert spoken("Jaký je rozpočet na tiskárny?", LANGUAGES) == "cs"
    assert spoken("Nonsense", LANGUAGES) == "en"
