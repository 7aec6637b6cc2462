"""SVG as text: elements whose every value is escaped, for pages that run no script."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from oomwarden.wording import printable

Value = str | float


def element(name: str, *children: Markup | str, **attributes: Value) -> Markup:
    """Write an element. ``class_`` is ``class``, other underscores are hyphens."""
    written = Markup("").join(
        Markup(' {}="{}"').format(_attribute(key), _value(value))
        for key, value in attributes.items()
    )
    inner = Markup("").join(escape(_safe(child)) for child in children)
    if not children:
        return Markup("<{}{}/>").format(name, written)
    return Markup("<{}{}>{}</{}>").format(name, written, inner, name)


def number(value: float) -> str:
    """Write a length: a tenth of a point is more than anybody sees."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def path(points: Sequence[tuple[float, float]]) -> str:
    """Write the way through points, in the words of the attribute ``d``."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def picture(  # noqa: PLR0913 - two sizes and four names, none of which stands alone
    width: float, height: float, *children: Markup, kind: str, name: str, title: str, text: str
) -> Markup:
    """Write a whole picture. ``name`` must be its own on the page; ``text`` tells what it shows."""
    return element(
        "svg",
        element("title", title, id=f"{name}-t"),
        element("desc", text, id=f"{name}-d"),
        *children,
        class_=f"chart {kind}",
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_labelledby=f"{name}-t {name}-d",
    )


def _attribute(key: str) -> str:
    key = key.removesuffix("_")
    return key if key == "viewBox" else key.replace("_", "-")


def _value(value: Value) -> str:
    return printable(value) if isinstance(value, str) else number(value)


def _safe(child: Markup | str) -> Markup | str:
    return child if isinstance(child, Markup) else printable(child)
