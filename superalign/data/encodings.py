"""The text in the bytes of a file: unpacked, its encoding found out, and never a wrong letter in silence."""

from __future__ import annotations

import codecs
import gzip
import re
import unicodedata
import zlib
from pathlib import Path
from typing import Final

from superalign.errors import UserError

GZIP: Final = b"\x1f\x8b"
MAGIC: Final = (  # how files begin that are no text
    (b"PK\x03\x04", "a zip archive or an Excel workbook: save the table as CSV"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first, or compress it by gzip"),
    (b"BZh91AY&SY", "compressed by bzip2: unpack it first, or compress it by gzip"),
    (b"\xfd7zXZ\x00", "compressed by xz: unpack it first, or compress it by gzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook: save the table as CSV"),
    (b"SQLite format 3\x00", "an SQLite database: export the table as CSV"),
    (b"ARROW1\x00\x00", "an Arrow file: save it as Parquet"),
    (b"PAR1", "a Parquet file: name it .parquet"),
    (b"%PDF-", "a PDF: save its texts as .txt or .csv"),
    (b"\x89PNG\r\n", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"<!DOCTYPE", "a web page: fetch the file itself"),
    (b"<!doctype", "a web page: fetch the file itself"),
    (b"<html", "a web page: fetch the file itself"),
)
POINTER: Final = b"version https://git-lfs.github.com/"
BOMS: Final = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MARKS: Final = re.compile("(?:^|(?<=[\r\n]))\ufeff+|\ufeff+(?=[\r\n]|$)")
"""Byte-order marks at the ends of lines: a file that was joined from several has some inside."""
LOOKED_AT: Final = 1 << 16  # bytes that are searched for zeros
PATTERN: Final = 0.9  # share of the zero bytes that must stand where an encoding puts them
MOST_CONTROLS: Final = 0.01  # share of control characters that a text may have
CONTROLS: Final = frozenset(map(chr, range(32))) - frozenset("\t\n\r\f\v\x1a\x1b")


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked where gzip packed them, whatever its name ends in.

    Raises:
        UserError: it cannot be read, or its packed bytes end early or are damaged.
    """
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data.startswith(GZIP) else data
    except EOFError:
        raise UserError(f"{path} ends before its gzip data do: it was copied in part, fetch it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} holds damaged gzip data ({error}): fetch it again") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error})") from None
    if data.startswith(POINTER):
        raise UserError(f"{path} is a pointer of Git LFS and not the file: fetch it by `git lfs pull`")
    return data


def refuse_binary(path: Path, data: bytes) -> None:
    """Refuse what is known not to be text by its first bytes.

    Raises:
        UserError: it is known; the message says what it is and what to do.
    """
    for start, what in MAGIC:
        if data.startswith(start):
            raise UserError(f"{path} is {what}")


def decode(path: Path, data: bytes, encoding: str | None) -> tuple[str, str, int]:
    """The text, the name of its encoding, and how many halves of surrogate pairs became U+FFFD in it.

    A byte-order mark tells the encoding, then where zero bytes stand (UTF-16 and UTF-32 without a mark), then UTF-8
    is tried, and `encoding` last: what is UTF-8 by accident in another encoding is as good as impossible.

    Raises:
        UserError: the bytes are no text, or none in the encoding; the message names file and line, and the setting.
    """
    refuse_binary(path, data)
    for mark, name in BOMS:
        if data.startswith(mark):
            return _strictly(path, data[len(mark) :], name, told=False)
    if encoding is not None and data.isascii():  # such as UTF-7 or ISO-2022, whose bytes all look like ASCII
        return _strictly(path, data, encoding, told=True)
    if (wide := _wide(data)) is not None:
        return _strictly(path, data, wide, told=False)
    if b"\0" in data and encoding is None:
        raise UserError(f"{path} holds bytes that are no text: is it another kind of file than its name says?")
    try:
        return _strictly(path, data, "utf-8", told=False)
    except UserError:
        if encoding is None:
            raise
    return _strictly(path, data, encoding, told=True)


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 by where zero bytes stand: the letters and signs of ASCII have them in all but one byte."""
    sample = data[: LOOKED_AT - LOOKED_AT % 4]
    zeros = [sample[start::4].count(0) for start in range(4)]
    if not (total := sum(zeros)):
        return None
    letters = len(sample) // 4
    if len(data) % 4 == 0 and zeros[3] == letters and zeros[2] > letters / 2:
        return "utf-32-le"
    if len(data) % 4 == 0 and zeros[0] == letters and zeros[1] > letters / 2:
        return "utf-32-be"
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    found = "utf-16-le" if odd >= PATTERN * total else "utf-16-be" if even >= PATTERN * total else None
    if found is None or _unassigned(sample.decode(found, "ignore")) > MOST_CONTROLS:
        return None
    return found


def _unassigned(text: str) -> float:
    """The share of letters that no language has: other bytes, read as UTF-16, are full of them."""
    return sum(unicodedata.category(letter) in ("Cn", "Co") for letter in text) / max(1, len(text))


def _strictly(path: Path, data: bytes, encoding: str, told: bool) -> tuple[str, str, int]:
    passing = encoding.replace("_", "-").lower().startswith("utf-")
    try:
        text = data.decode(encoding, "surrogatepass" if passing and encoding != "utf-7" else "strict")
    except (UnicodeDecodeError, LookupError) as error:
        if not isinstance(error, UnicodeDecodeError):
            raise UserError(f"data.encoding={encoding}: {error}") from None
        raise UserError(_undecodable(path, data, encoding, error, told)) from None
    sample = text[:LOOKED_AT]
    if sum(letter in CONTROLS for letter in sample) > MOST_CONTROLS * len(sample):
        raise UserError(f"{path} holds bytes that are no text: is it another kind of file than its name says?")
    text, replaced = sound(MARKS.sub("", text))
    return text, encoding, replaced


def sound(text: str) -> tuple[str, int]:
    """A text with U+FFFD in place of halves of surrogate pairs, which no file and no tokenizer takes; how many."""
    if text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text):
        return text, 0
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined, joined.count("\ufffd") - text.count("\ufffd")


def _undecodable(path: Path, data: bytes, encoding: str, error: UnicodeDecodeError, told: bool) -> str:
    if encoding.replace("_", "-").lower().startswith(("utf-16", "utf-32")):
        where = f"{path} (byte {error.start + 1})"
    else:
        before = data[: error.start]
        line = (before.count(b"\n") or before.count(b"\r")) + 1
        where = f"{path} line {line}"
    name = encoding.upper()
    found = f"{where} is not {name} text (byte 0x{data[error.start]:02x}: {error.reason})"
    if told:
        return f"{found}: set another data.encoding, or save the file as UTF-8"
    if name != "UTF-8":
        return f"{found}: it may be cut; save it anew, best as UTF-8"
    return f"{found}: set data.encoding, for example cp1252 if a Windows program wrote it, or save the file as UTF-8"
