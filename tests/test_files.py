"""Files: whole or not there, and one clear line with its fix for all that the system refuses."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from izhi import cli, files
from izhi.errors import FileError, IzhiError, RunFolderError

FULL = Path("/dev/full")


def refused(capsys, *arguments):
    """The one line of the error of a command, after checking status 2."""
    assert cli.main([str(a) for a in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in lines if line.startswith("izhi: ")]
    assert errors == lines[-1:], "one line, after what is told of progress"
    return errors[0]


def test_a_file_is_written_whole_and_for_the_same_readers_as_any_other(tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    files.write_bytes(path, b"first")
    files.write_bytes(path, b"second")
    (tmp_path / "other").write_bytes(b"")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    files.write_bytes(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"x"


def test_a_pipe_is_written_to_as_it_is(tmp_path):
    code = "from pathlib import Path; from izhi import files; files.write_bytes(Path('/dev/stdout'), b'x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "x"), done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk():
    with pytest.raises(FileError, match="cannot write /dev/full: No space left.*free some space"):
        files.write_bytes(FULL, b"x")
    assert stat.S_ISCHR(FULL.stat().st_mode)


@pytest.mark.parametrize("below", ["x", "x/y/z"])
def test_a_file_where_a_folder_is_expected(tmp_path, below):
    (tmp_path / "file").write_text("")
    for write in (lambda path: files.write_bytes(path, b""), files.make_folder):
        with pytest.raises(FileError, match="cannot write .*file.*is a file: choose another place"):
            write(tmp_path / "file" / below / "z")
    assert (tmp_path / "file").read_text() == ""


def test_a_folder_where_a_file_is_expected(tmp_path):
    with pytest.raises(FileError, match="cannot write .*: Is a directory; name a file"):
        files.write_bytes(tmp_path, b"")
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(FileError, match="cannot read .*: Is a directory; name a file"),
        files.reading(tmp_path),
    ):
        tmp_path.read_bytes()


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(FileError, match="choose a shorter name"):
        files.write_bytes(tmp_path / ("x" * 300), b"")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do all")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FileError, match="Permission denied; change its permissions"):
        files.write_bytes(tmp_path / "x", b"")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOENT, "check the path"),
        (errno.EACCES, "change its permissions or choose another place"),
        (errno.EROFS, "choose another place"),
        (errno.EDQUOT, "free some space or choose another place"),
    ],
)
def test_the_fix_of_each_refusal(number, fix):
    assert files.problem(OSError(number, "Refused", "x")) == f"Refused; {fix}"
    assert files.problem(OSError("of no number")) == "of no number"


def test_only_a_run_folder_that_holds_a_run_is_a_mistake_about_run_folders():
    assert not issubclass(FileError, RunFolderError)
    assert issubclass(FileError, IzhiError)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["simulate", "--out", "file/x.png"], "cannot write file/x.png: File exists; a part of the path"),
        (["simulate", "--out", "x.png", "--json", "."], "cannot write .: Is a directory; name a file"),
        (["train", "--config", "."], "cannot read .: Is a directory; name a file"),
        (["train", "--config", "no.toml"], "cannot read no.toml: No such file or directory; check the path"),
        (["evaluate", "folder.izhi"], "cannot read folder.izhi: Is a directory; name a file"),
        (["run", "file/x.izhi"], "cannot read file/x.izhi: Not a directory; a part of the path"),
        (["run", "no.izhi"], "cannot read no.izhi: No such file or directory; check the path"),
        (["bench", "--contenders", "linear layers, fp32", "--steps", "1", "--batch", "1", "--hidden", "1",
          "--rounds", "1", "--repeats", "1", "--out", "file"], "cannot write file: File exists"),
    ],
)  # fmt: skip
def test_what_commands_say(command, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("folder.izhi").mkdir()
    assert f"izhi: {message}" in refused(capsys, *command)
    assert Path("file").read_text() == ""


def test_a_data_root_that_is_a_file(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IZHI_DATA", str(tmp_path / "file"))
    message = refused(capsys, "data", "fetch", "mnist")
    assert f"izhi: cannot write {tmp_path / 'file' / 'mnist'}: " in message
    assert "a part of the path is a file: choose another place" in message


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_cannot_be_written(unbuffered):
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "izhi", "data", "list", "iris"], stdout=full,
            stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("izhi: ")
    assert done.stderr.endswith("No space left on device; free some space or choose another place\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_reader_that_has_ended_is_no_mistake():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "izhi", "data", "list", "iris"], stdout=writer,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
