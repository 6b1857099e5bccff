"""The head of a GGUF file: its metadata and its tensor table, read without the weights.

Nothing in the file is believed: every count and length is held against the size of the file and a limit, so
that a damaged or hostile file costs an error and not the machine's memory.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from rag.errors import ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)  # 1 has other lengths and was gone within weeks of 2023
ALIGNMENT = 32
STRING_BYTES = 16 << 20  # a long chat template is 20 kB
ELEMENTS = 1 << 23  # the largest vocabularies have some 300,000 tokens and twice as many merges
KEPT_ELEMENTS = 1024  # a value per layer is kept, a vocabulary is not
KEYS, TENSORS, NAME_BYTES, DIMENSIONS = 1 << 16, 1 << 17, 1 << 10, 4
CONTROL_TOKENS, CONTROL_BYTES, CONTROL = 8192, 256, 3

SCALARS = dict(enumerate(("B", "b", "H", "h", "I", "i", "f", "?", "", "", "Q", "q", "d")))
STRING, ARRAY = 8, 9

# Quantisation types by their number in ggml.h: name, values of a block, bytes of a block.
QUANTISATIONS: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One row of the tensor table; `offset` counts from the start of the data."""

    name: str
    shape: tuple[int, ...]
    quantisation: str
    bytes: int
    offset: int


@dataclass(frozen=True, slots=True)
class Gguf:
    """What stands before the weights. Long arrays are left out of `metadata`; `lengths` counts them all."""

    path: Path
    size: int
    metadata: dict[str, Any]
    lengths: dict[str, int]
    control_tokens: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    data_offset: int


