"""The command line: settings, configurations, errors, a whole run."""

import argparse
import json
import re

import pytest

from riemann_lne.errors import InvalidArgumentError, StorageError, UnknownNameError
from riemann_lne_torch import available_estimators
from riemann_lne_validation.commands import compare
from riemann_lne_validation.comparison import command, runner, study
from riemann_lne_validation.comparison.command import _arms_work, comparison_of, parse_set
from riemann_lne_validation.comparison.config import load_config
from riemann_lne_validation.comparison.methods import available_methods


def parsed(*words):
    parser = argparse.ArgumentParser()
    compare(parser.add_subparsers())
    return parser.parse_args(["compare", *map(str, words)])


def chosen(*words):
    return comparison_of(parsed(*words))


def run(*words):
    arguments = parsed(*words)
    return arguments.run(arguments)


def test_without_a_word_all_methods_on_digits_with_ste_first():
    comparison = chosen()
    names = [arm.method for arm in comparison.arms]
    assert names[0] == "ste"
    assert set(names) == set(available_methods())
    assert comparison.seeds == (0, 1, 2, 3, 4)
    assert {arm.dataset for arm in comparison.arms} == {"digits"}
    assert {arm.split for arm in comparison.arms} == {"test"}


def test_settings_go_to_every_arm():
    words = "--dataset cifar10 --model resnet8 --methods ste lne-weak --seeds 2 --epochs 7"
    words += " --optimizer adam --weight-decay 0.001 --subset 10000 --weight-bits 2"
    comparison = chosen(*words.split())
    for arm in comparison.arms:
        assert (arm.dataset, arm.model, arm.epochs, arm.subset) == ("cifar10", "resnet8", 7, 10000)
        assert (arm.optimizer, arm.learning_rate, arm.weight_decay) == ("adam", 0.01, 0.001)
        assert (arm.augmentation, arm.batch_size, arm.weight_bits) == ("standard", 128, 2)


def test_set_reaches_options_and_settings():
    words = ["--methods", "ste", "lne-exact", "--set", "lne-exact.block=channel"]
    words += ["--set", "lne-exact.target=0.9", "--set", "ste.weight_decay=1e-3"]
    ste, lne = chosen(*words).arms
    assert lne.options == {"block": "channel", "target": 0.9}
    assert (ste.weight_decay, ste.options, lne.weight_decay) == (1e-3, {}, 0.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a.b=1", 1), ("a.b=1e-3", 1e-3), ("a.b=true", True), ("a.b=none", None), ("a.b='x'", "x")],
)
def test_values_of_set(text, value):
    assert parse_set(text) == ("a", "b", value)


@pytest.mark.parametrize("text", ["a=1", "a.b", ".b=1", "=1", ""])
def test_a_set_of_another_form(text):
    with pytest.raises(InvalidArgumentError, match=r"give METHOD\.OPTION=VALUE"):
        parse_set(text)


def test_unknown_names_are_told():
    with pytest.raises(UnknownNameError, match=r"unknown method 'lne'; known: .*lne-exact"):
        chosen("--methods", "lne")
    with pytest.raises(UnknownNameError, match="method in --set"):
        chosen("--methods", "ste", "--set", "dorefa.scale=1")
    with pytest.raises(UnknownNameError, match="arm as reference"):
        chosen("--methods", "ste", "--reference", "dorefa")


CONFIG = """
seeds = [3, 5]
reference = "tuned"

[defaults]
epochs = 6
optimizer = "adam"

[[arms]]
label = "tuned"
method = "ste"
weight_decay = 1e-3

[[arms]]
method = "rf-dnn"
epochs = 2
options = { alpha = 0.01, max_ratio = 0.5 }
"""


class TestConfig:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "c.toml"
        path.write_text(CONFIG)
        return path

    def test_arms_and_defaults(self, path):
        comparison = load_config(path)
        tuned, other = comparison.arms
        assert (comparison.seeds, comparison.reference) == ((3, 5), "tuned")
        assert (tuned.label, tuned.epochs, tuned.weight_decay) == ("tuned", 6, 1e-3)
        assert (other.label, other.epochs, other.learning_rate) == ("rf-dnn", 2, 0.01)
        assert other.options == {"alpha": 0.01, "max_ratio": 0.5}

    def test_the_command_line_has_the_last_word(self, path):
        comparison = chosen("--config", path, "--epochs", 1, "--seeds", 1)
        assert [arm.epochs for arm in comparison.arms] == [1, 1]
        assert comparison.seeds == (0,)
        with pytest.raises(InvalidArgumentError, match="exclude each other"):
            chosen("--config", path, "--methods", "ste")

    @pytest.mark.parametrize(
        ("text", "error", "message"),
        [
            ("seeds = ", InvalidArgumentError, "not a TOML file"),
            ("seeds = 2", InvalidArgumentError, r"\[\[arms\]\]"),
            ("arm = 1", UnknownNameError, "entry of c.toml 'arm'"),
            ("[[arms]]\nlabel = 'x'", InvalidArgumentError, "needs a method"),
            ("seeds = 0\n[[arms]]\nmethod = 'ste'", InvalidArgumentError, "seeds must be"),
            ("[[arms]]\nmethod = 'ste'\nepoch = 1", UnknownNameError, "'epochs'"),
            ("reference = 'a'\n[[arms]]\nmethod = 'ste'", UnknownNameError, "reference"),
        ],
    )
    def test_mistakes(self, tmp_path, text, error, message):
        path = tmp_path / "c.toml"
        path.write_text(text)
        with pytest.raises(error, match=message):
            load_config(path)

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(StorageError, match="cannot read"):
            load_config(tmp_path / "c.toml")


