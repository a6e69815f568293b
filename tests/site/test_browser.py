"""The site in Chromium: no error, no request, accessible, and the search and the tables do what they say.

`make browser` runs this. XLOSS_SITE names a folder that `xloss site` wrote; without, the committed data makes one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from site_builder import ROOT

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; `make browser` installs it")
axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright", reason="`make browser` installs axe-core")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
#: One page of each kind, looked at in both colors and widths; all are opened.
KINDS = (
    "index.html", "losses/cross_entropy.html", "losses/ctc_loss.html", "compare/torch-jax.html",
    "compare/versions.html", "compare/accuracy.html", "compare/gallery.html", "compare/claims.html",
    "compare/stacks.html", "compare/faults.html", "compare/invariance.html", "guides/port.html", "api/index.html",
    "api/command.html", "api/xloss.catalog.html", "changelog.html",
)  # fmt: skip
WIDTHS = {"phone": 390, "desk": 1280}


def chromium() -> str | None:
    """The program: XLOSS_CHROMIUM, one on the path, or the one that playwright installed."""
    named = (os.environ.get("XLOSS_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in named if name and (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        program = chromium()
        if program is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium: install Debian's chromium, or name one by XLOSS_CHROMIUM")
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "XLOSS_SITE" in os.environ:
        return Path(os.environ["XLOSS_SITE"]).resolve()
    from xloss.site import write

    folder = tmp_path_factory.mktemp("site")
    write(ROOT / "reports", folder)
    return folder


class Visit:
    """A page that is open, and what went wrong on it: messages of the console, errors, requests."""

    def __init__(self, browser: Any, path: Path, scheme: str = "light", width: int = 1280) -> None:
        self.context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", lambda request: self._asked(request.url, path.as_uri()))
        self.page.goto(path.as_uri())

    def _asked(self, url: str, own: str) -> None:
        if url.partition("#")[0] != own:
            self.wrong.append(f"request: {url}")

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


def violations(page: Any) -> list[str]:
    """What axe-core calls serious or critical, with the element."""
    found = axe_playwright.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:160]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def test_every_page_opens_without_an_error_and_without_a_request(browser: Any, site: Path) -> None:
    wrong = {}
    paths = sorted(site.rglob("*.html"))
    assert len(paths) > 60
    for path in paths:
        with Visit(browser, path) as visit:
            assert visit.page.locator("h1").count() == 1
            if visit.wrong:
                wrong[path.name] = visit.wrong
    assert not wrong


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_violation(browser: Any, site: Path, scheme: str) -> None:
    found = {}
    for kind in KINDS:
        with Visit(browser, site / kind, scheme) as visit:
            visit.page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
            if wrong := violations(visit.page):
                found[kind] = wrong
    assert not found


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_no_page_is_wider_than_the_screen(browser: Any, site: Path, width: int) -> None:
    wide = {}
    for kind in KINDS:
        with Visit(browser, site / kind, width=width) as visit:
            taken = visit.page.evaluate("document.documentElement.scrollWidth")
            if taken > width:
                wide[kind] = taken
    assert not wide


def test_the_search_finds_by_name_class_and_library_and_opens_the_first(browser: Any, site: Path) -> None:
    with Visit(browser, site / "index.html") as visit:
        page, rows = visit.page, "#losses tbody tr:visible"
        every = page.locator(rows).count()
        for text, name in (
            ("CTCLoss", "ctc_loss"),
            ("label smoothing cross", "cross_entropy"),
            ("tversky", "tversky_loss"),
        ):
            page.fill("#search", text)
            shown = page.locator(f"{rows} th").all_inner_texts()
            assert name in [one.strip() for one in shown], text
            assert len(shown) < every
            assert f"{len(shown)} of {every}" in page.inner_text("#found")
        page.fill("#search", "no such loss")
        assert page.locator(rows).count() == 0
        page.fill("#search", "huber")
        page.press("#search", "Enter")
        page.wait_for_url("**/losses/huber_loss.html")


def test_a_table_is_sorted_by_number_and_by_keyboard(browser: Any, site: Path) -> None:
    with Visit(browser, site / "index.html") as visit:
        button = visit.page.locator("#losses th button").last
        button.focus()
        visit.page.keyboard.press("Enter")
        cells = "#losses tbody tr td:last-child"
        up = [int(text) for text in visit.page.locator(cells).all_inner_texts() if text != "–"]
        assert up == sorted(up)
        visit.page.keyboard.press("Enter")
        down = visit.page.locator(cells).all_inner_texts()
        assert [int(text) for text in down if text != "–"] == sorted(up, reverse=True)
        assert down[-1] == "–"
        assert visit.page.locator("#losses th[aria-sort=descending]").count() == 1


def test_formulas_are_drawn(browser: Any, site: Path) -> None:
    with Visit(browser, site / "losses" / "cross_entropy.html") as visit:
        boxes = [one.bounding_box() for one in visit.page.locator(".formula math").all()]
        assert len(boxes) == 4
        assert all(box["height"] > 20 and box["width"] > 100 for box in boxes)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("<script>console.error('planted')</script>", "planted"),
        ("<script>nosuchname()</script>", "nosuchname"),
        ('<img src="http://127.0.0.1:9/x.png" alt="">', "request: http://127.0.0.1:9/x.png"),
        ('<script src="other.js"></script>', "request: file:"),
    ],
)
def test_a_planted_error_or_request_is_seen(browser: Any, tmp_path: Path, fault: str, words: str) -> None:
    (tmp_path / "x.html").write_text(f"<!doctype html><title>x</title><h1>x</h1>{fault}", "utf-8")
    with Visit(browser, tmp_path / "x.html") as visit:
        visit.page.wait_for_timeout(200)
        assert any(words in one for one in visit.wrong), visit.wrong


def test_the_policy_keeps_planted_scripts_and_images_out(browser: Any, site: Path, tmp_path: Path) -> None:
    text = (site / "guides" / "gpu.html").read_text("utf-8")
    planted = "<script>document.title = 'taken'</script><img src='http://127.0.0.1:9/x.png' alt=''>"
    (tmp_path / "x.html").write_text(text.replace("<main", f"{planted}<main", 1), "utf-8")
    with Visit(browser, tmp_path / "x.html") as visit:
        assert visit.page.title() != "taken"
        assert any("Content Security Policy" in one for one in visit.wrong)


def test_a_planted_violation_is_seen(browser: Any, tmp_path: Path) -> None:
    faint = "<p style='color: #ccc; background: #fff'>faint</p><input>"
    (tmp_path / "x.html").write_text(f"<!doctype html><html lang='en'><title>x</title><main>{faint}</main>", "utf-8")
    with Visit(browser, tmp_path / "x.html") as visit:
        found = " ".join(violations(visit.page))
        assert "color-contrast" in found
        assert "label" in found


def test_a_page_that_is_too_wide_is_seen(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text("<!doctype html><p style='width: 999px'>x</p>", "utf-8")
    with Visit(browser, tmp_path / "x.html", width=390) as visit:
        assert visit.page.evaluate("document.documentElement.scrollWidth") > 390
