"""Studies: the plan is checked, tuned on validation images only, and fixed before test runs."""

import copy
import json
import math

import pytest

from riemann_lne.errors import InvalidArgumentError, RiemannLNEError, StorageError, UnknownNameError
from riemann_lne_validation.comparison import study as s
from riemann_lne_validation.comparison import tuning
from riemann_lne_validation.comparison.protocol import Arm
from riemann_lne_validation.comparison.study_lock import NAME, StudyLockedError

PLAN = {
    "study": {"title": "A small one", "question": "Does dorefa beat STE?"},
    "setting": {"dataset": "digits", "epochs": 8},
    "tuning": {"seeds": [100, 101], "configurations": 2},
    "final": {"seeds": {"from": 0, "count": 6}},
    "arm": [
        {"label": "STE", "method": "ste", "grid": {"learning_rate": [0.1, 0.3]}},
        {"label": "DoReFa", "method": "dorefa", "options": {"standardize": True},
         "reference": "STE", "grid": {"options.scale": [1.0, 2.0]}},
        {"label": "LNE", "method": "lne-exact", "reference": "STE", "settings_of": "STE"},
        {"label": "float", "method": "full-precision", "reference": "STE",
         "why_untuned": "an upper bound"},
    ],
    "primary": [{"arm": "DoReFa", "reference": "STE"}],
}  # fmt: skip


class Runner:
    """In place of run_arms: accuracies follow from the settings; counts what it was asked for."""

    def __init__(self, fake_run, diverging=()):
        self.fake_run, self.diverging, self.calls = fake_run, diverging, []

    def __call__(self, arms, seeds, folder, **options):
        self.calls.append((arms, list(seeds), folder, options))
        found = []
        for arm in arms:
            accuracy = 0.9 - 0.02 * abs(math.log10(arm.learning_rate / 0.3))
            accuracy += {"dorefa": 0.02 * arm.options.get("scale", 1.0)}.get(arm.method, 0.0)
            for seed in seeds:
                lost = 3 if (arm.learning_rate, seed) in self.diverging else None
                record = self.fake_run(arm, seed, accuracy, diverged=lost, noise=0.002)
                record.save(folder / "records")
                found.append(record)
        return found


@pytest.fixture
def plan():
    return copy.deepcopy(PLAN)


def test_a_study_tunes_on_validation_and_measures_on_test(plan, fake_run, tmp_path):
    run = Runner(fake_run)
    summary = s.run_study(s.parse_study(plan), tmp_path, run=run, jobs=1)
    (tuned, tuning_seeds, place, options), (final, final_seeds, other, _) = run.calls
    assert {a.split for a in tuned} == {"validation"}
    assert {a.train_on for a in tuned} == {"train"}
    assert {a.split for a in final} == {"test"}
    assert {a.train_on for a in final} == {"train+validation"}
    assert not set(tuning_seeds) & set(final_seeds)
    assert place != other
    assert options == {"jobs": 1}
    by_label = {a.label: a for a in final}
    assert by_label["STE"].learning_rate == 0.3  # the better one on validation
    assert by_label["LNE"].learning_rate == 0.3  # of STE
    assert by_label["DoReFa"].options == {"standardize": True, "scale": 2.0}
    assert by_label["float"].learning_rate == 0.1
    assert summary.comparisons[0].primary.verdict == "helps"
    (sentence,) = summary.sentences
    assert sentence.startswith("DoReFa against STE (mean of the last 2 epochs): +")
    first, second = sentence.split(". Last epoch: ")
    assert first.endswith("helps at the corrected level")
    assert second.endswith(": helps")
    assert len(summary.tuning) == 4
    assert [t["chosen"] for t in summary.tuning] == [False, True, False, True]
    assert any("edge of its grid" in n and "STE, learning_rate = 0.3" in n for n in summary.notes)


