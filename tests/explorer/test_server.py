"""The explorer answers this machine and its own page alone, and opens nothing outside its folder."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from bokeh.document import Document
from bokeh.models import Axis, Div, PlainText, Title
from tornado.httpclient import HTTPRequest
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

from izhi.cli import main
from izhi.errors import FileError, SettingError
from izhi.explorer import folder as opened, server
from izhi.explorer.devices import DevicesPage
from izhi.explorer.runs import RunsPage
from izhi.explorer.server import fill, prepare


@pytest.fixture(scope="module")
def port(runs):
    """Of a server in a thread of its own."""
    ready, box = threading.Event(), []

    def serve():
        explorer = prepare(runs)
        box.append(explorer)
        explorer.loop.add_callback(ready.set)
        explorer.run()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(60)
    yield int(box[0].address.rstrip("/").rpartition(":")[2])
    box[0].loop.add_callback(box[0].loop.stop)
    thread.join(30)


def ask(port, path="/", **headers):
    """Status and body of a request with just these headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": f"127.0.0.1:{port}", **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.slow
def test_the_page_is_given_to_this_machine(port):
    for host in ("127.0.0.1", "localhost"):
        status, body = ask(port, Host=f"{host}:{port}", Origin=f"http://{host}:{port}")
        assert (status, b"Izhi explorer" in body) == (200, True)
        assert b"https://" not in body.replace(b"https://bokeh.org", b"")
    assert ask(port, "/static/js/bokeh.min.js")[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1.evil.example:{port}"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/ws", "/static/js/bokeh.min.js", "/explorer.js", "/draw/lif/network.wasm"])
def test_requests_from_elsewhere_are_refused(port, headers, path):
    status, body = ask(port, path, **{name: value.format(port=port) for name, value in headers.items()})
    assert (status, body) == (403, b"")


def test_each_of_its_own_files_is_answered_and_no_other(port):
    for path, file in server._FILES.items():
        assert ask(port, path) == (200, file.read_bytes()), path
    pages = {f"/{file.name}" for file in server._PAGE.iterdir()} - {"/explorer.html"}
    drawn = {f"/draw/{file.relative_to(server._DRAWING).as_posix()}" for file in server._DRAWING.rglob("*.*")}
    assert {*server._FILES} == {"/network.js", *pages, *drawn} - {
        f"/draw/{x}/network.izhi" for x in ("lif", "izhikevich")
    }


def test_files_have_their_types(port):
    types = {"/explorer.css": "text/css", "/play.js": "text/javascript", "/draw/lif/network.wasm": "application/wasm"}
    for path, expected in types.items():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == expected
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "/autoload.js?bokeh-autoload-element=x",
        "/metadata",
        "/runs",
        "/../x",
        "/both/comparison.json",
        "//static/x",
        "/explorer.html",
        "/server.py",
        "/draw/",
        "/draw/lif/network.izhi",
        "/draw/../explorer.js",
        "/draw/%2e%2e/server.py",
        "/draw/recordings/",
    ],
)
def test_nothing_else_is_answered(port, path):
    assert ask(port, path)[0] == 403


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/js/../../__init__.py", "/static//etc/passwd",
             "/static/..%2f..%2f__init__.py"],
)  # fmt: skip
def test_paths_do_not_lead_out_of_the_program(port, path):
    status, body = ask(port, path)
    assert status in (403, 404)
    assert b"import" not in body


def test_a_socket_from_elsewhere_is_refused(port):
    async def join(origin):
        request = HTTPRequest(f"ws://127.0.0.1:{port}/ws", headers={"Origin": origin})
        return await websocket_connect(request, subprotocols=["bokeh", "token"])

    loop = IOLoop(make_current=False)
    for origin in ("http://evil.example", f"http://evil.example:{port}"):
        with pytest.raises(Exception, match="403"):
            loop.run_sync(lambda origin=origin: join(origin))
    loop.close()


def test_it_listens_on_this_machine_alone(port):
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [local.split(":") for _, local, _, state, *_ in table if state == "0A"]
    assert [address for address, own in listening if int(own, 16) == port] == ["0100007F"], "127.0.0.1"
    found = [a[4][0] for a in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)]
    for address in {*found} - {"127.0.0.1"}:
        if not address.startswith("127."):
            with pytest.raises(OSError):
                socket.create_connection((address, port), timeout=2)


