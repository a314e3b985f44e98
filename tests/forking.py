"""Python processes that are forked from one that has imported torch, in place of those of ``subprocess``."""

from __future__ import annotations

import atexit
import functools
import inspect
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: Variable with the address of the server, for processes that start others.
ADDRESS = "IZHI_FORKING_SERVER"
#: Variable with the address of a server that test workers share.
SHARED = "IZHI_SHARED_FORKING_SERVER"
RealPopen = subprocess.Popen


class ForkedPopen(RealPopen):  # type: ignore[type-arg]
    """As ``subprocess.Popen``; a command of this Python is forked from the server, any other is started as usual.

    It has process, arguments, folder, variables, files and status of its own. SIGINT raises KeyboardInterrupt in it.
    """

    _its_status: int | None = None

    def _execute_child(self, args: Any, *others: Any) -> None:
        names = list(inspect.signature(RealPopen._execute_child).parameters)[2:]
        o = dict(zip(names, others, strict=True))
        words = [os.fsdecode(word) for word in args] if isinstance(args, (list, tuple)) else []
        is_usual = not (words and words[0] == sys.executable) or o["preexec_fn"] or o["pass_fds"]
        if is_usual or words[1] == "-":
            super()._execute_child(args, *others)
            return
        request = {
            "words": words[1:],
            "cwd": str(o["cwd"] or Path.cwd()),
            "env": dict(os.environ if o["env"] is None else o["env"]),
            "new_session": o["start_new_session"],
        }
        self._its_status, its = os.pipe()
        files = [own if file == -1 else file for own, file in enumerate((o["p2cread"], o["c2pwrite"], o["errwrite"]))]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.connect(address())
            socket.send_fds(server, [json.dumps(request).encode()], [*files, its])
            os.close(its)
            self.pid = int(server.recv(64))
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(o[name] for name in pipes))  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._its_status is None:
            return super()._try_wait(wait_flags)  # type: ignore[misc,no-any-return]
        if not select.select([self._its_status], [], [], 0 if wait_flags else None)[0]:
            return 0, 0
        status = int(os.read(self._its_status, 64))
        os.close(self._its_status)
        self._its_status = None
        return self.pid, status

    def _internal_poll(self, *arguments: Any, **options: Any) -> int | None:
        if self._its_status is None:
            return super()._internal_poll(*arguments, **options)  # type: ignore[misc,no-any-return]
        pid, status = self._try_wait(os.WNOHANG)
        if pid:
            self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


class Server:
    """A server at an address of its own, which ends with ``close`` or with this process."""

    def __init__(self) -> None:
        self.address = os.path.join(tempfile.mkdtemp(), "socket")
        command = [sys.executable, Path(__file__).with_name("forking_server.py"), self.address]
        self._process = RealPopen(command, stdin=subprocess.PIPE)
        atexit.register(self.close)

    def close(self) -> None:
        """End the server once, and wait for it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


@functools.cache
def _own() -> Server:
    return Server()


def address() -> str:
    """The socket of the server that this process shares, or else of one of its own; it is ready."""
    path = os.environ.get(ADDRESS) or os.environ.get(SHARED) or _own().address
    deadline = time.monotonic() + 120
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no server of processes is at {path}")
        time.sleep(0.05)
    return path
