"""The code of the documentation's page about hosts runs."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "hosts.md"
SECTIONS = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
LIBRARIES = {
    "Brevitas": "brevitas",
    "torchao": "torchao",
    "Lightning": "lightning",
    "Hugging Face Trainer": "transformers",
}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda text: text.splitlines()[0])
def test_the_code_runs(section, capsys):
    pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    title = section.splitlines()[0]
    if title in LIBRARIES:
        pytest.importorskip(LIBRARIES[title], reason=f"{title} is not installed (extra 'hosts')")
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert blocks
    namespace = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), namespace)
    if title == "Logging":
        assert float(capsys.readouterr().out.split()[-1]) == pytest.approx(0.5, rel=1e-5)
