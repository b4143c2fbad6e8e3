"""The notebook that runs in the reader's browser: its address, and what it begins with."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
PAGE = "Title\n=====\n\nPrediction.\n\n.. GENERATED FROM PYTHON SOURCE LINES 1-2\n\nprogram\n"


@pytest.fixture
def lite(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    spec = importlib.util.spec_from_file_location("lite", ROOT / "docs" / "lite.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_link_is_to_the_notebook_that_is_built(lite, tmp_path, monkeypatch):
    source = [PAGE]
    lite.link(None, "gallery/plot_first_flow", source)
    before, address, after = source[0].partition("../lite/lab/index.html?path=first_flow.ipynb")
    assert address
    assert "Prediction." in before
    assert "program" in after

    cells = [{"cell_type": "code", "source": ["print(1)"]}]
    cells += [{"cell_type": "markdown", "source": ["# Decay\n", "like e^(-t) of `g_inf`"]}]
    notebook = {"cells": cells, "nbformat": 4}
    (tmp_path / "gallery").mkdir()
    made = tmp_path / "gallery" / "plot_first_flow.ipynb"
    made.write_text(json.dumps(notebook), encoding="utf-8")
    monkeypatch.setattr(lite, "FOLDER", tmp_path / "lite")
    asked = []
    monkeypatch.setattr(lite, "lacking", lambda site: [])
    done = SimpleNamespace(returncode=0)
    monkeypatch.setattr(lite.subprocess, "run", lambda command, **_: asked.append(command) or done)
    app = SimpleNamespace(builder=SimpleNamespace(name="html"), srcdir=tmp_path, outdir=tmp_path)
    lite.build(app, None)
    written = tmp_path / "lite" / "contents" / "first_flow.ipynb"
    cells = json.loads(written.read_text(encoding="utf-8"))["cells"]
    typeset = ["# Decay\nlike $e^{-t}$ of `g_inf`"]
    assert [cell["source"] for cell in cells[1:]] == [[lite.INSTALL], ["print(1)"], typeset]
    assert str(written.parent) in asked[0]
    assert str(tmp_path / "lite") in asked[0]


def test_other_pages_get_no_link(lite):
    for name in ("gallery/plot_mpi", "first_flow"):
        source = [PAGE]
        lite.link(None, name, source)
        assert source == [PAGE]


def test_its_examples_are_in_the_gallery(lite):
    for name in lite.EXAMPLES:
        assert (ROOT / "docs" / "examples" / f"plot_{name}.py").is_file()


def test_a_build_that_fails_says_why(lite, tmp_path, monkeypatch):
    monkeypatch.setattr(lite, "FOLDER", tmp_path)
    monkeypatch.setattr(lite, "EXAMPLES", ())
    done = SimpleNamespace(returncode=1, stdout="", stderr="no such addon")
    monkeypatch.setattr(lite.subprocess, "run", lambda *_, **__: done)
    app = SimpleNamespace(builder=SimpleNamespace(name="html"), srcdir=tmp_path, outdir=tmp_path)
    with pytest.raises(RuntimeError, match="no such addon"):
        lite.build(app, None)


def test_a_site_that_lacks_something_is_an_error_that_names_it(lite, tmp_path):
    site = tmp_path / "lite"
    assert len(lite.lacking(site)) == len(lite.EXAMPLES) + len(lite.WHEELS) + 2
    for name in ("files/first_flow.ipynb", "lab/index.html", "pypi/all.json", "jupyter-lite.json"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(json.dumps({lite.PYODIDE: 0, **dict.fromkeys(lite.WHEELS)}))
    assert lite.lacking(site) == []
    (site / "pypi" / "all.json").write_text("{}")
    assert "the wheel of riemann-lne" in lite.lacking(site)
