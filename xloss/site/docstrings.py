"""Take the docstring of a loss apart: what, formula, arguments, and paragraphs such as "Domain:" and "Errors:"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

_LABEL = re.compile(r"^(Formula|Returns|Domain|Gradient|Errors|Identities|Source|Second derivative)\b([^:]*):\s*", re.S)
_NAME = re.compile(r"^    (\w+(?:, \w+)*):\s*(.*)$")
#: A sentence ends with a period and a space, and the next begins with a capital or a quotation.
_SENTENCE = re.compile(r"(?<=[.;])\s+(?=[A-Z`'])")


@dataclass(frozen=True)
class Doc:
    """The parts of a docstring, as text: `parts` by label, `arguments` by name, `example` a doctest."""

    summary: str
    parts: Mapping[str, str]
    arguments: tuple[tuple[str, str], ...]
    example: str


def parse(text: str) -> Doc:
    """Take a docstring apart; a paragraph without a label belongs to the one before it."""
    summary, _, rest = text.partition("\n\n")
    parts: dict[str, str] = {}
    arguments: list[tuple[str, str]] = []
    example, label = "", "About"
    for paragraph in re.split(r"\n\n+", rest):
        if paragraph.startswith("Args:"):
            arguments = _arguments(paragraph)
            continue
        if paragraph.startswith(">>>"):
            example = paragraph
            continue
        # "Domain: ... Errors: ..." may follow each other by lines of one paragraph.
        for piece in re.split(r"\n(?=(?:Errors|Identities|Gradient|Returns|Source):)", paragraph):
            found = _LABEL.match(piece)
            label = found[1] if found else label
            body = f"{found[2].lstrip(', ')}: {piece[found.end() :]}" if found and found[2].strip() else piece
            body = piece[found.end() :] if found and not found[2].strip() else body
            body = _line(body)
            body = body[:1].upper() + body[1:] if re.match(r"with |over |element", body) else body
            parts[label] = f"{parts[label]} {body}" if label in parts else body
    return Doc(_line(summary), parts, tuple(arguments), example)


def denominators(doc: Doc) -> list[str]:
    """Return the sentences that say what a mean divides by, of the formula and of the arguments."""
    texts = [*doc.parts.values(), *(text for _, text in doc.arguments)]
    sentences = [sentence for text in texts for sentence in _SENTENCE.split(text)]
    said = [one for one in sentences if re.search(r"mean'?`? (?:over|divides|is)|divides|denominator", one)]
    return list(dict.fromkeys(one.strip().rstrip(";") for one in said if "'mean'" in one or "batchmean" in one))


def inline(text: str, link: Callable[[str], str | None] = lambda _: None) -> Markup:
    """Escape text, and set what is between backticks as code; `link` gives the address of a name, or None."""
    from markupsafe import Markup, escape

    from xloss.report.format import plain

    out = Markup()
    for number, piece in enumerate(re.split(r"`([^`]+)`", plain(text))):
        if number % 2 == 0:
            out += escape(piece)
            continue
        code = Markup("<code>{}</code>").format(piece)
        address = link(piece)
        out += Markup('<a href="{}">{}</a>').format(address, code) if address else code
    return out


def _arguments(paragraph: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in paragraph.splitlines()[1:]:
        if start := _NAME.match(line):
            found.append((start[1], start[2]))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
    return found


def _line(text: str) -> str:
    return " ".join(text.split())