@contextmanager
def started(*arguments, cwd):
    command = [sys.executable, "-m", "izhi", "explore", *arguments, "--no-browser"]
    process = subprocess.Popen(command, text=True, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_the_command_says_where_it_is_and_ends_when_interrupted(runs):
    with started(str(runs), "--port", "0", cwd=runs) as process:
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line
        assert f"nothing outside {runs}" in line
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert "Traceback" not in process.stderr.read()


def test_a_port_that_is_taken_and_a_folder_that_is_not_there(runs, port, capsys):
    assert main(["explore", str(runs), "--port", str(port), "--no-browser"]) == 2
    assert f"port is {port}, on which the explorer cannot listen" in capsys.readouterr().err
    assert main(["explore", str(runs / "none"), "--no-browser"]) == 2
    assert "check the path" in capsys.readouterr().err
    assert main(["explore", str(runs), "--port", "70000", "--no-browser"]) == 2
    assert "port is 70000, expected 0 to 65,535" in capsys.readouterr().err


def test_files_outside_the_folder_are_not_opened(runs, tmp_path):
    outside = tmp_path / "outside.izhi"
    shutil.copy(runs / "few" / "network.izhi", outside)
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "link.izhi").symlink_to(outside)
    (folder / "linked").symlink_to(tmp_path)
    shutil.copy(outside, folder / "below" / "a.izhi")
    assert opened.artifacts(folder) == ["below/a.izhi"]
    assert opened.inside(folder, folder / "below" / "a.izhi")
    for path in (folder / "link.izhi", folder / ".." / "outside.izhi", folder / "linked" / "outside.izhi", folder):
        with pytest.raises(FileError, match="is a link, or lies outside"):
            opened.inside(folder, path)


def test_a_run_does_not_name_other_files_or_code(tmp_path, monkeypatch):
    for name in ("/etc/passwd", str(tmp_path / "x.npz"), "os:getcwd", "../x.npz"):
        with pytest.raises(SettingError, match="the explorer does not open it"):
            opened.check_data(name)
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    with pytest.raises(SettingError, match="fetch it: izhi data fetch mnist"):
        opened.check_data("mnist")
    opened.check_data("digits")


def test_what_a_page_that_was_tampered_with_asks_for_is_refused(runs, tmp_path):
    secret = tmp_path / "secret.izhi"
    shutil.copy(runs / "few" / "network.izhi", secret)
    page = DevicesPage(Document(), runs)
    page.artifact.value = os.path.relpath(secret, runs)
    with pytest.raises(SettingError, match="no artifact is chosen"):
        page._load_chosen()
    view = RunsPage(Document(), runs).sample
    view.run.value = "../../x"
    view._start()
    assert "no run is chosen" in view.status.text


def test_hostile_runs_are_said_to_be_damaged(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text("# izhi 0\n# izhi train\n" + 'neuron = "<script>alert(1)</script>"\n')
    (run / "metrics.csv").write_text("epoch,test_accuracy\n1,<b>\n")
    name = "<img src=x onerror=alert(1)>"
    shutil.copytree(run, tmp_path / name)
    page = RunsPage(Document(), tmp_path)
    assert len(page.runs) == 2
    assert "<script" not in page.about.text
    assert "<img" not in page.about.text
    assert "&lt;img" in page.about.text
    page.filter.value = "datset=mnist"
    assert "unknown setting" in page.about.text
    assert isinstance(page.folder, Path)


@pytest.mark.slow
def test_no_text_of_the_page_is_a_formula(runs):
    """MathJax, to which Bokeh gives texts between $$, makes links that run scripts."""
    document = Document()
    fill(document, runs)
    texts = list(document.select({"type": Div}))
    assert texts
    assert all(text.disable_math for text in texts)
    labels = [axis.axis_label for axis in document.select({"type": Axis})]
    labels += [title.text for title in document.select({"type": Title}) if title.text]
    assert labels
    assert all(isinstance(label, PlainText) for label in labels)
