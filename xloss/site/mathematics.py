"""Typeset LaTeX as MathML, which browsers draw and read aloud without a script."""

from __future__ import annotations

import re

#: What LaTeX sets upright, letter by letter: a word is one name, and an identifier of Python.
_WORD = re.compile(r'(?:<mi mathvariant="normal">[^<]*</mi>){2,}')
#: The brace of cases, which only a font for mathematics can stretch; the style sheet draws it.
_CASES = re.compile(r"<mo [^>]*>&#x0007B;</mo><mtable>")
#: A function that is applied without a parenthesis wants a space.
_APPLIED = re.compile(r"(<mi>(?:log|exp|cos|cosh|max|min)</mi>)(?!<mo stretchy|<mo fence|<mrow><mo stretchy|</)")


def mathml(latex: str) -> str:
    """Return a formula as a ``<math>`` element, displayed; `ValueError` where a command of it is not known."""
    from latex2mathml.converter import convert

    text = convert(latex, display="block")
    if unknown := re.search(r"\\[A-Za-z]+", text):
        raise ValueError(f"latex: expected commands that can be typeset, got {unknown[0]} in {latex!r}")
    text = _WORD.sub(lambda run: f"<mi>{re.sub('<[^>]*>', '', run[0])}</mi>", text)
    text = _CASES.sub('<mtable class="cases">', text)
    return _APPLIED.sub(r'\1<mspace width="0.17em"/>', text)
