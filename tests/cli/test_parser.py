"""What the command line says before anything is loaded that answers."""

import json
import os
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from izhi.cli.commands import COMMANDS, STAGES
from izhi.cli.options import SHELLS
from izhi.cli.parser import parser
from izhi.errors import SettingError
from izhi.experiments.settings import FIELDS, GROUPS, Mark, choices, groups, marked

#: What is asked, and what of torch, numba and numpy may then be loaded: nothing.
QUICK = [
    ["--version"],
    ["--help"],
    ["trian"],
    *([name, "--help"] for name in COMMANDS),
    ["completion", "bash"],
    ["train", "--neurn", "lif"],
    ["train", "--encoding", "raet"],
    ["compare", "--seed", "1"],
    ["train", "--neuron", "RX"],
    ["train", "--dataset", "mnits"],
    ["tune", "--epochs", "many"],
    ["train", "--layers", "con 16x5"],
]


@pytest.fixture(scope="module")
def modules_of(tmp_path_factory):
    """Modules that are loaded after a command has run in a copy of a process that has read a command."""
    code = """
import contextlib, json, sys
from forked import serve
from izhi.cli import main
from izhi.cli.parser import parser

parser(whole=True).parse_args(["train", "--neuron", "lif"])
assert not {"torch", "numba"} & {*sys.modules}

def modules(line):
    with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
        main(json.loads(line))
    return sorted(sys.modules)

serve(modules, str)
"""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, cwd=tmp_path_factory.mktemp("commands"), env={**os.environ, "PYTHONPATH": paths},
    ) as process:  # fmt: skip

        def modules_of(words):
            print(json.dumps(words), file=process.stdin, flush=True)
            modules = json.loads(process.stdout.readline())
            assert "izhi.cli.parser" in modules
            return set(modules)

        yield modules_of


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_an_answer_without_torch(words, modules_of):
    assert not modules_of(words) & {"torch", "numba"}


@pytest.mark.slow
@pytest.mark.parametrize("words", [["data", "list", "iris"], ["simulate", "RS"]], ids=" ".join)
def test_what_does_not_train_loads_nothing_for_it(words, modules_of):
    """Each of these takes a second or more."""
    assert not modules_of(words) & {"lightning_fabric", "torch._dynamo", "scipy.stats"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "unknown command 'trian' (did you mean 'train'?)"),
        (["train", "--learning-rat", "1"], "no option --learning-rat (did you mean --learning-rate?)"),
        (["train", "--encoding", "raet"], "unknown encoding 'raet' (did you mean 'rate'?)"),
        (["train", "--per-neuron", "maybe"], "unknown per_neuron 'maybe'; expected one of: true, false"),
        (["run", "x.izhi", "--device", "emulater"], "unknown device 'emulater' (did you mean 'emulator'?)"),
        (["completion", "fish"], "unknown shell 'fish'; expected one of: bash, zsh, tcsh"),
        (["data", "chek"], "unknown action 'chek'"),
        (["train", "--zzzzzz"], "no option --zzzzzz; see izhi train --help"),
        (["--verison"], "no option --verison (did you mean --version?); see izhi --help"),
        (["--zzzzzz", "train"], "no option --zzzzzz; see izhi --help"),
        ([], "the following arguments are required: COMMAND; see izhi --help"),
    ],
)
def test_the_nearest_word_is_named(words, message):
    with pytest.raises(SettingError) as error:
        parser().parse_args(words)
    assert message in str(error.value)
    assert len(str(error.value)) < 200


def test_a_switch_needs_no_value():
    parsed = parser().parse_args(["train", "--per-neuron", "--counts", "false", "--learn", "a1"])
    assert (parsed.per_neuron, parsed.counts, parsed.learn) == ("true", "false", "a1")


def test_help_shows_choices(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["train", "--help"])
    shown = capsys.readouterr().out
    assert "--loss {count,step,max,mean,last,rate_mse}" in shown
    assert "VALUE" not in shown


def help_of(words, capsys):
    with pytest.raises(SystemExit) as end:
        parser().parse_args(words)
    assert end.value.code == 0
    return capsys.readouterr().out


def test_help_lists_the_commands_by_stage(capsys):
    text = help_of(["--help"], capsys)
    places = [text.index(f"\n{stage}:\n") for stage in STAGES]
    assert places == sorted(places)
    for name, entry in COMMANDS.items():
        assert f"  {name} " in text
        assert entry.about.split()[0] in text


def test_help_shows_common_settings_and_help_all_every_one(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    short, whole = help_of(["train", "--help"], capsys), help_of(["train", "--help-all"], capsys)
    assert len(short.splitlines()) <= 54
    common = set(marked(Mark.COMMON))
    for name in set(FIELDS) - set(marked(Mark.OF_FILES)):
        option = f"  --{name.replace('_', '-')} "
        assert option in whole
        assert (option in short) == (name in common)
    for group in GROUPS:
        assert f"settings [{group}]:\n" in whole
    assert "learning rate of the weights [0.0005]" in short
    assert "early stopping: epochs without a better validation accuracy" not in short


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_parse_and_every_option_has_a_help_line(name, capsys):
    top = parser(whole=True)
    for line in COMMANDS[name].examples.splitlines():
        program, *words = shlex.split(line.partition(" > ")[0])
        assert program == "izhi"
        assert top.parse_args(words).command == name
        assert f"  {line}\n" in help_of([name, "--help"], capsys)
    (commands,) = (x for x in top._actions if x.dest == "command")
    for action in commands.choices[name]._actions:
        assert action.help, action.dest


@pytest.mark.parametrize("name", COMMANDS)
def test_there_is_code_for_every_command(name):
    module, _, function = COMMANDS[name][0].partition(".")
    assert callable(getattr(import_module(f"izhi.cli.{module}"), function))


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete_options(shell, capsys):
    from izhi import cli

    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "learning-rate" in script
    assert "adapt" in script


def test_choices_are_those_of_what_they_name():
    from izhi.experiments import adaptation, searches, targets
    from izhi.neurons.surrogate import SURROGATES
    from izhi.training import evolution

    assert tuple(targets.TARGETS) == choices.TARGETS
    assert set(searches.SEARCHES) == set(choices.DEVICE_SEARCHES)
    assert evolution.SEARCHES == choices.SEARCHES
    assert tuple(SURROGATES) == groups.NeuronSettings.model_fields["surrogate"].annotation.__args__
    assert {"Backpropagation", "Evolving", "NoLearning"} <= set(adaptation.__all__)


@pytest.mark.parametrize("old", [["--without", "9"], ["--without=9"]])
def test_a_setting_is_not_given_by_both_of_its_names(old):
    message = "^--without is given beside --exclude-classes, its new name; leave --without out$"
    with pytest.raises(SettingError, match=message):
        parser().parse_args(["train", *old, "--exclude-classes", "8"])
