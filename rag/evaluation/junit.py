"""An evaluation as JUnit XML, which every CI can show: one test per score, failed where it got worse."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from rag.evaluation.comparison import Change
from rag.evaluation.record import KINDS, Record


def junit(record: Record, changes: Sequence[Change] = ()) -> str:
    """The XML text of one test suite."""
    changed = {each.name: each for each in changes}
    measures = record.measures()
    suite = ElementTree.Element(
        "testsuite",
        name=f"rag eval {record.kind} {record.dataset}",
        tests=str(len(measures)),
        failures=str(sum(each.is_worse for each in changes)),
        errors="0",
        skipped="0",
        time=f"{sum(record.values('seconds')):.3f}",
        timestamp=record.date,
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in {**record.bound, "questions": str(len(record.asked))}.items():
        ElementTree.SubElement(properties, "property", name=name, value=value)
    for name, measured in measures.items():
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"rag.eval.{record.kind}", name=KINDS[name].label, time="0"
        )
        if (change := changed.get(name)) and change.is_worse:
            told = f"{change.before:.4f} before, {change.now:.4f} now"
            failure = ElementTree.SubElement(case, "failure", message=told, type="worse than the baseline")
            failure.text = f"worse by {change.drop.mean:.4f} [{change.drop.low:.4f}, {change.drop.high:.4f}]"
        output = ElementTree.SubElement(case, "system-out")
        output.text = (
            f"{measured.mean:.4f} [{measured.low:.4f}, {measured.high:.4f}], {measured.count} questions"
        )
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
