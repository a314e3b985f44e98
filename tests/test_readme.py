"""The README's Python examples run, one after another, as a reader would type them."""

import re
from pathlib import Path

import torch

README = Path(__file__).parents[1] / "README.md"


def test_python_examples_run():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["spikes"].sum() > 0
    assert names["output"].shape == (25, 32, 10)
    assert isinstance(names["output"], torch.Tensor)


def test_files_that_it_links_are_there():
    for link in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        if not link.startswith("http"):
            assert README.parent.joinpath(link).exists(), link
