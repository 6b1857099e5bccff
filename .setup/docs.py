"""Writes the parts of README.md that the code knows: file map, settings, errors.

`make format` runs it, a test checks that it was run.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from pydantic_core import PydanticUndefined

from rag.errors import by_name
from rag.settings import Section, Settings

ROOT = Path(__file__).resolve().parent.parent


def first_sentence(path: Path) -> str:
    """The sentence that a module or package says about itself."""
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    return re.split(r"(?<=[.!?])\s", " ".join(doc.split()), maxsplit=1)[0]


def file_map() -> str:
    """Every folder and module of the product with its own sentence."""
    lines = ["```"]
    for top in ("rag", "ingest"):
        for folder in [
            ROOT / top,
            *sorted(p for p in (ROOT / top).iterdir() if (p / "__init__.py").exists()),
        ]:
            depth = "" if folder.parent == ROOT else "  "
            lines.append(f"{depth + folder.name + '/':24}{first_sentence(folder / '__init__.py')}".rstrip())
            for module in sorted(folder.glob("*.py")):
                if not module.name.startswith("__"):
                    lines.append(f"{depth + '  ' + module.name:24}{first_sentence(module)}")
    return "\n".join([*lines, "```"])


def settings_table() -> str:
    """One row per setting: its name in rag.toml, its default, what it means."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            for key, inner in section.model_fields.items():
                rows.append(row(f"{name}.{key}", inner.default, inner.description))
        else:
            rows.append(row(name, field.default, field.description))
    return "\n".join(rows)


def row(name: str, default: object, meaning: str | None) -> str:
    shown = "" if default is PydanticUndefined else f"`{getattr(default, 'value', default)}`"
    return f"| `{name}` | {shown if shown != '``' else '(empty)'} | {meaning or ''} |"


def errors_table() -> str:
    """One row per error that a caller may meet."""
    rows = ["| error | HTTP | code | meaning |", "|---|---|---|---|"]
    for name, error in sorted(by_name().items(), key=lambda item: (item[1].status, item[0])):
        meaning = (error.__doc__ or "").strip().splitlines()[0]
        rows.append(f"| `{name}` | {error.status} | `{error.code}` | {meaning} |")
    return "\n".join(rows)


def rendered(text: str) -> str:
    """README with its generated parts as the code has them now."""
    for name, part in {"map": file_map, "settings": settings_table, "errors": errors_table}.items():
        pattern = re.compile(rf"<!-- {name} -->\n.*?<!-- /{name} -->", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"README.md has lost its <!-- {name} --> part")
        start, end = pattern.search(text).span()  # type: ignore[union-attr]
        text = f"{text[:start]}<!-- {name} -->\n{part()}\n<!-- /{name} -->{text[end:]}"
    return text


def main() -> str | None:
    """Write README anew; with --check only say whether that would change it."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    made = rendered(text)
    if "--check" in sys.argv[1:]:
        return None if made == text else "README.md: its generated parts are old; run `make format`"
    readme.write_text(made)
    return None


if __name__ == "__main__":
    sys.exit(main())