def test_another_split_of_a_file_or_of_one_arm(tmp_path):
    """With --split the training items change too, unless the arm names its own."""
    path = tmp_path / "c.toml"
    path.write_text("[[arms]]\nmethod = 'ste'")
    (arm,) = chosen("--config", path, "--split", "validation").arms
    assert (arm.split, arm.train_on) == ("validation", "train")
    one, two = chosen("--methods", "ste", "ede", "--set", "ede.split=validation").arms
    assert (one.split, one.train_on) == ("test", "train+validation")
    assert (two.split, two.train_on) == ("validation", "train")


def test_a_file_with_another_data_set_takes_what_is_usual_there(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[[arms]]\nmethod = 'ste'\nepochs = 3")
    (arm,) = chosen("--config", path, "--dataset", "mnist1d").arms
    assert (arm.model, arm.epochs) == ("cnn1d", 3)


@pytest.mark.parametrize("words", [("--weight-decay", 0), ("--seeds", 0), ("--epochs", 0)])
def test_a_study_takes_no_setting_that_is_zero(words, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_run", lambda work, arguments: 0)  # it would take minutes
    with pytest.raises(InvalidArgumentError, match=f"leave out {words[0]}"):
        run("--config", "digits", *words, "--out", tmp_path)


def test_a_study_writes_events_if_asked(tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(study, "run_study", lambda *_, **options: given.update(options) or None)
    monkeypatch.setattr(command, "_run", lambda work, arguments: work())
    run("--config", "digits", "--tensorboard", tmp_path / "events", "--out", tmp_path / "runs")
    assert given["tensorboard"] == tmp_path / "events"


def test_a_whole_comparison(tmp_path, capsys):
    words = ["--methods", "ste", "dorefa", "--seeds", 2, "--epochs", 2, "--jobs", 1]
    words += ["--out", tmp_path / "runs", "--json", tmp_path / "results" / "all.json"]
    assert run(*words) == 0
    out, err = capsys.readouterr()
    assert "[4/4]" in err
    assert "dorefa" in out
    results = json.loads((tmp_path / "results" / "all.json").read_text())
    assert results
    assert run(*words) == 0
    assert "4 runs are there already" in capsys.readouterr().err


def test_a_folder_that_nothing_reads_is_refused(tmp_path):
    """Somebody would take the results for those of the data in it."""
    with pytest.raises(InvalidArgumentError, match="nothing reads it, digits has its own data"):
        run("--methods", "ste", "--data", tmp_path, "--out", tmp_path / "runs")
    with pytest.raises(StorageError, match="data_batch"):  # which cifar10 does
        run("--methods", "ste", "--dataset", "cifar10", "--data", tmp_path, "--out", tmp_path / "r")


def test_the_list_of_methods(capsys):
    assert run("--list") == 0
    out = capsys.readouterr().out
    assert "rf-dnn" in out
    assert "alpha=0.001" in out
    # a name that fixes an option of an estimator's class
    assert "trusts only weights near their level. Here with hadamard=128." in out
    methods = re.findall(r"^  (\S+)$", out.partition("data sets and tasks")[0], re.MULTILINE)
    assert sorted(methods) == sorted(available_methods())
    # a registered estimator is left out only where the corrector gives the same gradients
    left_out = set(available_estimators()) - set(methods)
    assert left_out == {"standardized", *(n for n in left_out if n.startswith("lne"))}


def test_a_missing_reference_is_an_error_before_any_run(tmp_path, monkeypatch):
    """By the command, and by a file without a reference; a study names its references."""
    monkeypatch.setattr(runner, "train", None)
    file = tmp_path / "c.toml"
    file.write_text("seeds = 1\n[[arms]]\nmethod = 'dorefa'\n")
    for words in (["--methods", "dorefa", "bwn"], ["--config", file]):
        with pytest.raises(InvalidArgumentError, match=r"no arm with method 'ste'.*--reference"):
            run(*words, "--out", tmp_path / "runs")
    assert not (tmp_path / "runs" / "records").exists()


def test_a_place_that_cannot_be_written_is_an_error_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgumentError, match="cannot write to"):
        run("--methods", "ste", "--report", tmp_path / "file", "--out", tmp_path / "runs")
    assert not (tmp_path / "runs" / "records").exists()


def test_an_interruption_is_not_a_crash(tmp_path, monkeypatch, capsys):
    from riemann_lne_validation.comparison import runner

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "train", interrupted)
    assert run("--methods", "ste", "--jobs", 1, "--out", tmp_path) == 130
    assert "the same command goes on there" in capsys.readouterr().err


def test_inputs_of_few_levels_are_told_before_anything_runs(capsys):
    for more, told in (["2"], 1), (["2", "--activation-range", "learned"], 0), (["4"], 0):
        _arms_work(parsed("--methods", "ste", "--activation-bits", *more))
        assert capsys.readouterr().err.count("Inputs of 2 bits") == told
