"""Nothing in a GGUF file is believed."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf as published
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.errors import ModelError
from rag.models.abilities import abilities
from rag.models.gguf import QUANTISATIONS, read
from rag.models.header import read_header

Maker = Callable[..., Path]


def head(tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def text(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(value) if length is None else length) + value


def key(name: bytes, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", r"at byte 0 expected 4 bytes of the magic, found 0 left"),
        (b"PK\3\4 a zip", r"at byte 0 expected the letters GGUF, found b'PK"),
        (head(version=1), r"at byte 4 expected the version between 2 and 3, found 1"),
        (head(version=50331648), r"found a big-endian one; get the file for this machine"),
        (head(tensors=1 << 60), r"at byte 8 expected the number of tensors .* found 1152921504606846976"),
        (head(keys=1)[:-3], r"at byte 16 expected 8 bytes of the number of keys, found 5 left"),
        (
            head(keys=1) + text(b"", 1 << 40),
            r"at byte 24 expected the length of a key .* found 1099511627776",
        ),
        (head(keys=1) + text(b"k", 900), r"at byte 32 expected 900 bytes of a key, found 1 left"),
        (head(keys=1) + key(b"k", 8, text(b"", 1 << 23)), r"expected 8388608 bytes of k, found 0 left"),
        (head(keys=1) + key(b"k", 77, b""), r"expected the type of k between 0 and 12, found 77"),
        (head(keys=1) + key(b"k", 9, struct.pack("<IQ", 9, 1)), r"found an array of arrays"),
        (head(keys=1) + key(b"k", 9, struct.pack("<IQ", 8, 1 << 50)), r"the length of k .* found 11258999"),
        (
            head(keys=1) + key(b"k", 9, struct.pack("<IQ", 0, 1 << 22)),
            r"expected 4194304 bytes of k, found 0",
        ),
        (head(1) + text(b"t") + struct.pack("<I", 9), r"the dimensions of t between 0 and 4, found 9"),
        (
            head(1) + text(b"t") + struct.pack("<IQQI", 2, 1 << 40, 1 << 40, 0),
            r"a shape of t that a file can",
        ),
        (head(1) + text(b"t") + struct.pack("<IQIQ", 1, 4, 99, 0), r"expected one of F32, .* found type 99"),
        (head(1) + text(b"t") + struct.pack("<IQIQ", 1, 33, 2, 0), r"rows of t that Q4_0 divides into 32s"),
    ],
)
def test_a_damaged_file_is_an_error_with_the_place(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"(?s)bad\.gguf is no usable GGUF file: .*{complaint}"):
        read(path)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(ModelError, match="cannot be read"):
            read(path)


def test_a_file_that_was_cut_off_is_an_error_with_both_sizes(made: Maker) -> None:
    path = made("cut.gguf")
    whole = read_header(path).bytes
    path.write_bytes(path.read_bytes()[: whole - 1])
    with pytest.raises(
        ModelError, match=f"cut off: its tensors need {whole} bytes, the file has {whole - 1}"
    ):
        read(path)


def test_a_length_that_lies_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "liar.gguf"
    path.write_bytes(head(keys=1) + key(b"k", 8, text(b"", 16 << 20)))
    tracemalloc.start()
    with pytest.raises(ModelError):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_block_sizes_are_those_of_llama_cpps_own_package() -> None:
    for number, (name, values, size) in QUANTISATIONS.items():
        if name in ("Q8_1", "Q2_0"):  # an old size there, and one too new; neither is written to files
            continue
        kind = published.GGMLQuantizationType(number)
        assert (kind.name, published.GGML_QUANT_SIZES[kind]) == (name, (values, size))


EDITS = st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS, cut=st.integers(0, 5000))
def test_no_bytes_give_another_error_than_ours(made: Maker, tmp_path: Path, edits: list, cut: int) -> None:  # type: ignore[type-arg]
    source = tmp_path / "whole.gguf"
    if not source.exists():
        made("whole.gguf", keys={"general.name": "x", "attention.head_count_kv": [2, 2]})
    content = bytearray(source.read_bytes())
    for at, new in edits:
        content[at : at + len(new)] = new
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(content[: len(content) - cut])
    try:
        abilities(read_header(damaged))
    except ModelError as error:
        assert "damaged.gguf" in str(error)
