"""Asserts what a browser makes of the page: plots, their place, the colours, and that nothing is loaded.

Knows Chromium's command line and the captions of the plots. The page itself has no script; a copy gets one that measures.
"""

import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

PLOTS = ["latency by percentile", "ratio of median latencies", "RPCs/s by", "CPU µs by", "bytes by", "median latency by distance"]
SHAPES = "polyline, rect, circle"
MEASURE = f"""<script>addEventListener('load', () => {{
  const plots = [...document.querySelectorAll('svg')].map(svg => {{
    const box = svg.getBoundingClientRect();
    return {{ label: svg.getAttribute('aria-label'), left: box.left, right: box.right, height: box.height,
      text: parseFloat(getComputedStyle(svg.querySelector('text')).fontSize) * box.width / 640,
      shapes: svg.querySelectorAll('{SHAPES}').length }};
  }});
  const style = getComputedStyle(document.body);
  const found = {{ plots, window: document.documentElement.clientWidth, content: document.documentElement.scrollWidth,
    paper: style.backgroundColor, ink: style.color, loaded: performance.getEntriesByType('resource').length,
    lag: document.querySelectorAll('#lag tbody tr').length }};
  const text = document.createElement('pre');
  text.id = 'found';
  text.textContent = JSON.stringify(found);
  document.body.append(text);
}});</script>"""


def chromium(work, width, scheme, *arguments):
    """Runs Chromium on a page in a frame, because a window cannot be made as narrow as a phone."""
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else ["--blink-settings=preferredColorScheme=1"]
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1",
        "--allow-file-access-from-files", f"--user-data-dir={work}/profile", f"--window-size={width},1600",
        "--virtual-time-budget=5000", *dark, *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        sys.exit(f"chromium failed:\n{done.stderr}")
    return done.stdout


def measured(work, width, scheme):
    page = work / "report" / "report.html"
    copy = work / "measured.html"
    copy.write_text(page.read_text().replace("</head>", MEASURE + "</head>"))
    frame = work / "frame.html"
    frame.write_text(
        f"<iframe src='measured.html' style='border:0;width:{width}px;height:1500px'></iframe><script>"
        "addEventListener('load', () => setTimeout(() => { document.body.append(document.querySelector('iframe')"
        ".contentDocument.querySelector('#found').cloneNode(true)); }, 200));</script>"
    )
    dom = chromium(work, 1400, scheme, "--dump-dom", frame.as_uri())
    found = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    if not found:
        sys.exit(f"the page could not be measured:\n{dom[:2000]}")
    return json.loads(html.unescape(found[1]))


def brightness(colour):
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3


def problems(found, width, scheme):
    for name in PLOTS:
        plots = [plot for plot in found["plots"] if plot["label"].startswith(name)]
        if not plots:
            yield f"there is no plot \"{name}\""
        for plot in plots:
            if plot["shapes"] == 0 or plot["height"] < 100:
                yield f"the plot \"{plot['label']}\" is empty"
            if plot["left"] < 0 or plot["right"] > width:
                yield f"the plot \"{plot['label']}\" reaches from {plot['left']} to {plot['right']}"
            if plot["text"] < 9:
                yield f"the text of \"{plot['label']}\" is {plot['text']:.1f} px high"
    if found["window"] != width or found["content"] > width:
        yield f"the page is {found['content']} px wide in a window of {found['window']}"
    if (brightness(found["paper"]) < brightness(found["ink"])) != (scheme == "dark"):
        yield f"the colours are {found['ink']} on {found['paper']}"
    if found["loaded"]:
        yield f"{found['loaded']} resources were loaded"
    if found["lag"] < 3:
        yield "the table of feature lag is empty"


def main():
    work, option = Path(sys.argv[1]), sys.argv[2]
    failed = False
    for width in (1280, 390):
        for scheme in ("light", "dark"):
            for problem in problems(measured(work, width, scheme), width, scheme):
                failed = True
                print(f"{width} px, {scheme}: {problem}")
    if option.startswith("--screenshot="):
        chromium(work, 1280, "light", f"--screenshot={work}/page.png", (work / "report" / "report.html").as_uri())
        shutil.copy(work / "page.png", option.split("=", 1)[1])
    if failed:
        sys.exit(1)
    print("every plot is there at 1280 and 390 px, light and dark")


if __name__ == "__main__":
    main()
