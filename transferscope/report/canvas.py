"""A matplotlib figure as inline SVG that takes its colours and fonts from the page around it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from .formats import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Stand-ins that matplotlib accepts; the page's style sheet says what they are, in light and in dark.
INK, DIM, LINE, PAPER = "#010101", "#020202", "#030303", "#040404"
SERIES = tuple(f"#0{k}0a0a" for k in range(1, 8))
_VARIABLES = {INK: "--ink", DIM: "--dim", LINE: "--line", PAPER: "--paper"} | {
    color: f"--series-{k}" for k, color in enumerate(SERIES, 1)
}
_STYLE = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib, so the layout is the same everywhere
    "font.size": 13,
    "text.color": INK,
    "text.parse_math": False,  # names are no mathematics
    "axes.edgecolor": LINE,
    "axes.labelcolor": DIM,
    "axes.labelsize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": DIM,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "transferscope",  # so that identifiers repeat
}
_LONG_DECIMAL = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"url\(#|^#")


@dataclass(frozen=True)
class Plot:
    """A picture and what stands beneath it; it is drawn when it is first asked for, since that takes long."""

    title: str
    drawing: Callable[[], str]
    caption: str

    @cached_property
    def svg(self) -> str:
        """SVG markup."""
        return self.drawing()


def draw(width: float, height: float, paint: Callable[[Figure], None], *, key: str, finding: str) -> str:
    """Call `paint` on a figure of the given size in pixels and return it as SVG markup.

    Parameters
    ----------
    paint : callable
    key : str
        Unique on the page; keeps the identifiers of two figures apart.
    finding : str
        What the picture shows, for those who do not see it.
    """
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():  # not a person's own matplotlibrc
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the browser has its own fonts
        figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(buffer.getvalue(), key, clean(finding), width)


def _inline(svg: bytes, key: str, finding: str, width: float) -> str:
    """Strip what a file needs and a page does not, and let the page's variables in."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    used = {m for node in root.iter() for v in node.attrib.values() for m in re.findall(r"(?:url\(|^)#(\w+)", v)}
    for node in root.iter():
        node.tag = _local(node.tag)
        node.attrib = {_local(k): _value(_local(k), v, key) for k, v in node.attrib.items() if _kept(k, v, used)}
        node.tail = None
        if node.tag != "text":
            node.text = None
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": finding,
        "style": f"max-width: {1.15 * width:g}px",
    }
    return ElementTree.tostring(root, encoding="unicode")


def _kept(name: str, value: str, used: set[str]) -> bool:
    """Identifiers that nothing refers to and rotations by nothing are noise."""
    return not (name == "id" and value not in used) and not value.startswith("rotate(-0 ")


def _value(name: str, value: str, key: str) -> str:
    value = _LONG_DECIMAL.sub(lambda found: f"{float(found[0]):.2f}", value.replace("\n", " "))
    if name == "id":
        return f"{key}-{value}"
    value = _REFERENCE.sub(lambda found: f"{found[0]}{key}-", value) if name in ("href", "clip-path") else value
    if name == "style":
        for color, variable in _VARIABLES.items():
            value = value.replace(color, f"var({variable})")
        value = value.replace("'DejaVu Sans', sans-serif", "inherit").replace("font-family: inherit;", "")
    return value


def _local(name: str) -> str:
    """A name without its namespace: inside HTML, SVG needs none."""
    return name.rpartition("}")[2]
