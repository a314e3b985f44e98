"""Forks Python processes after it has imported torch and trained a network; see ``forking.ForkedPopen``.

A request names the program, its working folder and its variables. Its standard files come with it, and a pipe that
receives its status when it ends. The reply is its number. The server ends with its standard input.
"""

import contextlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import types
import warnings
from pathlib import Path

import forking
from izhi import processes


def become(request, files):
    """Be the requested process from its first line to its end."""
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    os.closerange(3, 1024)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["new_session"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if forking.ADDRESS in os.environ:
        subprocess.Popen = forking.ForkedPopen
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    execute(*request["words"])


def execute(program, *words):
    """Run a module (``-m``), a text (``-c``) or a script as Python does."""
    if program == "-W":
        warnings.simplefilter(words[0])
        execute(*words[1:])
    elif program == "-m":
        sys.argv, sys.path[0] = [*words], os.getcwd()
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    elif program == "-c":
        sys.argv, sys.path[0] = ["-c", *words[1:]], ""
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        exec(compile(words[0], "<string>", "exec"), main.__dict__)
    elif program.startswith("-"):
        raise ValueError(f"the server of processes does not know Python's option {program}")
    else:
        sys.argv, sys.path[0] = [program, *words], str(Path(program).parent)
        runpy.run_path(program, run_name="__main__")


def status_of(request, files):
    """Run a request to the end of its program; the exit status."""
    try:
        become(request, files)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def report_ends(pipes):
    """Send the status of each process that has ended, and forget its pipe."""
    for child in list(pipes):
        number, status = os.waitpid(child, os.WNOHANG)
        if number:
            pipe = pipes.pop(child)
            with contextlib.suppress(BrokenPipeError):
                os.write(pipe, str(status).encode())
            os.close(pipe)


def serve(listener):
    """Fork for each request until standard input ends."""
    wakes, wake = os.pipe2(os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt of the tests
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    pipes = {}
    while True:
        ready, _, _ = select.select([listener, wakes, 0], [], [])
        if wakes in ready:
            os.read(wakes, 4096)
            report_ends(pipes)
        if listener in ready:
            client, _ = listener.accept()
            with client:
                request, files, _, _ = socket.recv_fds(client, 1 << 20, 4)
                child = os.fork()
                if child == 0:
                    signal.set_wakeup_fd(-1)
                    processes.end(status_of(json.loads(request), files))
                for file in files[:3]:
                    os.close(file)
                pipes[child] = files[3]
                client.send(str(child).encode())
        if 0 in ready:
            return


if __name__ == "__main__":
    import preloaded  # noqa: F401

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"{sys.argv[1]}.part")
        listener.listen(64)
        os.rename(f"{sys.argv[1]}.part", sys.argv[1])
        serve(listener)
    shutil.rmtree(Path(sys.argv[1]).parent)
