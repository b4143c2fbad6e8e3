"""The report, opened in a browser: in light and dark, at a desk and on a phone."""

import colorsys
import io
import json

import numpy as np
import pytest

from riemann_lne_validation.audit import frame as audit
from riemann_lne_validation.audit.frame import (
    Evidence,
    Line,
    Measurement,
    Outcome,
    Plot,
    Verdict,
    known_claims,
)
from riemann_lne_validation.audit.page import command_for, write_html
from riemann_lne_validation.audit.records import Setting

PHONE = {"width": 390, "height": 844, "phone": True}
VIEWS = {"desk": {}, "dark": {"dark": True}, "phone": PHONE, "dark phone": {**PHONE, "dark": True}}


def outcome(claim, verdict, number):
    """One with everything that makes a page wide: long names, many numbers, a traceback."""
    many = {f"n = {i}, amplitude 0.123456, seed {i}": 1 / (i + 1) for i in range(30)}
    measurements = [
        Measurement("largest <relative> change & more, " * 4, many, 0.0, 0.5, 1.0, "because"),
        Measurement("with_a_name_that_has_no_place_to_break_it_" * 3, [1.0] * 50, "x", 2.0, 1, "y"),
    ]
    x = np.linspace(0.1, 1, 20).tolist()
    plot = Plot("A <plot>", "t (length^2)", "size", [Line("a", x, x)], log_y=True)
    evidence = Evidence(measurements[0], also=measurements[1:], plots=[plot] * number)
    if verdict in (Verdict.ERROR, Verdict.NOT_RUN):
        evidence, problem = None, "Traceback: " + "a/very/long/path" * 20
    else:
        problem = ""
    return Outcome(claim, verdict, evidence, dict(claim.quick), 1.0, problem)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    claims, verdicts = list(known_claims().values()), list(Verdict)
    outcomes = [outcome(c, verdicts[i % len(verdicts)], i % 4 == 1) for i, c in enumerate(claims)]
    with pytest.MonkeyPatch.context() as patch:  # whatever other tests have proved before
        patch.setattr(audit, "_CERTIFICATES", {})
        path = write_html(tmp_path_factory.mktemp("report"), outcomes, Setting())
    return path.as_uri()


@pytest.fixture(params=VIEWS)
def tab(request, open_page, page):
    return open_page(page, **VIEWS[request.param])


def test_nothing_complains_and_nothing_is_fetched(tab, page):
    assert tab.complaints() == []
    elsewhere = [u for u in tab.requests() if u != page and not u.startswith("data:")]
    assert elsewhere == []


def test_all_images_are_shown_and_have_a_description(tab):
    images = tab.run(
        "[...document.images].map(i => [i.complete && i.naturalWidth, i.alt, "
        "i.getBoundingClientRect().width])"
    )
    assert len(images) > 5
    assert all(natural > 100 and alt and width > 100 for natural, alt, width in images)


def test_nothing_is_wider_than_the_view(tab):
    inside = tab.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert inside[0] <= inside[1]
    # Nor is anything cut off, which would not show in the width of the page.
    cut = tab.run(
        "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > "
        "document.documentElement.clientWidth + 1).map(e => e.tagName + ' ' + e.textContent)"
    )
    assert cut == []


def test_every_anchor_leads_to_its_place(tab, page):
    anchors = tab.run("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
    assert len(set(anchors)) == len(known_claims()) + 1
    for anchor in sorted(set(anchors))[::6]:  # a sixth of them: each is a page to be laid out
        top, height, bottom = tab.run(
            f"document.querySelector('a[href=\"{anchor}\"]').click(); new Promise(done => "
            "requestAnimationFrame(() => requestAnimationFrame(() => done(["
            f"document.querySelector('{anchor}').getBoundingClientRect().top, innerHeight, "
            "document.documentElement.scrollHeight - innerHeight - scrollY]))))"
        )
        # At the top of the view, or the page ends before it can come there.
        assert abs(top) < 2 or (0 <= top < height and bottom < 2), anchor
    missing = [a for a in anchors if not tab.run(f"!!document.querySelector('{a}')")]
    assert missing == []


def picture(tab):
    from matplotlib.image import imread

    return imread(io.BytesIO(tab.screenshot()))[..., :3]


@pytest.mark.parametrize("view", VIEWS)
def test_an_anchor_opened_directly_shows_its_section(open_page, page, view):
    tab = open_page(f"{page}#smoothing", **VIEWS[view])
    here = tab.run("document.querySelector(':target h2').getBoundingClientRect().top")
    assert 0 <= here < 100
    assert picture(tab).std() > 0.02  # a blank picture has none


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_follows_the_colour_scheme(open_page, page, dark):
    pixels = picture(open_page(page, dark=dark))
    assert (np.median(pixels) < 0.2) == dark  # the background
    # Text against what is behind it, by the rule for contrast of the web's guidelines.
    tab = open_page(page, dark=dark)
    for name in ("body", "a", "h2", ".v-holds", ".v-does-not-hold", ".v-holds-with-conditions"):
        assert tab.run(CONTRAST % json.dumps(name)) >= 4.5, name


CONTRAST = """(() => {
  const e = document.querySelector(%s);
  const parse = c => c.match(/[0-9.]+/g).map(Number);
  const light = c => { const [r, g, b] = parse(c).map(v => v / 255).map(
    v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor; const p = parse(c);
    if (p.length < 4 || p[3] > 0) return c; } return 'rgb(255, 255, 255)'; };
  const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05); })()"""


def test_plots_are_dark_on_a_dark_page(open_page, page):
    tab = open_page(page, dark=True)
    tab.run("document.images[0].scrollIntoView({block: 'start'})")
    pixels = picture(tab)
    assert np.median(pixels[:300]) < 0.35
    # Turned dark without turning the hues: the first curve of a plot is blue and stays so.
    r, g, b = np.moveaxis(pixels.reshape(-1, 3), -1, 0)
    strong = pixels.reshape(-1, 3)[
        (pixels.reshape(-1, 3).max(-1) - np.minimum(r, np.minimum(g, b))) > 0.25
    ]
    hues = [colorsys.rgb_to_hsv(*map(float, p))[0] for p in strong[::50]]
    assert np.any((np.array(hues) > 0.52) & (np.array(hues) < 0.7))


def test_the_command_repeats_the_form_the_backend_and_the_parameters():
    claim = known_claims()["weak-inverse"]
    made = Outcome(claim, Verdict.HOLDS, None, {**claim.full, "n": 7}, 1.0)
    words = command_for(made, Setting(full=True, backend="torch"))
    assert words == "riemann-lne verify --only weak-inverse --full --backend torch --set n=7"
    plain = Outcome(claim, Verdict.HOLDS, None, dict(claim.quick), 1.0)
    assert command_for(plain, Setting()) == "riemann-lne verify --only weak-inverse"
