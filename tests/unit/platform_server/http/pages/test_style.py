"""Colours of the style sheet: text has a contrast of 4.5 : 1 at least, edges of fields 3 : 1 (WCAG 2.2, 1.4.3)."""

from __future__ import annotations

import re

import pytest

from edge_connector.core.resources import resource_path

CSS = (resource_path("static/platform") / "platform.css").read_text()
TEXT = [
    ("ink", "paper"), ("ink", "bar"), ("ink", "note"), ("ink", "code"), ("ink", "field"), ("soft", "paper"),
    ("soft", "bar"), ("act", "paper"), ("act", "bar"), ("act", "note"), ("on-act", "act"), ("good", "paper"),
    ("bad", "paper"), ("paper", "bad"),
]  # fmt: skip


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))


LIGHT = colours(CSS.partition("@media")[0])
DARK = LIGHT | colours(CSS.partition("prefers-color-scheme: dark")[2].partition("}")[0])


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(scheme: dict[str, str]) -> None:
    for text, ground in TEXT:
        assert contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)
    assert contrast(scheme["edge"], scheme["field"]) >= 3
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
