"""Make the site: static pages of every loss, of the comparisons, of the API and of the guides, that open offline.

`write` reads what is committed beside the package (the catalogue, asv's history, the tables of public bugs, of planted
faults, of every input, ...) and, where it is there, a sweep's table. `sources` reads, `front`, `loss`, `compare`,
`reference` and `documents` say what is on a page, `layout` lays out, `links` refuses pages with a broken link or a
request. What is absent is said on the page, with the command that makes it. No framework is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["write"]


def write(
    source: Path, out: Path, progress: Callable[[int, int], object] | None = None, command: Any = None
) -> list[Path]:
    """Write the site into `out` and return the paths of its pages; `ReportError` where `source` cannot be read.

    Args:
        source: the folder of reports: ``history/``, ``gallery.json``, ... and ``data/`` where a sweep was run.
        out: the folder to write to; its other files are left alone.
        progress: called with the number of pages that are done, and of all.
        command: the command line's group of commands, whose help is a page.
    """
    from xloss.files import write_text
    from xloss.report.source import ReportError
    from xloss.site import links, pages, sources

    made = pages.all_pages(sources.read(source), command)
    texts: dict[str, str] = {}
    for number, (path, make) in enumerate(made.items()):
        if progress is not None:
            progress(number, len(made))
        texts[path] = make()
    if problems := links.problems(texts):
        raise ReportError(f"the site is not whole: {'; '.join(problems[:5])}")
    written = [write_text(out / path, text) for path, text in texts.items()]
    if progress is not None:
        progress(len(made), len(made))
    return written
