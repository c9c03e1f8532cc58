"""Draw docs/rooms.svg: the floors as pyproject.toml declares them, the rooms on them, and the imports that the code really has."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import grimp

ROOT = Path(__file__).resolve().parent.parent
WIDTH, ROW, BOX_W, BOX_H, MARGIN = 980, 92, 150, 44, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One room, where it is drawn."""

    room: str
    sign: str
    x: int
    y: int


def floors() -> list[list[str]]:
    """Return the rooms of each floor, top to bottom, from the import contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c for c in contracts if c["type"] == "layers")["layers"]
    return [[room.strip() for room in layer.replace(":", "|").split("|")] for layer in layers]


def sign(room: str) -> str:
    """Return the first clause of the room's docstring: the sign on its door."""
    package, module = ROOT / "fleet" / room / "__init__.py", ROOT / "fleet" / f"{room}.py"
    text = (package if package.exists() else module).read_text()
    return text.split('"""')[1].split(":")[0].split(".")[0].split(",")[0].strip()


def place() -> dict[str, Box]:
    """Return each room's box: floors as rows, the rooms of a floor side by side, alternately shifted so that lines can pass."""
    boxes = {}
    for row, rooms in enumerate(floors()):
        step = WIDTH // (len(rooms) + 1)
        shift = (-90, 60, 0)[row % 3] if len(rooms) == 1 else 0
        for column, room in enumerate(rooms, 1):
            boxes[room] = Box(room=room, sign=sign(room), x=step * column + shift, y=MARGIN + ROW * row)
    return boxes


def imports(boxes: dict[str, Box]) -> Iterator[tuple[str, str]]:
    """Yield (importer, imported) for every pair of rooms with a direct import between them."""
    graph = grimp.build_graph("fleet")
    pairs = set()
    for module in graph.modules:
        importer = module.split(".")[1] if "." in module else ""
        for found in graph.find_modules_directly_imported_by(module):
            imported = found.split(".")[1] if "." in found else ""
            if importer in boxes and imported in boxes and importer != imported:
                pairs.add((importer, imported))
    yield from sorted(pairs)


def draw() -> str:
    """Return the SVG."""
    boxes = place()
    height = MARGIN * 2 + ROW * len(floors())
    lines = [
        f'<path class="i" d="M{boxes[a].x} {boxes[a].y + BOX_H} C{boxes[a].x} {boxes[a].y + BOX_H + 40} {boxes[b].x} {boxes[b].y - 40} {boxes[b].x} {boxes[b].y}">'
        f"<title>{a} imports {b}</title></path>"
        for a, b in imports(boxes)
    ]
    rooms = [
        f'<g><title>{escape(b.sign)}</title><rect x="{b.x - BOX_W // 2}" y="{b.y}" width="{BOX_W}" height="{BOX_H}" rx="6"/>'
        f'<text class="r" x="{b.x}" y="{b.y + 18}">{b.room}</text><text class="s" x="{b.x}" y="{b.y + 34}">{escape(b.sign[:30].lower())}</text></g>'
        for b in boxes.values()
    ]
    style = (
        "rect{fill:#f4f6f8;stroke:#345}.r{font:bold 14px sans-serif;text-anchor:middle;fill:#123}"
        ".s{font:9px sans-serif;text-anchor:middle;fill:#456}.i{fill:none;stroke:#7a93ad;stroke-width:1;opacity:.55}"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="The rooms of Fleet">',
            f'<style>{style}</style><rect width="{WIDTH}" height="{height}" style="fill:#fff;stroke:none"/>',
            *lines,
            *rooms,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    (ROOT / "docs" / "rooms.svg").write_text(draw())
