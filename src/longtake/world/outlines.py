"""world/outlines: the name of a shape in, its polygons out. Knows nothing of colours or pixels."""

from __future__ import annotations

import math
from functools import cache

Polygon = list[tuple[float, float]]
Outline = list[tuple[Polygon, bool]]
"""Polygons in -1 to 1 (y down), each to be filled (True) or cut out (False), in order."""


@cache
def outlines() -> dict[str, Outline]:
    """How each shape of the world is drawn."""
    petals = [2 * math.pi * petal / 6 for petal in range(6)]
    puffs = ((-0.52, 0.2, 0.44), (0, -0.18, 0.56), (0.55, 0.18, 0.45))
    return {
        "circle": [(_round(40), True)],
        "square": [([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)], True)],
        "triangle": [([(0, -0.95), (1, 0.85), (-1, 0.85)], True)],
        "diamond": [([(0, -1), (0.68, 0), (0, 1), (-0.68, 0)], True)],
        "hexagon": [(_round(6, start_rad=0), True)],
        "star": [(_star(5, 0.42), True)],
        "heart": [(_heart(), True)],
        "cross": [
            ([(-0.3, -1), (0.3, -1), (0.3, 1), (-0.3, 1)], True),
            ([(-1, -0.3), (1, -0.3), (1, 0.3), (-1, 0.3)], True),
        ],
        "ring": [(_round(40), True), (_round(40, radius=0.55), False)],
        "moon": [(_round(40), True), (_round(40, radius=0.85, x=0.5, y=-0.15), False)],
        "arrow": [([(-1, -0.28), (0.1, -0.28), (0.1, -0.8), (1, 0), (0.1, 0.8), (0.1, 0.28), (-1, 0.28)], True)],
        "cloud": [
            *((_round(24, radius=r, x=x, y=y), True) for x, y, r in puffs),
            ([(-0.55, 0.1), (0.55, 0.1), (0.6, 0.63), (-0.55, 0.63)], True),
        ],
        "bolt": [([(0.25, -1), (-0.65, 0.2), (-0.08, 0.2), (-0.3, 1), (0.65, -0.28), (0.06, -0.28)], True)],
        "flower": [
            *((_round(24, radius=0.4, x=0.58 * math.cos(petal), y=0.58 * math.sin(petal)), True) for petal in petals),
            (_round(24, radius=0.2), False),
        ],
        "house": [
            ([(0, -1), (1, -0.1), (0.75, -0.1), (0.75, 0.9), (-0.75, 0.9), (-0.75, -0.1), (-1, -0.1)], True),
            ([(-0.2, 0.9), (-0.2, 0.3), (0.2, 0.3), (0.2, 0.9)], False),
        ],
        "tree": [
            ([(0, -1), (0.62, -0.2), (-0.62, -0.2)], True),
            ([(0, -0.6), (0.85, 0.5), (-0.85, 0.5)], True),
            ([(-0.17, 0.5), (0.17, 0.5), (0.17, 1), (-0.17, 1)], True),
        ],
        "fish": [
            ([(0.62 * x - 0.28, 0.55 * y) for x, y in _round(32)], True),
            ([(0.2, 0), (0.95, -0.6), (0.95, 0.6)], True),
            (_round(12, radius=0.1, x=-0.55, y=-0.1), False),
        ],
        "cup": [
            (_round(24, radius=0.42, x=0.6, y=-0.1), True),
            (_round(24, radius=0.22, x=0.6, y=-0.1), False),
            ([(-0.85, -0.75), (0.55, -0.75), (0.4, 0.85), (-0.7, 0.85)], True),
        ],
        "crown": [([(-1, 0.7), (-1, -0.6), (-0.5, 0.05), (0, -0.85), (0.5, 0.05), (1, -0.6), (1, 0.7)], True)],
        "boat": [
            ([(-1, 0.4), (1, 0.4), (0.6, 0.9), (-0.6, 0.9)], True),
            ([(-0.08, -1), (0.08, -1), (0.08, 0.4), (-0.08, 0.4)], True),
            ([(0.14, -0.9), (0.85, 0.25), (0.14, 0.25)], True),
        ],
    }


def _round(
    sides: int, *, radius: float = 1.0, start_rad: float = -math.pi / 2, x: float = 0.0, y: float = 0.0
) -> Polygon:
    angles = [start_rad + 2 * math.pi * side / sides for side in range(sides)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def _star(points: int, inner: float) -> Polygon:
    angles = [-math.pi / 2 + math.pi * corner / points for corner in range(2 * points)]
    return [
        ((1.0, inner)[corner % 2] * math.cos(angle), (1.0, inner)[corner % 2] * math.sin(angle))
        for corner, angle in enumerate(angles)
    ]


def _heart() -> Polygon:
    turns = [2 * math.pi * step / 48 for step in range(48)]
    return [
        (math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16)
        for t in turns
    ]
