"""The check of the pages in a browser: what it finds, and what it says where it cannot look."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
PAGE = "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"


@pytest.fixture
def check():
    spec = importlib.util.spec_from_file_location("check_pages", ROOT / "docs" / "check_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pages(tmp_path):
    """Two pages without a fault, and one of JupyterLite."""
    for name in ("index", "other"):
        (tmp_path / f"{name}.html").write_text(PAGE + "<article><p>text</p></article>")
    (tmp_path / "lite").mkdir()
    (tmp_path / "lite" / "index.html").write_text(PAGE + "<img src=missing.png>")
    return tmp_path


def test_faults_are_found_and_named(check, pages, capsys):
    if not any(map(check.shutil.which, check.browser_module().NAMES)):
        pytest.skip("needs Chromium")
    assert check.main(pages) == 0
    assert capsys.readouterr().out == "2 of 2 pages at 390 and 1280 pixels: 0 faults\n"
    wide = "<article><div style='width:500px'>wide</div></article><script>console.log(1)</script>"
    (pages / "other.html").write_text(PAGE + wide + "<img src=missing.png>")
    assert check.main(pages) == 1
    said = capsys.readouterr().out
    assert "other.html: cut off at 390 pixels: DIV. wide" in said
    assert "cut off at 1280" not in said
    assert "other.html: a picture is missing" in said
    assert "other.html: console" in said
    assert "index.html" not in said


def test_without_a_browser_it_says_so_and_passes(check, pages, capsys, monkeypatch):
    monkeypatch.setattr(check.shutil, "which", lambda name: None)
    assert check.main(pages) == 0
    said = capsys.readouterr().out
    assert said.startswith("NOT CHECKED in a browser: there is no Chromium here (apt install")
    assert said.endswith("0 of 2 pages at 390 and 1280 pixels: 0 faults\n")


@pytest.mark.parametrize("error", [OSError("Chromium ended"), TimeoutError("no answer")])
def test_a_browser_that_ends_is_no_fault_of_the_pages(check, pages, capsys, monkeypatch, error):
    opened = []

    def tab(browser, address, **options):
        opened.append(address)
        if len(opened) == 1:
            raise error
        return SimpleNamespace()

    made = SimpleNamespace(events=[], close=lambda: None)
    monkeypatch.setattr(check, "browser_module", lambda: SimpleNamespace(Tab=tab))
    monkeypatch.setattr(check, "started", lambda *_: made)
    monkeypatch.setattr(check, "faults", lambda tab: [])
    assert check.main(pages) == 0
    said = capsys.readouterr().out
    assert f"NOT CHECKED in a browser: index.html ({error})\n" in said
    assert said.endswith("1 of 2 pages at 390 and 1280 pixels: 0 faults\n")
    assert len(opened) == 2
