"""The HTML of a comparison's page: self-contained, light or dark, readable on a telephone."""

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8884; --back: #fff; --ink: #1c1e21; --soft: #8881; }
@media (prefers-color-scheme: dark) { :root { --back: #16181b; --ink: #e6e6e6; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem;
  background: var(--back); color: var(--ink); }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: .85rem; }
td, th { border: 1px solid var(--line); padding: .25rem .5rem; text-align: left;
  vertical-align: top; }
td:first-child { min-width: 7rem; } .narrow td:first-child { min-width: 0; }
.narrow td:nth-child(2) { min-width: 9rem; }
.number { white-space: nowrap; text-align: right; }
.wide { overflow-x: auto; }
.result { background: var(--soft); padding: .75rem 1rem .75rem 2rem; border-radius: 6px; }
figure { margin: 1rem 0; } figure svg { width: 100%; max-width: 44rem; height: auto; }
figcaption { font-size: .85rem; }
pre, code { overflow-wrap: anywhere; white-space: pre-wrap; font-size: .85rem; }
[class^="v-"] { padding: .05rem .45rem; border-radius: .6rem; color: #fff; font-size: .85rem;
  white-space: nowrap; }
.v-helps { background: #2e7d32; } .v-harms { background: #b3261e; } .v-null { background: #5f6368; }
.v-undecided { background: #6a1b9a; }
summary { cursor: pointer; }
@media (max-width: 44rem) { /* a phone: every row as a card, and no sideways scrolling */
  table, tbody, tr, td { display: block; } thead { display: none; }
  tr { border: 1px solid var(--line); margin: .5rem 0; padding: .25rem .5rem; }
  td { border: 0; padding: .1rem 0; overflow-wrap: anywhere; }
  td:empty { display: none; }
  td.number { text-align: left; white-space: normal; }
  td:first-child { font-weight: bold; }
  td[data-name]::before { content: attr(data-name) ": "; opacity: .7; }
}
</style></head><body>
<h1>$title</h1>
<ul class="result">$answers</ul>
<p>$setting</p>
<p>$floor</p>
<p>$counts</p>
<ul>$notes</ul>

<h2>Differences</h2>
<figure>$forest
<figcaption>Paired differences over seeds. Thick: Student's 95 % interval. Thin: the interval at
the corrected level, which holds for all comparisons of its family at once. Green and red: different
from zero by Holm's test, which is a little less strict than the thin interval. Bold: primary
comparisons.</figcaption></figure>
<details><summary>The same in figures</summary><ul>$sentences</ul></details>
<p>$family</p>

<h2>Result against cost</h2>
<figure>$cost
<figcaption>Mean over seeds with Student's 95 % interval. The numbers are those of the table of
arms.
</figcaption></figure>

<h2>Learning curves</h2>
<figure>$curves
<figcaption>Blue: the method; grey: its reference. Mean over the seeds that finished, and one
standard
deviation.</figcaption></figure>

<h2>Arms</h2>
$arms
<p>last: mean $measure ($better is better) of the last 10 epochs of a run, or of the last
quarter where that is less.
final: of the last epoch. sd: standard deviation over seeds (ddof 1). spread: standard deviation
over
the last epochs of one run, mean over runs. flips: weights whose sign changes in an epoch, over the
last
epochs. angle: between the gradient that the method hands to the optimiser and its reference. cost:
epochs of
plain training with as many passes. start: the same for the full-precision start. seconds: of one
run's
training.</p>

<h2>Comparisons</h2>
$comparisons
<p>$unit. Adjusted p: Holm, within the primary comparisons, and over all of them.
with the metric: "changes" where the verdict is another one in the other metric. cost ratio: cost of
the arm over that of its reference. Student and bootstrap: over seeds, for these test items; seeds
and items: for other items too, a dash where runs did not record which items were hits.
resolves:
half-width of the 95 % interval. power .8: the true difference that this many seeds would find with
probability 0.8 at the corrected level. A null says that no difference was found, not that there is
none.</p>
<h3>Remarks</h3><ul>$remarks</ul>

<h2>Every configuration that was tried</h2>
$tuning

<h2>Settings</h2>
$settings
<details><summary>The study as it was fixed</summary><pre>$study</pre></details>

<h2>Environment</h2>
$environment
<p>riemann-lne $version. Repeat: <code>$command</code></p>
</body></html>
"""
