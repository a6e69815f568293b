"""The check of links and requests fails on each fault that it is there for."""

from __future__ import annotations

import pytest

from xloss.site import links

GOOD = '<h1 id="top">x</h1><a href="#top">a</a><a href="b/c.html#d">b</a><a href="https://example.org/">out</a>'
PAGES = {"index.html": GOOD, "b/c.html": '<p id="d"><a href="../index.html">up</a></p>'}


def test_a_whole_site_has_no_problem() -> None:
    assert links.problems(PAGES) == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ('<a href="missing.html">x</a>', "'missing.html', which is no page"),
        ('<a href="b/c.html#nowhere">x</a>', "no place on that page"),
        ('<a href="#nowhere">x</a>', "no place on that page"),
        ('<a href="/index.html">x</a>', "not relative"),
        ('<a href="//example.org/x">x</a>', "not relative"),
        ('<a href="javascript:alert(1)">x</a>', "not relative"),
        ('<img src="https://example.org/x.png">', "loads <img src="),
        ('<script src="https://example.org/x.js"></script>', "loads <script src="),
        ('<script src="here.js"></script>', "loads <script src="),
        ('<link rel="stylesheet" href="https://example.org/x.css">', "loads <link href="),
        ('<iframe src="x.html"></iframe>', "loads <iframe src="),
        ("<style>@import 'x.css';</style>", "<style> with a url"),
        ("<style>p { background: url(https://example.org/x.png) }</style>", "<style> with a url"),
        ('<p style="background: url(x.png)">x</p>', "a style of <p>"),
        ('<p id="d">x</p><p id="d">y</p>', "the id 'd' 2 times"),
        ('<form action="https://example.org/"></form>', "loads <form action="),
    ],
)
def test_a_planted_fault_is_found(fault: str, words: str) -> None:
    (problem,) = links.problems({**PAGES, "index.html": GOOD + fault})
    assert problem.startswith("index.html: ")
    assert words in problem


def test_a_link_within_a_figure_and_a_marker_of_its_own_are_fine() -> None:
    figure = '<svg><defs><path id="m"/></defs><use href="#m"/><style>.a{marker:url(#m)}</style></svg>'
    assert links.problems({"index.html": figure}) == []
