"""Opens every page of the documentation in headless Chromium: python docs/check_pages.py FOLDER.

On a phone and on a desktop nothing may be cut off and no page may scroll sideways. Every picture
must be shown, the console be silent, and nothing be asked of a network. Without a Chromium that
starts nothing is checked, and a page is left out at which it ends or hangs, on a busy machine for
instance. Both are said; the pages are no worse for it.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PHONE, DESKTOP = 390, 1280
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
  const page = document.documentElement;
  const sideways = page.scrollWidth > page.clientWidth;
  return JSON.stringify({missing: missing, sideways: sideways, cut: cut.slice(0, 3).map(
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
    found = []
    for width, height in ((DESKTOP, 900), (PHONE, 844)):
        resize(tab, width, height)
        seen = json.loads(tab.run(LOOK))
        found += [f"cut off at {width} pixels: {what}" for what in seen["cut"]]
        found += [f"scrolls sideways at {width} pixels"] * seen["sideways"]
    found += [f"a picture is missing: {source}" for source in seen["missing"]]
    outside = [u for u in tab.requests() if not u.startswith(("file:", "data:"))]
    found += [f"asks a network for {address}" for address in outside]
    return found + [f"console: {str(text)[:200]}" for text in tab.complaints()]


def resize(tab: Any, width: int, height: int) -> None:
    """Show the page of a tab at another size."""
    phone = width == PHONE
    scale = 2 if phone else 1
    tab.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=height, deviceScaleFactor=scale, mobile=phone,
    )  # fmt: skip


def started(module: Any, profile: str) -> Any:
    """A browser that answers, or None with the reason printed."""
    path = next(filter(None, map(shutil.which, module.NAMES)), None)
    if path is None:
        print("NOT CHECKED in a browser: there is no Chromium here (apt install chromium)")
        return None
    browser = module.Browser(path, profile)
    try:
        browser.call("Browser.getVersion")
    except (OSError, TimeoutError) as error:
        print(f"NOT CHECKED in a browser: {path} did not start ({error})")
        browser.close()
        return None
    return browser


def main(folder: Path) -> int:
    """Check the pages below a folder; 1 if anything is wrong."""
    module = browser_module()
    folder = folder.resolve()
    found = ((p, p.relative_to(folder).parts[0]) for p in folder.rglob("*.html"))
    # JupyterLite's own pages, in lite, start nothing without a server.
    pages = sorted(p for p, room in found if room not in ("_modules", "lite"))
    wrong = checked = 0
    tab = None
    with tempfile.TemporaryDirectory() as profile:
        browser = started(module, profile)
        for page in pages:
            if browser is None:
                break
            try:
                browser.events.clear()
                if tab is None:
                    tab = module.Tab(browser, page.as_uri(), width=PHONE, height=844, phone=True)
                else:
                    tab.go(page.as_uri())
                seen = faults(tab)
            except (OSError, TimeoutError) as error:
                print(f"NOT CHECKED in a browser: {page.relative_to(folder)} ({error})")
                browser.close()
                browser, tab = started(module, profile), None
                continue
            checked += 1
            for fault in seen:
                print(f"{page.relative_to(folder)}: {fault}")
            wrong += len(seen)
        if browser is not None:
            browser.close()
    print(f"{checked} of {len(pages)} pages at {PHONE} and {DESKTOP} pixels: {wrong} faults")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
