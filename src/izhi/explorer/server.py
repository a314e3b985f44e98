"""The server of the explorer: it listens on this machine only, and answers only its own pages."""

from __future__ import annotations

import asyncio
import logging
import socket
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.models import TabPanel, Tabs
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from jinja2 import Template
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.ioloop import IOLoop
from tornado.routing import AnyMatches, Matcher, Rule, RuleRouter

from izhi import files
from izhi.equation import NeuronModel
from izhi.errors import DeviceError
from izhi.explorer.devices import DevicesPage
from izhi.explorer.neuron import NeuronPage
from izhi.explorer.runs import RunsPage

#: By what this machine is called in an address.
_HERE = ("127.0.0.1", "localhost")
#: What is answered: the page, its socket, and the program that it loads.
_PATHS = ("/", "/ws", "/favicon.ico")
_PROGRAM = "/static/"


_TEMPLATE = """
{% extends base %}
{% block preamble %}<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body { margin: 8px 12px; font: 15px/1.45 system-ui, sans-serif; }</style>{% endblock %}
"""


def fill(document: Document, folder: Path, own: NeuronModel | None = None) -> None:
    """Put the page of a folder, and of a neuron of the user's own, into a document."""
    document.title = "Izhi explorer"
    document.template = Template(_TEMPLATE)
    pages = {
        "Neuron": NeuronPage(own).view,
        "Runs": RunsPage(document, folder).view,
        "Devices": DevicesPage(document, folder).view,
    }
    for view in pages.values():
        view.styles = {"min-width": "0", "max-width": "calc(100vw - 24px)"}  # a grid's parts else grow with figures
    tabs = [TabPanel(child=view, title=title) for title, view in pages.items()]
    document.add_root(Tabs(tabs=tabs, sizing_mode="stretch_width", name="pages"))


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
        asks = request.path in _PATHS or request.path.startswith(_PROGRAM)
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
    page = BokehTornado(applications, extra_websocket_origins=[f"{name}:{bound}" for name in _HERE])
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
