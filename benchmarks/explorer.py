"""How long the explorer takes from a control that moves in the browser to the figure that has changed.

    python benchmarks/explorer.py            # moves one by one, 0.1 s apart
    python benchmarks/explorer.py --pause 0  # each as soon as the last is drawn, as by a hand that does not rest

Drives a Chromium that is installed, without a window, through Playwright: both are among what tests need.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

#: Sets a slider to each value in turn; milliseconds until the numbers of the trace that is drawn are there anew.
_MOVE = """async ([slider, source, values, pause]) => {
  const document = Bokeh.documents[0], took = []
  const moved = document.get_model_by_name(slider), shown = document.get_model_by_name(source)
  for (const value of values) {
    const started = performance.now()
    const changed = new Promise(done => {
      const see = () => { shown.change.disconnect(see); done() }
      shown.change.connect(see)
    })
    moved.value = value
    await changed
    await new Promise(requestAnimationFrame)
    took.push(performance.now() - started)
    if (pause) await new Promise(done => setTimeout(done, pause))
  }
  return took
}"""
#: Name of a slider → the figures' numbers that follow it, and from where to where it moves, but for where it begins.
_SLIDERS = {
    "biological-a": ("biological-trace", 0.03, 0.1),
    "biological-I": ("biological-trace", 5.0, 40.0),
    "normalised-I": ("normalised-trace", 0.11, 0.3),
    "LIF-beta": ("LIF-trace", 0.8, 0.99),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=50, help="of each slider [%(default)s]")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between moves [%(default)s]")
    chosen = parser.parse_args()
    moves = chosen.moves
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        sys.exit("no Chromium is installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "izhi", "explore", folder, "--port", "0", "--no-browser"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        found = re.search(r"http://\S+/", server.stdout.readline())
        assert found is not None
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(found[0])
            page.locator("body[data-ready]").wait_for()
            for name, (source, low, high) in _SLIDERS.items():
                values = [low + (high - low) * k / max(1, moves - 1) for k in range(moves)]
                took = sorted(page.evaluate(_MOVE, [name, source, values, 1000 * chosen.pause]))
                most = took[int(0.95 * (moves - 1))]
                print(
                    f"{name:14} median {statistics.median(took):6.1f} ms, 95 % within {most:6.1f},"
                    f" longest {took[-1]:6.1f}, of {moves}"
                )
            browser.close()
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