def test_an_arm_may_be_tuned_from_the_settings_of_another(plan, fake_run, tmp_path):
    plan["arm"][1]["settings_of"] = "STE"
    run = Runner(fake_run)
    summary = s.run_study(s.parse_study(plan), tmp_path, run=run)
    (first, *_), (second, *_), (final, *_) = run.calls
    assert {a.method for a in first} == {"ste"}
    assert [(a.learning_rate, a.options["scale"]) for a in second] == [(0.3, 1.0), (0.3, 2.0)]
    dorefa = next(a for a in final if a.label == "DoReFa")
    assert (dorefa.learning_rate, dorefa.options["scale"]) == (0.3, 2.0)
    assert len(summary.tuning) == 4
    plan["arm"][2]["settings_of"] = "DoReFa"  # no chains
    with pytest.raises(UnknownNameError, match="known: STE"):
        s.parse_study(plan)


def test_one_reason_may_serve_all_untuned_arms(plan):
    plan["setting"]["why_untuned"] = "defaults of the authors"
    del plan["arm"][3]["why_untuned"]
    arms = s.parse_study(plan).arms
    assert [a.why_untuned for a in arms] == ["", "", "", "defaults of the authors"]


def test_a_second_call_goes_on_where_the_first_stopped(plan, fake_run, tmp_path):
    study = s.parse_study(plan)
    first = s.run_study(study, tmp_path, run=Runner(fake_run))
    again = s.run_study(study, tmp_path, run=Runner(fake_run))
    assert first.comparisons == again.comparisons


def test_a_kill_before_the_final_runs_leaves_a_plan_that_may_change(plan, fake_run, tmp_path):
    class Killed(Runner):
        def __call__(self, arms, seeds, folder, **options):
            if folder.name == "final":
                raise KeyboardInterrupt
            return super().__call__(arms, seeds, folder, **options)

    # the lock falls before the first test run, not after it
    with pytest.raises(KeyboardInterrupt):
        s.run_study(s.parse_study(plan), tmp_path, run=Killed(fake_run))
    assert json.loads((tmp_path / NAME).read_text())["final"] is not None
    plan["final"]["seeds"]["count"] = 12
    with pytest.raises(StudyLockedError, match=r"final\.seeds\.count"):
        s.run_study(s.parse_study(plan), tmp_path, run=Runner(fake_run))


def test_before_the_final_runs_the_plan_may_change_and_says_so(plan, fake_run, tmp_path):
    class Stopped(Runner):
        def __call__(self, arms, seeds, folder, **options):
            super().__call__(arms, seeds, folder, **options)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        s.run_study(s.parse_study(plan), tmp_path, run=Stopped(fake_run))
    plan["arm"][0]["grid"]["learning_rate"] = [0.3, 1.0]
    summary = s.run_study(s.parse_study(plan), tmp_path, run=Runner(fake_run))
    assert any("validation runs only: 1." in n for n in summary.notes)
    earlier = [t for t in summary.tuning if "earlier version" in t["arm"]]
    assert [t["settings"]["learning_rate"] for t in earlier] == [0.1]  # nothing tried is hidden


def test_a_changed_plan_is_refused_after_the_final_runs(plan, fake_run, tmp_path):
    s.run_study(s.parse_study(plan), tmp_path, run=Runner(fake_run))
    changed = copy.deepcopy(plan)
    changed["arm"][1]["options"]["center"] = True
    del changed["primary"]
    with pytest.raises(StudyLockedError, match=r"arm\[DoReFa\]\.options\.center, primary") as error:
        s.run_study(s.parse_study(changed), tmp_path, run=Runner(fake_run))
    assert isinstance(error.value, RiemannLNEError)
    s.run_study(s.parse_study(plan), tmp_path, run=Runner(fake_run))  # unchanged, it goes on


