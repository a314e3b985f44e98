"""The server of the explorer: it listens on this machine only, and answers only its own pages."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from jinja2 import Template
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.ioloop import IOLoop
from tornado.routing import AnyMatches, Matcher, Rule, RuleRouter
from tornado.web import RequestHandler

from izhi import files
from izhi.equation import NeuronModel
from izhi.errors import DeviceError
from izhi.explorer.devices import DevicesPage
from izhi.explorer.neuron import NeuronPage
from izhi.explorer.runs import RunsPage
from izhi.explorer.theme import ThemeSwitch
from izhi.hardware.c import webassembly

#: By what this machine is called in an address.
_HERE = ("127.0.0.1", "localhost")
#: What is answered: the page, its socket, Bokeh's program, and these files of our own.
_PATHS = ("/", "/ws", "/favicon.ico")
_PROGRAM = "/static/"
_PAGE, _DRAWING = Path(__file__).parent / "page", Path(__file__).parent / "web" / "draw"
_NETWORKS = ("lif", "izhikevich", "ecg", "activities", "spoken-digits")
_RECORDINGS = ("digits", "ecg", "activities", "spoken-digits")
_DRAWN = (
    "draw.css", "draw.js", "pad.js", "tasks.js", "views.js",
    *(f"{network}/{file}" for network in _NETWORKS for file in ("network.json", "network.wasm")),
    *(f"recordings/{name}.json" for name in _RECORDINGS),
)  # fmt: skip
_FILES: Mapping[str, Path] = MappingProxyType(
    {
        **{f"/{name}": _PAGE / name for name in ("explorer.css", "explorer.js", "play.js")},
        "/network.js": webassembly.SCRIPT,
        **{f"/draw/{name}": _DRAWING / name for name in _DRAWN},
    }
)
_TYPES = {
    ".css": "text/css", ".js": "text/javascript", ".json": "application/json", ".wasm": "application/wasm",
}  # fmt: skip
_TABS = ("Neuron", "Draw", "Runs", "Devices")


def fill(document: Document, folder: Path, own: NeuronModel | None = None) -> None:
    """Put the page of a folder, and of a neuron of the user's own, into a document."""
    document.title = "Izhi explorer"
    document.template = Template((_PAGE / "explorer.html").read_text(encoding="utf-8"))
    switch, neurons = ThemeSwitch(document), NeuronPage(own)
    document.template_variables.update(tabs=_TABS, neurons=list(neurons.panels.values()), presets=neurons.presets)
    pages = {"Runs": RunsPage(document, folder).view, "Devices": DevicesPage(document, folder).view}
    for name, view in pages.items():
        view.update(name=name, styles={"min-width": "0", "max-width": "100%"})  # a grid's parts else grow with figures
    with document.models.freeze():  # else Bokeh counts all models again after each root
        for root in (switch.is_dark, *neurons.roots, *pages.values()):
            document.add_root(root)
    switch.style_controls()


class _OwnFile(RequestHandler):
    """One of our own files."""

    def initialize(self, path: Path) -> None:
        self._path = path

    def get(self) -> None:
        self.set_header("Content-Type", _TYPES[self._path.suffix])
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.write(self._path.read_bytes())


class _FromHere(Matcher):
    """Requests for this machine by its name, and of no page but our own.

    A page from elsewhere may have a name that leads to 127.0.0.1, and every browser sends what a page asks for: such
    requests have that name for their host, or that page for their origin.
    """

    def __init__(self, port: int) -> None:
        self.hosts = {f"{name}:{port}" for name in _HERE}

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        origin = request.headers.get("Origin")
        came = origin is None or origin in {f"http://{host}" for host in self.hosts}
        asks = request.path in _PATHS or request.path in _FILES or request.path.startswith(_PROGRAM)
        return {} if came and asks and request.host.lower() in self.hosts else None


def _refuse(request: HTTPServerRequest) -> None:
    connection = request.connection
    assert isinstance(connection, HTTP1Connection)
    connection.write_headers(ResponseStartLine("HTTP/1.1", 403, "Forbidden"), HTTPHeaders({"Content-Length": "0"}))
    connection.finish()


@dataclass(frozen=True)
class Explorer:
    """A server that is ready."""

    address: str  #: address of its page
    loop: IOLoop  #: its event loop
    server: BaseServer  #: Bokeh's

    def run(self) -> None:
        """Answer until somebody interrupts it, or stops the loop."""
        self.server.start()
        try:
            self.loop.start()
        finally:
            self.server.stop()


def prepare(folder: Path, port: int = 0, own: NeuronModel | None = None) -> Explorer:
    """A server of the page of a folder.

    Args:
        folder: folder of runs and artifacts; no file outside it is opened, but data sets that the data root holds.
        port: its port; 0 for a free one.
        own: a neuron of the user's own, shown beside the others.

    Raises:
        FileError: if the folder cannot be read.
        DeviceError: if something else listens on the port.
    """
    with files.reading(folder):
        next(folder.iterdir(), None)
    for name in ("bokeh", "tornado.access"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they would log every opened page
    asyncio.set_event_loop(asyncio.new_event_loop())
    try:
        listening = socket.create_server((_HERE[0], port))
    except OSError as error:
        raise DeviceError(
            f"port is {port}, on which the explorer cannot listen: {files.problem(error)}; choose another --port"
        ) from None
    listening.setblocking(False)
    bound: int = listening.getsockname()[1]
    applications = {"/": Application(FunctionHandler(lambda document: fill(document, folder, own)))}
    files_of_page = [(re.escape(address), _OwnFile, {"path": path}) for address, path in _FILES.items()]
    page = BokehTornado(
        applications, extra_patterns=files_of_page, extra_websocket_origins=[f"{name}:{bound}" for name in _HERE]
    )
    answering = HTTPServer(RuleRouter([Rule(_FromHere(bound), page), Rule(AnyMatches(), _refuse)]))
    answering.add_socket(listening)
    loop = IOLoop.current()
    return Explorer(f"http://{_HERE[0]}:{bound}/", loop, BaseServer(loop, page, answering))


def explore(
    folder: Path, port: int, *, own: NeuronModel | None = None, opens: bool, report: Callable[[str], None]
) -> None:
    """Serve the page of a folder until somebody interrupts it; ``report`` receives a line with its address."""
    explorer = prepare(folder, port, own)
    report(f"explorer: {explorer.address}, of this machine alone; it opens nothing outside {folder}; Ctrl-C ends it")
    if opens:
        explorer.loop.add_callback(webbrowser.open, explorer.address)
    explorer.run()
