"""A scatter plot of theta as an inline SVG, with labels that do not overlap.

Theta of HACA3 has two components. Theta of the mixture model is a table of tissues, of which grey matter and fluid are
shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from haca3_bids.physics.tissues import TISSUES
from haca3_bids.quality.contrast import is_table

WIDTH, HEIGHT, MARGIN = 560, 400, 46
FONT = 12.0
LETTER = 0.56  # mean width of a letter, in font sizes
REACH = (10, 22, 36, 52)  # distances at which a name is tried
SIDES = ((1, 0), (-1, 0), (0.7, -1), (0.7, 1), (-0.7, -1), (-0.7, 1), (0, -1), (0, 1))
Box = tuple[float, float, float, float]  # left, top, right, bottom
TISSUE_WORDS = {
    "csf": "cerebrospinal fluid", "grey": "grey matter", "deep_grey": "deep grey matter", "white": "white matter",
    "fat": "fat", "muscle": "muscle", "skin": "skin", "bone": "bone", "marrow": "bone marrow", "vessel": "vessels",
    "dura": "dura mater", "eye": "eyes", "lesion": "lesions",
}  # fmt: skip
ACROSS, UP = "grey", "csf"  # tissues whose intensities are the axes for the mixture model
PLAIN_AXES = ("theta 1", "theta 2")
FEW_DIGITS = 5.0  # an axis longer than this has one decimal at its ends, a shorter one two


@dataclass(frozen=True)
class Point:
    """One image, target or reference; ``group`` is the CSS class that sets the colour."""

    name: str
    theta: tuple[float, float]  # its place in the plane, as from ``position``
    kind: str  # "source", "harmonized", "target" or "reference"
    group: str


def position(theta: Sequence[float]) -> tuple[float, float]:
    """The position of a theta in the plane: the numbers of HACA3, or grey matter and fluid of a table."""
    if is_table(theta):
        return float(theta[TISSUES.index(ACROSS)]), float(theta[TISSUES.index(UP)])
    return float(theta[0]), float(theta[1])


def axes_of(theta: Sequence[float]) -> tuple[str, str]:
    """The names of the horizontal and the vertical axis for this kind of theta."""
    return (TISSUE_WORDS[ACROSS], TISSUE_WORDS[UP]) if is_table(theta) else PLAIN_AXES


def theta_plane(points: Sequence[Point], axes: tuple[str, str] = PLAIN_AXES) -> str:
    """The plot as an SVG element; empty if there are no points."""
    if not points:
        return ""
    places = _scaled([point.theta for point in points])
    boxes = place_labels([(point.name, place) for point, place in zip(points, places, strict=True)])
    described = "; ".join(f"{point.name} {point.theta[0]:.2f}, {point.theta[1]:.2f}" for point in points)
    words = escape(f"The plane of contrast, {axes[0]} and {axes[1]}: {described}")
    parts = [
        f'<svg class="theta" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}">',
        *_axes([point.theta for point in points], axes),
        *(_marker(point, place) for point, place in zip(points, places, strict=True)),
        *(_name(point, place, box) for point, place, box in zip(points, places, boxes, strict=True)),
        "</svg>",
    ]
    return "\n".join(parts)


def place_labels(named: Sequence[tuple[str, tuple[float, float]]]) -> list[Box]:
    """The nearest box for the name of each point with the least overlap with other names and points."""
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for _, (x, y) in named]
    for text, (x, y) in named:
        candidates = list(_candidates(text, x, y))
        best = min(range(len(candidates)), key=lambda index: (_overlap(candidates[index], taken), index))
        taken.append(candidates[best])
    return taken[len(named) :]


def _candidates(text: str, x: float, y: float) -> Iterator[Box]:
    wide, high = len(text) * FONT * LETTER + 2, FONT + 2
    for reach in REACH:
        for across, down in SIDES:
            middle = x + across * (reach + wide / 2), y + down * (reach * 0.8 + high / 2)
            box = (middle[0] - wide / 2, middle[1] - high / 2, middle[0] + wide / 2, middle[1] + high / 2)
            if box[0] >= 0 and box[2] <= WIDTH and box[1] >= 0 and box[3] <= HEIGHT - MARGIN / 2:
                yield box
    left = min(max(x, 0), WIDTH - wide)
    yield (left, max(0.0, y - high - 8), left + wide, max(high, y - 8))


def _overlap(box: Box, taken: Sequence[Box]) -> float:
    return sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in taken
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.12 * (high - low) or 1.0
    return (max(0.0, low - room) if low > 0 else low - room), high + room


def _scaled(thetas: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    (left, right), (bottom, top) = (_range([theta[axis] for theta in thetas]) for axis in range(2))
    return [
        (
            MARGIN + (x - left) / (right - left) * (WIDTH - 2 * MARGIN),
            HEIGHT - MARGIN - (y - bottom) / (top - bottom) * (HEIGHT - 2 * MARGIN),
        )
        for x, y in thetas
    ]


def _axes(thetas: Sequence[tuple[float, float]], names: tuple[str, str]) -> Iterator[str]:
    (left, right), (bottom, top) = (_range([theta[axis] for theta in thetas]) for axis in range(2))
    base, end = HEIGHT - MARGIN, WIDTH - MARGIN
    yield f'<path class="axis" d="M{MARGIN} {MARGIN / 2}V{base}H{end}"/>'
    yield f'<text class="tick" x="{MARGIN}" y="{base + 16}">{_tick(left, right)}</text>'
    yield f'<text class="tick" x="{end}" y="{base + 16}" text-anchor="end">{_tick(right, left)}</text>'
    yield f'<text class="tick" x="{(MARGIN + end) / 2}" y="{base + 32}" text-anchor="middle">{names[0]}</text>'
    yield f'<text class="tick" x="{MARGIN - 6}" y="{base}" text-anchor="end">{_tick(bottom, top)}</text>'
    yield f'<text class="tick" x="{MARGIN - 6}" y="{MARGIN / 2 + 10}" text-anchor="end">{_tick(top, bottom)}</text>'
    turned = f'transform="translate(14 {HEIGHT / 2}) rotate(-90)"'
    yield f'<text class="tick" {turned} text-anchor="middle">{names[1]}</text>'


def _tick(end: float, other: float) -> str:
    """The number at one end of an axis."""
    return f"{end:.1f}" if abs(end - other) > FEW_DIGITS else f"{end:.2f}"


def _marker(point: Point, place: tuple[float, float]) -> str:
    x, y = place
    shapes = {
        "source": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>',
        "harmonized": f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"/>',
        "target": f'<path class="line" d="M{x - 6:.1f} {y - 6:.1f}l12 12m0 -12l-12 12"/>',
        "reference": f'<path class="line" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"/>',
    }
    return f'<g class="point {escape(point.group)}">{shapes[point.kind]}</g>'


def _name(point: Point, place: tuple[float, float], box: Box) -> str:
    left, top, right, bottom = box
    x, y = place
    middle = (left + right) / 2, (top + bottom) / 2
    far = abs(middle[0] - x) > (right - left) / 2 + 14 or abs(middle[1] - y) > 22
    leader = f'<path class="leader" d="M{x:.1f} {y:.1f}L{middle[0]:.1f} {middle[1]:.1f}"/>' if far else ""
    name = f'class="name {escape(point.group)}" x="{left:.1f}" y="{bottom - 3:.1f}"'
    return f"{leader}<text {name}>{escape(point.name)}</text>"