def test_an_edited_lock_and_test_runs_without_one_are_refused(plan, fake_run, tmp_path):
    study = s.parse_study(plan)
    s.run_study(study, tmp_path, run=Runner(fake_run))
    data = json.loads((tmp_path / NAME).read_text())
    data["table"]["study"]["question"] = "another one"
    (tmp_path / NAME).write_text(json.dumps(data))
    with pytest.raises(InvalidArgumentError, match="was edited"):
        s.run_study(study, tmp_path, run=Runner(fake_run))
    (tmp_path / NAME).write_text("{")
    with pytest.raises(InvalidArgumentError, match="damaged"):
        s.run_study(study, tmp_path, run=Runner(fake_run))
    (tmp_path / NAME).unlink()
    with pytest.raises(InvalidArgumentError, match="another folder"):
        s.run_study(study, tmp_path, run=Runner(fake_run))


def test_other_tuning_results_after_the_final_runs_are_refused(plan, fake_run, tmp_path):
    study = s.parse_study(plan)
    s.run_study(study, tmp_path, run=Runner(fake_run))
    other = Runner(fake_run, diverging={(0.3, 100)})
    with pytest.raises(StudyLockedError, match="chosen was"):
        s.run_study(study, tmp_path, run=other)


def test_a_configuration_that_diverges_is_not_chosen(plan, fake_run, tmp_path):
    run = Runner(fake_run, diverging={(0.3, 100)})
    summary = s.run_study(s.parse_study(plan), tmp_path, run=run)
    assert summary.arm("STE").arm.learning_rate == 0.1
    lost = [t for t in summary.tuning if t["diverged"]]
    assert len(lost) == 1
    assert not lost[0]["chosen"]
    assert lost[0]["validation_mean"] is not None


def test_when_everything_diverges_it_says_what_to_do(fake_run):
    group = tuning.candidates(Arm("a", "ste"), [{"learning_rate": 0.1}])
    runs = [fake_run(group[0].arm, 0, 0.5, diverged=1)]
    with pytest.raises(InvalidArgumentError, match="smaller learning rates"):
        tuning.tune({"a": group}, runs)


def test_a_test_run_cannot_be_used_for_tuning(fake_run):
    (candidate,) = tuning.candidates(Arm("a", "ste"), [{}])
    run = fake_run(Arm("a #1", "ste"), 0, 0.5)
    with pytest.raises(InvalidArgumentError, match="validation images only"):
        tuning.judge(candidate, [run])


def test_ties_go_to_the_first_configuration(fake_run):
    group = tuning.candidates(Arm("a", "ste"), [{"weight_decay": 0.0}, {"weight_decay": 0.1}])
    runs = [fake_run(c.arm, 0, 0.9, noise=0.0) for c in group]
    assert [t.chosen for t in tuning.tune({"a": group}, runs)] == [True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["arm"][0]["grid"].update(learning_rate=[0.1]), "budget of every tuned arm"),
        (lambda p: p["arm"][0]["grid"].update(learning_rate=[0.1, 0.1]), "twice"),
        (lambda p: p["tuning"].update(seeds=[3, 4]), r"seeds \[3, 4\] are used for tuning and"),
        (lambda p: p["arm"][3].pop("why_untuned"), "or else why_untuned"),
        (lambda p: p["arm"][2].update(settings_of="float"), "known: DoReFa, STE"),
        (lambda p: p["arm"][2].update(reference="nobody"), "known: DoReFa, LNE, STE, float"),
        (lambda p: p["primary"][0].update(arm="nobody"), "unknown arm of a primary comparison"),
        (lambda p: p["primary"][0].pop("reference"), "needs 'arm' and 'reference'"),
        (lambda p: p["arm"][0].update(split="validation"), "chooses the split"),
        (lambda p: p["arm"][0].update(learning_rat=1), "unknown setting of arm 'STE'"),
        (lambda p: p["arm"][0]["grid"].update(split=["test", "test"]), "cannot be tuned|budget"),
        (lambda p: p["arm"].append(p["arm"][0]), "same label"),
        (lambda p: p["study"].update(metric="best"), "known: final, last"),
        (lambda p: p["study"].update(alpha=5), "alpha"),
        (lambda p: p["study"].update(test="z"), "known: sign-flip, t"),
        (lambda p: p["final"].update(seeds=[1, 1]), "different whole numbers"),
        (lambda p: p["study"].pop("question"), "needs 'question'"),
        (lambda p: p.pop("final"), r"needs a table \[final\]"),
        (lambda p: p.update(finale={}), "unknown table of a study"),
        (lambda p: p["study"].update(titel="x"), r"unknown entry of \[study\]"),
        (lambda p: p["arm"][0].update(grid={"learning_rate": 0.1}), "must be a list"),
        (lambda p: p["tuning"].update(seeds=[]), "needs seeds"),
        (lambda p: p["arm"][0]["grid"].update(learning_rate=[0.1, -1.0]), "learning_rate must be"),
    ],
)
def test_a_bad_plan_is_refused_before_anything_runs(plan, change, message):
    change(plan)
    with pytest.raises((InvalidArgumentError, UnknownNameError), match=message):
        s.parse_study(plan)


