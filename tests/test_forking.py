"""Processes forked for tests are processes of their own: status, files, folder, variables and signals."""

import os
import signal
import subprocess
import sys

import pytest

import forking

pytestmark = pytest.mark.usefixtures("forked_processes")


def python(code, *words, **options):
    return subprocess.run([sys.executable, "-c", code, *words], text=True, **{"capture_output": True, **options})


@pytest.mark.slow
def test_a_program_has_its_own_status_files_folder_and_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("OF_THE_TESTS", "1")
    code = "import os, sys; print(os.getcwd(), os.environ['OWN'], sys.argv, input()); sys.exit(7)"
    done = python(code, "x", cwd=tmp_path, env={"OWN": "2"}, input="a line")
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout == f"{tmp_path} 2 ['-c', 'x'] a line\n"
    assert python("import sys, os; sys.exit(os.environ['OF_THE_TESTS'])").stderr == "1\n"
    failed = python("1 / 0")
    assert failed.returncode == 1
    assert failed.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_it_is_forked_from_a_process_that_has_imported_torch_and_forks_others():
    code = "import os, subprocess, sys; print(os.getpid(), os.getppid(), 'torch' in sys.modules, flush=True)\n"
    nested = f"{code}subprocess.run([sys.executable, '-c', {code!r}])"
    (one, parent, loaded), (other, same_parent, also_loaded) = map(str.split, python(nested).stdout.splitlines())
    assert loaded == also_loaded == "True"
    assert parent == same_parent != str(os.getpid())
    assert len({one, other, parent}) == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(number):
    code = "import sys, time\nprint('started', flush=True)\ntry: time.sleep(60)\nexcept KeyboardInterrupt: sys.exit(9)"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert isinstance(process, forking.ForkedPopen)
        assert process.stdout.readline() == "started\n"
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        assert os.getpgid(process.pid) == process.pid
        os.killpg(process.pid, number)
        assert process.wait(60) == (9 if number == signal.SIGINT else -number)


def test_programs_of_others_start_as_usual():
    assert subprocess.run(["echo", "x"], capture_output=True, text=True, check=True).stdout == "x\n"
    with pytest.raises(FileNotFoundError):
        subprocess.run(["no-such-program"])
