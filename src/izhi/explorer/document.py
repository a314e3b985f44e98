"""The page: neurons, runs and devices, a tab each."""

from __future__ import annotations

from pathlib import Path

from bokeh.document import Document
from bokeh.models import TabPanel, Tabs
from jinja2 import Template

from izhi.explorer.devices import DevicesPage
from izhi.explorer.neuron import NeuronPage
from izhi.explorer.runs import RunsPage

_TEMPLATE = """
{% extends base %}
{% block preamble %}<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body { margin: 8px 12px; font: 15px/1.45 system-ui, sans-serif; }</style>{% endblock %}
"""


def fill(document: Document, folder: Path) -> None:
    """Put the page of a folder into a document."""
    document.title = "Izhi explorer"
    document.template = Template(_TEMPLATE)
    pages = {
        "Neuron": NeuronPage().view,
        "Runs": RunsPage(document, folder).view,
        "Devices": DevicesPage(document, folder).view,
    }
    for view in pages.values():
        view.styles = {"min-width": "0", "max-width": "calc(100vw - 24px)"}  # a grid's parts else grow with figures
    tabs = [TabPanel(child=view, title=title) for title, view in pages.items()]
    document.add_root(Tabs(tabs=tabs, sizing_mode="stretch_width", name="pages"))