def read(path: Path) -> Gguf:
    """The head of the file. Raises ModelError with path, offset, what was expected and what is there."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            return _Reader(stream, path, size).read()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}; give the path of a GGUF file") from None


@dataclass(slots=True)
class _Reader:
    stream: BinaryIO
    path: Path
    size: int
    metadata: dict[str, Any] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def read(self) -> Gguf:
        magic = self.take(4, "the magic")
        if magic != MAGIC:
            raise self.wrong(0, "the letters GGUF", repr(magic))
        if self.take(4, "the version") in [version.to_bytes(4, "big") for version in VERSIONS]:
            raise self.wrong(4, "a little-endian version", "a big-endian one; get the file for this machine")
        self.stream.seek(4)
        version = self.number("I", "the version", VERSIONS[-1], VERSIONS[0])
        tensors = self.number("Q", f"the number of tensors (version {version})", TENSORS)
        for _ in range(self.number("Q", "the number of keys", KEYS)):
            self.key()
        table = tuple(self.tensor() for _ in range(tensors))
        alignment = self.metadata.get("general.alignment", ALIGNMENT)
        if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self.wrong(self.stream.tell(), "an alignment that is a power of two", repr(alignment))
        data = -(-self.stream.tell() // alignment) * alignment
        self.refuse_short(table, data)
        return Gguf(self.path, self.size, self.metadata, self.lengths, self.controls(), table, data)

    def key(self) -> None:
        name = self.text("a key", NAME_BYTES)
        kind = self.number("I", f"the type of {name}", len(SCALARS) - 1)
        self.metadata[name] = self.value(kind, name)
        if kind == ARRAY and self.metadata[name] is None:
            del self.metadata[name]

    def value(self, kind: int, name: str) -> Any:
        if kind == STRING:
            return self.text(name, STRING_BYTES)
        if kind == ARRAY:
            return self.array(name)
        return self.unpack(SCALARS[kind], name)

    def array(self, name: str) -> list[Any] | None:
        """The elements, or None when they are too many to keep."""
        kind = self.number("I", f"the element type of {name}", len(SCALARS) - 1)
        if kind == ARRAY:
            raise self.wrong(self.stream.tell() - 4, f"simple elements in {name}", "an array of arrays")
        count = self.lengths[name] = self.number("Q", f"the length of {name}", ELEMENTS)
        self.places[name] = (self.stream.tell(), count)
        if count <= KEPT_ELEMENTS and not (kind == STRING and name.startswith("tokenizer.")):
            return [self.value(kind, name) for _ in range(count)]
        if kind != STRING:
            self.skip(count * struct.calcsize(SCALARS[kind]), name)
            return None
        for _ in self.strings(count, name):
            pass
        return None

    def tensor(self) -> Tensor:
        name = self.text("the name of a tensor", NAME_BYTES)
        dimensions = self.number("I", f"the dimensions of {name}", DIMENSIONS)
        at = self.stream.tell()
        shape = tuple(self.unpack("Q", f"the shape of {name}") for _ in range(dimensions))
        values = math.prod(shape)
        if values >= 1 << 62:
            raise self.wrong(at, f"a shape of {name} that a file can hold", str(shape))
        kind = self.number("I", f"the type of {name}", 1 << 31)
        if kind not in QUANTISATIONS:
            known = ", ".join(quantisation for quantisation, _, _ in QUANTISATIONS.values())
            raise self.wrong(self.stream.tell() - 4, f"one of {known} for {name}", f"type {kind}")
        quantisation, per_block, block_bytes = QUANTISATIONS[kind]
        if shape and shape[0] % per_block:
            raise self.wrong(at, f"rows of {name} that {quantisation} divides into {per_block}s", str(shape))
        offset = self.unpack("Q", f"the offset of {name}")
        return Tensor(name, shape, quantisation, values // per_block * block_bytes, offset)

    def controls(self) -> tuple[str, ...]:
        """Tokens that the vocabulary marks as control tokens: markers of turns are among them."""
        types, tokens = (self.places.get(f"tokenizer.ggml.{what}") for what in ("token_type", "tokens"))
        if not types or not tokens or types[1] != tokens[1]:
            return ()
        self.stream.seek(types[0])
        marks = struct.unpack(f"<{types[1]}i", self.take(4 * types[1], "the token types"))
        self.stream.seek(tokens[0])
        found: list[str] = []
        for mark, token in zip(marks, self.strings(tokens[1], "the tokens"), strict=True):
            if mark == CONTROL and len(token) <= CONTROL_BYTES and len(found) < CONTROL_TOKENS:
                found.append(token.decode("utf-8", "replace"))
        return tuple(found)

    def refuse_short(self, table: tuple[Tensor, ...], data: int) -> None:
        ends = max((data + tensor.offset + tensor.bytes for tensor in table), default=0)
        if ends > self.size:
            raise ModelError(
                f"{self.path} is cut off: its tensors need {ends} bytes, the file has {self.size}; "
                "get it again"
            )

    def strings(self, count: int, name: str) -> Iterator[bytes]:
        """The bytes of so many strings: a plain loop, since a vocabulary is most of what there is to read."""
        read, at = self.stream.read, self.stream.tell()
        for _ in range(count):
            length = int.from_bytes(read(8), "little")
            at += 8 + length
            if length > STRING_BYTES or at > self.size:
                self.stream.seek(at - length - 8)
                self.text(f"a string in {name}", STRING_BYTES)  # raises, and says what is wrong
            yield read(length)

    def text(self, what: str, limit: int) -> str:
        length = self.number("Q", f"the length of {what}", limit)
        return self.take(length, what).decode("utf-8", "replace")

    def number(self, form: str, what: str, most: int, least: int = 0) -> int:
        value: int = self.unpack(form, what)
        if not least <= value <= most:
            at = self.stream.tell() - struct.calcsize(form)
            raise self.wrong(at, f"{what} between {least} and {most}", str(value))
        return value

    def unpack(self, form: str, what: str) -> Any:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(form), what))[0]

    def take(self, count: int, what: str) -> bytes:
        at = self.stream.tell()
        # Held against the size first, so that no length makes us ask for memory the file cannot fill.
        data = self.stream.read(count) if at + count <= self.size else b""
        if len(data) < count:
            raise self.wrong(at, f"{count} bytes of {what}", f"{max(0, self.size - at)} left in the file")
        return data

    def skip(self, count: int, what: str) -> None:
        at = self.stream.tell()
        if at + count > self.size:
            raise self.wrong(at, f"{count} bytes of {what}", f"{max(0, self.size - at)} left in the file")
        self.stream.seek(count, 1)

    def wrong(self, at: int, expected: str, actual: str) -> ModelError:
        return ModelError(
            f"{self.path} is no usable GGUF file: at byte {at} expected {expected}, found {actual}"
        )
