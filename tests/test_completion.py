"""Completion of the command line, and the flags that Hydra's users type."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from imblab.cli import main
from imblab.cli.arguments import join_hydra_flags
from imblab.cli.completion import AUDIT_CHECKS, complete_line
from imblab.commands.study_audit import choose_checks

SRC = Path(__file__).parents[1] / "src"


@pytest.fixture(autouse=True)
def workdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("imblab com", ["compare", "completion"]),
        ("imblab list st", ["strategies", "studies"]),
        ("imblab run --con", ["--config-dir"]),
        ("imblab run prot", ["protocol.", "protocol="]),
        ("imblab run search=", ["search=grid", "search=qmc", "search=random", "search=tpe"]),
        ("imblab run strategy=[none,threshold,class", ["strategy=[none,threshold,class_weight"]),
        ("imblab run 'strategy=[none,smote_p", ["strategy=[none,smote_prior"]),
        ("imblab plan strategy.smote.sp", ["strategy.smote.space."]),
        ("imblab run strategy.smote.space.", ["strategy.smote.space.k=", "strategy.smote.space.ratio="]),
        ("imblab run strategy.smote.threshold=t", ["strategy.smote.threshold=tuned"]),
        ("imblab run runner.n", ["runner.n_jobs="]),
        ("imblab run runner.store=", ["runner.store=false", "runner.store=true"]),
        ("imblab run primary=mc", ["primary=mcc"]),
        ("imblab run claims.rope.", ["claims.rope.mcc=", "claims.rope.pr_auc="]),
        ("imblab run dataset.table.amo", ["dataset.table.amount="]),
        ("imblab run +dataset.table.tar", ["+dataset.table.target="]),
        ("imblab completion ", ["bash", "fish", "zsh"]),
        ("imblab nothing ", []),
        ("imblab run name=", []),
        ("imblab run hydra.sweep", []),
    ],
)
def test_a_word_is_completed(line, expected):
    assert complete_line(line) == expected


def test_keys_and_columns_of_a_table_are_completed(workdir):
    (workdir / "kunden.csv").write_text('\ufeffalter;"land";left.early;first name\n1;x;0;y\n', encoding="utf-8")
    (workdir / "odd.csv").write_bytes(b"\xff\x00")
    assert complete_line("imblab run kunden.csv dro") == ["drop=", "drop_classes="]
    assert complete_line("imblab new kunden.csv tar") == ["target="]
    assert complete_line("imblab plan kunden.csv target=") == ["target=alter", "target=land", "target=left.early"]
    assert complete_line("imblab run kunden.csv target=left.early drop=[alter,l") == [
        *("drop=[alter,land", "drop=[alter,left.early")
    ]
    assert complete_line("imblab new kunden.csv --target l") == ["land", "left.early"]
    assert complete_line("imblab new kunden.csv lear") == []
    assert complete_line("imblab new kun") == ["kunden.csv"]
    assert complete_line("imblab run odd.csv target=") == complete_line("imblab run none.csv target=") == []
    assert complete_line("imblab run target=") == complete_line("imblab run dro") == []


def test_columns_of_parquet_checks_and_members_of_a_study_are_completed(workdir):
    pd.DataFrame({"age": [1], "left": [0], "first name": [1]}).to_parquet(workdir / "churn.parquet")
    (workdir / "odd.parquet").write_bytes(b"PAR1")
    long = "imblab run dataset=table dataset.table.path=churn.parquet dataset.table."
    assert complete_line("imblab run churn.parquet target=") == ["target=age", "target=left"]
    assert complete_line(f"{long}target=l") == ["dataset.table.target=left"]
    assert complete_line(f"{long}drop=[age,") == ["dataset.table.drop=[age,left"]
    assert complete_line("imblab run odd.parquet target=") == []
    assert complete_line("imblab audit small --checks t") == ["telling-columns", "threshold-peeking", "time-shift"]
    assert complete_line("imblab audit small --checks optimism,du") == ["optimism,duplicates"]
    assert len(choose_checks(AUDIT_CHECKS)) == len(choose_checks(()))
    home = workdir / "experiments" / "small"
    home.mkdir(parents=True)
    (home / "study.yaml").write_text("dataset: {yeast6: {}, ecoli3: {}}\nlearner: {knn: {}}\nname: small\n")
    assert complete_line("imblab export small data") == ["dataset="]
    assert complete_line("imblab export small dataset=") == ["dataset=ecoli3", "dataset=yeast6"]
    assert complete_line("imblab verify small learner=k") == ["learner=knn"]
    assert complete_line("imblab export small name=") == complete_line("imblab export none dataset=") == []


def test_names_of_studies_files_and_own_groups_are_completed(workdir):
    for name in ("first", "second", "first~1"):
        (workdir / "experiments" / name).mkdir(parents=True)
        (workdir / "experiments" / name / "study.yaml").write_text("")
    (workdir / "churn.csv").write_text("a,y\n")
    (workdir / "notes.txt").write_text("")
    (workdir / "mine" / "learner").mkdir(parents=True)
    (workdir / "mine" / "learner" / "zebra.yaml").write_text("zebra: {make: {_target_: a.B, stripes: 3}}\n")
    assert complete_line("imblab compare ") == ["first", "second"]
    assert complete_line("imblab compare first s") == ["second"]
    assert complete_line("imblab run chu") == ["churn.csv"]
    assert complete_line("imblab run experiments/f") == ["experiments/first/", "experiments/first~1/"]
    assert complete_line("imblab run experiments/first/") == ["experiments/first/study.yaml"]
    assert "notes.txt" not in complete_line("imblab run n")
    assert complete_line("imblab run --config-dir mine learner=[knn,ze") == ["learner=[knn,zebra"]
    assert complete_line("imblab run --config-dir mine learner.zebra.make.str") == ["learner.zebra.make.stripes="]
    assert complete_line("imblab run --config-dir m") == []
    (workdir / "mine" / "learner" / "zebra.yaml").write_text("a: [\n")
    assert complete_line("imblab run --config-dir mine learner.zebra.") == []


def test_a_word_is_completed_without_heavy_imports():
    code = (
        "import sys\nfrom imblab.cli import main\nmain(['completion', 'words', 'imblab run strategy.smote.'])\n"
        "print('HEAVY', sorted({'numpy', 'pandas', 'sklearn', 'hydra', 'pydantic', 'omegaconf'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "strategy.smote.ratio=" in done.stdout
    assert done.stdout.endswith("HEAVY []\n")


@pytest.fixture
def shell(workdir, monkeypatch):
    """Run a script in a real shell where ``imblab`` is this checkout."""

    def run(name, script):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        program = workdir / "bin" / "imblab"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nPYTHONPATH={SRC} exec {sys.executable} -m imblab "$@"\n')
        program.chmod(0o755)
        environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(workdir)}
        quiet = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
        done = subprocess.run(
            [name, *quiet, "-c", script], capture_output=True, text=True, env=environment, timeout=60, check=True
        )
        return done.stdout.split()

    return run


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("imblab run search=t", ["tpe"]),  # bash cuts words at an equals sign
        ("imblab run strategy=[none,smote_to", ["[none,smote_tomek"]),
        ("imblab run strategy.smote.ra", ["strategy.smote.ratio="]),
        ("imblab repo", ["report"]),
    ],
)
def test_bash_completes(shell, line, expected):
    script = (
        'eval "$(imblab completion bash)"\n'
        f"COMP_LINE='{line}' COMP_POINT={len(line)}\n_imblab_complete\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    assert shell("bash", script) == expected


def test_bash_leaves_files_to_itself_where_nothing_fits(shell):
    script = (
        'eval "$(imblab run -sc install=bash)"\ncomplete -p imblab\n'
        "COMP_LINE='imblab run name=' COMP_POINT=16\n_imblab_complete || echo default"
    )
    assert shell("bash", script) == ["complete", "-o", "default", "-F", "_imblab_complete", "imblab", "default"]


def test_zsh_completes(shell):
    script = (
        'eval "$(imblab completion zsh)"\n'
        "compadd() { shift 4; print -l -- $@ }\n_files() { print files }\n"
        "words=(imblab run 'search=t') CURRENT=3; _imblab_complete\n"
        "words=(imblab run 'name=') CURRENT=3; _imblab_complete\n"
    )
    assert shell("zsh", script) == ["search=tpe", "files"]


def test_fish_completes(shell):
    script = 'imblab completion fish | source\ncomplete -C "imblab run search=t"'
    assert shell("fish", script) == ["search=tpe"]


@pytest.mark.parametrize(
    "words", [["completion"], ["completion", "csh"], ["-sc", "install=csh"], ["-sc", "query=bash"]]
)
def test_an_unknown_shell_is_refused(capsys, words):
    assert main(words) == 2
    assert "bash, zsh or fish. Write for example" in capsys.readouterr().err


def test_a_completion_is_removed_as_hydra_does(capsys):
    assert main(["-sc", "uninstall=bash"]) == 0
    assert capsys.readouterr().out == "complete -r imblab\n"


QUESTION = ("experiment=quickstart", "learner=[logistic]", "strategy.smote.space.k=choice(3)", "runner.n_jobs=1")


def test_a_printed_study_is_the_one_that_runs(capsys, workdir):
    assert main(["run", "--cfg", "job", *QUESTION]) == 0
    text = capsys.readouterr().out
    study = yaml.safe_load(text)
    assert study["name"] == "quickstart"
    assert study["strategy"]["smote"]["space"]["k"] == "choice(3)"
    (workdir / "that.yaml").write_text(text)
    assert main(["plan", "-c", "job", "that.yaml"]) == 0
    assert capsys.readouterr().out == text
    assert main(["run", "--cfg", "all", *QUESTION]) == 0
    whole = capsys.readouterr().out
    assert yaml.safe_load(whole) == study
    assert "#   n_jobs: 1" in whole
    assert main(["run", *QUESTION, "--cfg", "job", "-p", "claims.rope"]) == 0
    assert capsys.readouterr().out == "rope:\n  mcc: 0.02\n  pr_auc: 0.02\n"
    assert not (workdir / "experiments").exists()


@pytest.mark.parametrize(
    ("words", "way_out"),
    [
        (["-m", "learner=knn,svm"], "Write 'learner=[knn,svm]'."),
        (["--multirun"], "Leave it out and list names, as in 'learner=[knn,svm]'"),
        (["strategy.smote.k=3,5"], "Write 'strategy.smote.space.k=choice(3,5)'."),
        (["strategy.smote.k=range(3,9,2)"], "Write 'strategy.smote.space.k=range(3,9,2)'."),
        (["learner.knn.make.p=1,2"], "Write 'learner.knn.space.p=choice(1,2)' search.tune_learner=true search=tpe."),
        (["seed=1,2"], "write protocol.repeats=3"),
        (["claims.alpha=0.1,0.2"], "imblab compare A B"),
        (["-cn", "quickstart"], "Choose the experiment: experiment=quickstart."),
        (["-cp", "mine"], "Name their folder: --config-dir mine."),
        (["--info", "searchpath"], "Print the study with --cfg job"),
        (["--hydra-help"], "Write `imblab run --help`"),
        (["--experimental-rerun", "config.pickle"], "imblab reproduce <name>"),
        (["--cfg", "hydra"], "Write --cfg job for the study"),
        (["--cfg", "job", "--package", "claimz", *QUESTION], "Did you mean 'claims'?"),
    ],
)
def test_flags_of_hydra_are_refused_with_the_way_out(capsys, words, way_out):
    for command in ("run", "plan"):
        assert main([command, *words]) == 2
        assert way_out in capsys.readouterr().err


def test_the_help_of_a_run_names_every_group_with_a_line(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    lines = capsys.readouterr().out.splitlines()
    for group in (
        "experiment",
        "dataset",
        "learner",
        "strategy",
        "protocol",
        "search",
        "measures",
        "runner",
        "tracking",
    ):
        assert any(line.split()[:1] == [group] and len(line.split()) > 4 for line in lines)
    assert any("imblab list --schema" in line for line in lines)


def test_words_are_completed_from_their_beginning():
    assert complete_line("imblab com") == ["compare", "completion"]
    assert complete_line("imblab run learner=[knn,log") == ["learner=[knn,logistic"]


def test_flags_of_hydra_are_joined_with_their_values():
    words = join_hydra_flags(["run", "-cn", "config", "-c", "job", "-m"])
    assert words == ["run", "-cn config", "--cfg", "job", "-m"]