def test_an_option_that_a_method_does_not_have_is_refused_before_tuning(plan, fake_run, tmp_path):
    plan["arm"][2]["options"] = {"blok": "channel"}
    run = Runner(fake_run)
    with pytest.raises(UnknownNameError, match="option of method 'lne-exact' 'blok'"):
        s.run_study(s.parse_study(plan), tmp_path, run=run)
    assert not run.calls
    assert not (tmp_path / NAME).exists()


def test_studies_are_found_by_name_and_by_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[study]\ntitle = "x"\n')
    assert s.find_study(path) == path
    with pytest.raises(InvalidArgumentError, match=r"mine\.toml: \[study\] needs 'question'"):
        s.load_study(path)
    path.write_text("seeds = 3\n")
    assert s.find_study(path) is None
    path.write_text("[study\n")
    with pytest.raises(InvalidArgumentError, match="not a TOML"):
        s.find_study(path)
    with pytest.raises(UnknownNameError, match="unknown study or file"):
        s.find_study("nothing-of-that-name")
    with pytest.raises(StorageError):
        s.load_study(tmp_path / "none.toml")


def test_a_study_may_say_only_in_what_it_differs_from_another(tmp_path):
    path = tmp_path / "again.toml"
    path.write_text(
        'extends = "last-bit-digits"\n[study]\ntitle = "x"\n'
        "[setting]\nepochs = 8\n[final]\nseeds = [77, 78]\n"
    )
    base, again = s.load_study(s.find_study("last-bit-digits")), s.load_study(path)
    assert (again.title, again.question, again.final_seeds) == ("x", base.question, (77, 78))
    assert [a.label for a in again.arms] == [a.label for a in base.arms]
    assert {a.arm.epochs for a in again.arms} == {8}
    assert {a.arm.model for a in again.arms} == {a.arm.model for a in base.arms}
    assert "extends" not in again.table  # the lock and the record hold the whole of it
    assert s.parse_study(again.table) == again


@pytest.mark.parametrize("name", ['"{path}"', "3"])
def test_a_study_extends_one_that_is_written_out(tmp_path, name):
    path = tmp_path / "again.toml"
    path.write_text(f'extends = {name.format(path=path)}\n[study]\ntitle = "x"\n')
    with pytest.raises(InvalidArgumentError, match="extends must name a study that is written out"):
        s.load_study(path)


@pytest.mark.parametrize("name", s.available_studies())
def test_the_studies_of_the_package_are_valid(name):
    from riemann_lne_validation.comparison.methods import get_method

    study = s.load_study(s.find_study(name))
    arms = [c.arm for group in study.candidates().values() for c in group] + study.final_arms({})
    for arm in arms:
        get_method(arm.method, arm.options).check(arm)
    assert study.describe().startswith(study.title)
