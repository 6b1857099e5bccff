"""Tesseract, run as a program on one page image at a time. Without it scanned pages stay unread."""

from __future__ import annotations

import os
import shutil
import subprocess

from rag.errors import LimitExceeded

PAGE_TIMEOUT_S = 30.0


def available() -> bool:
    """Whether Tesseract is installed."""
    return shutil.which("tesseract") is not None


def read(pixels: bytes, width: int, height: int, stride: int, languages: str) -> str:
    """The text of a grey image, paragraphs separated by blank lines; empty if Tesseract finds none."""
    rows = b"".join(pixels[start : start + width] for start in range(0, height * stride, stride))
    return read_file(b"P5 %d %d 255\n" % (width, height) + rows, languages)


def read_file(image: bytes, languages: str) -> str:
    """The text of an image file."""
    command = ["tesseract", "stdin", "stdout", "-l", languages]
    try:
        done = subprocess.run(
            command,
            input=image,
            capture_output=True,
            timeout=PAGE_TIMEOUT_S,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )
    except subprocess.TimeoutExpired:
        raise LimitExceeded(f"recognising a page took more than {PAGE_TIMEOUT_S:g} s") from None
    return done.stdout.decode("utf-8", "replace").strip()
