"""Opens every page of the documentation in headless Chromium: python docs/check_pages.py FOLDER.

On a phone's width nothing may be cut off; every picture must be shown, and the console be silent.
Without Chromium nothing is checked, which is said.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WIDTH = 390
# The theme hides what is too wide for the screen: so the boxes are compared, not the scroll bars.
LOOK = """(() => {
  const edge = document.documentElement.clientWidth + 1;
  const scrolls = e => {
    for (let p = e.parentElement; p && p.tagName != "ARTICLE"; p = p.parentElement)
      if (["auto", "scroll"].includes(getComputedStyle(p).overflowX)) return true;
    return false;
  };
  const cut = [...document.querySelectorAll("article *")].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width && box.height && box.right > edge && !scrolls(e);
  });
  const images = [...document.images];
  const missing = images.filter(i => i.complete && !i.naturalWidth).map(i => i.src);
  return JSON.stringify({missing: missing, cut: cut.slice(0, 3).map(
    e => e.tagName + "." + e.className + " " + (e.textContent || "").trim().slice(0, 40))});
})()"""


def browser_module() -> Any:
    """The tests' own driver of Chromium, which needs the standard library alone and pytest."""
    path = ROOT / "tests" / "validation" / "conftest.py"
    spec = importlib.util.spec_from_file_location("browser", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def faults(tab: Any) -> list[str]:
    """Faults of the page that a tab shows, each in words."""
    import json

    seen = json.loads(tab.run(LOOK))
    found = [f"a picture is missing: {source}" for source in seen["missing"]]
    found += [f"cut off at {WIDTH} pixels: {what}" for what in seen["cut"]]
    return found + [f"console: {str(text)[:200]}" for text in tab.complaints()]


def main(folder: Path) -> int:
    """Check the pages below a folder; 1 if anything is wrong."""
    module = browser_module()
    path = next(filter(None, map(shutil.which, module.NAMES)), None)
    if path is None:
        print("NOT CHECKED in a browser: there is no Chromium here (apt install chromium)")
        return 0
    folder = folder.resolve()
    pages = sorted(p for p in folder.rglob("*.html") if "_modules" not in p.parts)
    wrong = 0
    with tempfile.TemporaryDirectory() as profile:
        browser = module.Browser(path, profile)
        try:
            tab = None
            for page in pages:
                if tab is None:
                    tab = module.Tab(browser, page.as_uri(), width=WIDTH, height=844, phone=True)
                else:
                    browser.events.clear()
                    tab.go(page.as_uri())
                for fault in faults(tab):
                    print(f"{page.relative_to(folder)}: {fault}")
                    wrong += 1
        finally:
            browser.close()
    print(f"{len(pages)} pages at {WIDTH} pixels: {wrong} faults")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
