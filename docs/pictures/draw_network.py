"""Draw FocusNet as an SVG: ``python docs/pictures/draw_network.py [FILE]``.

One column, so that a phone shows it as well as a desk; a card of its own, so that it looks the same on a light and on a
dark page. Colours are after Okabe and Ito. Lengths are in pixels of a card that is 720 wide.
"""

from __future__ import annotations

import sys
from pathlib import Path

WIDTH, HEIGHT = 720, 914
INK, QUIET, LINE = "#1F2933", "#52606D", "#7B8794"
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#B85C00", "#00775A", "#7A4B8F"
PALE = {BLUE: "#E3F0F9", ORANGE: "#FCEEDC", GREEN: "#DFF3EC", PURPLE: "#F0E6F5"}
SMALL_ORGANS = {"lens": "#F0C000", "optic nerve": "#2FBF92", "chiasm": "#E88FC0"}
COLUMNS = (158, 342, 526)  # centres of the three small organs' columns
MAP, ROI = 104, 96  # sides of a heat map and of an ROI


def main() -> None:
    """Write the drawing."""
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("network.svg")
    file.write_text(drawing(), encoding="utf-8")


def drawing() -> str:
    """The whole SVG."""
    parts = [*_s_net(18), *_sol_net(320), *_sos_nets(530), *_fusion(748), *_between_panels()]
    title = "FocusNet: S-Net segments all organs, SOL-Net locates the small ones, SOS-Nets segment them in their ROIs"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"',
            ' role="img" font-family="Helvetica, Arial, \'DejaVu Sans\', sans-serif" font-size="22">',
            f"<title>{title}</title>",
            _definitions(),
            f'<rect x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="14" fill="#FFF" stroke="#CBD2D9"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _s_net(y: float) -> list[str]:
    """Panel of S-Net: encoder, one downsampling, DenseASPP, decoder."""
    top, height, low, below = y + 74, 160, y + 142, 72
    middle = low + below / 2
    parts = [*_panel(18, y, 684, 274, BLUE, "S-Net: all organs, one downsampling"), *_head(92, top + 80, 1.15)]
    parts += [_text(92, y + 252, "image"), _arrow((150, top + 80), (178, top + 80))]
    parts += [_block(180, top, height, BLUE), _block(600, top, height, BLUE)]
    parts += [_arrow((204, top + 24), (598, top + 24)), _text(402, top + 10, "full resolution")]
    parts += [_arrow((204, middle), (242, middle))]
    parts += [_block(x, low, below, BLUE) for x in (246, 280, 314)]
    parts += [_text(291, y + 252, "half resolution")]
    parts += [_arrow((340, middle), (370, middle)), *_dense_aspp(372, low - 14, 190, below + 28)]
    parts += [_text(467, y + 252, "DenseASPP"), _arrow((564, middle), (598, middle))]
    return parts


def _dense_aspp(x: float, y: float, width: float, height: float) -> list[str]:
    """Dilated convolutions, each fed by all before it."""
    parts = [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="#FFF" stroke="{BLUE}"/>']
    centres = [x + 28 + i * (width - 56) / 3 for i in range(4)]
    level = y + height - 32
    for i, start in enumerate(centres):
        for end in centres[i + 1 :]:
            rise = level - 22 - (end - start) * 0.36
            parts.append(
                f'<path d="M{start:g} {level - 14:g} Q{(start + end) / 2:g} {rise:g} {end:g} {level - 14:g}" '
                f'fill="none" stroke="{BLUE}" stroke-width="1.5"/>'
            )
    for centre, rate in zip(centres, (3, 6, 12, 18), strict=True):
        parts += [f'<circle cx="{centre:g}" cy="{level:g}" r="19" fill="{PALE[BLUE]}" stroke="{BLUE}"/>']
        parts += [_text(centre, level + 8, str(rate))]
    return parts


def _sol_net(y: float) -> list[str]:
    """Panel of SOL-Net: heat maps with their ROIs."""
    parts = _panel(62, y, 560, 184, ORANGE, "SOL-Net: a heat map per small organ")
    for centre, (dx, dy), roi in zip(COLUMNS, ((-17, -26), (-11, -8), (0, 6)), (22, 34, 28), strict=True):
        x, top = centre - MAP / 2, y + 50
        peak_x, peak_y = centre + dx, top + MAP / 2 + dy
        parts += [f'<rect x="{x}" y="{top}" width="{MAP}" height="{MAP}" rx="4" fill="#140B2A"/>']
        parts += [f'<ellipse cx="{centre}" cy="{top + MAP / 2}" rx="36" ry="45" fill="none" stroke="#6B5B95"/>']
        parts += [f'<circle cx="{peak_x}" cy="{peak_y}" r="{roi * 0.42:g}" fill="url(#heat)"/>']
        parts += [_roi_frame(peak_x - roi / 2, peak_y - roi / 2, roi, "#FFF", 1.6)]
    parts += [_text(centre, y + 177, organ) for centre, organ in zip(COLUMNS, SMALL_ORGANS, strict=True)]
    return parts


def _sos_nets(y: float) -> list[str]:
    """Panel of the SOS-Nets: an ROI and a network for each small organ; the organ has a third of the ROI's side."""
    parts = _panel(62, y, 560, 192, GREEN, "SOS-Nets: one per small organ")
    parts += [_text(342, y + 66, "in its ROI of 3 diameters, at full resolution", QUIET)]
    third = ROI / 6
    shapes = (
        f'<ellipse rx="{third}" ry="8" transform="rotate(-12)" fill="{{0}}"/>',
        f'<path d="M{-third} {-third} Q-4 4 {third} {third}" fill="none" stroke="{{0}}" stroke-width="9"/>',
        f'<path d="M{-third} -13 L{third} 13 M{third} -13 L{-third} 13" fill="none" stroke="{{0}}" stroke-width="9"/>',
    )
    for centre, shape, colour in zip(COLUMNS, shapes, SMALL_ORGANS.values(), strict=True):
        x, top = centre - 72, y + 82
        parts += [
            f'<rect x="{x}" y="{top}" width="{ROI}" height="{ROI}" fill="#5F6770"/>',
            _roi_frame(x, top, ROI, INK),
        ]
        parts += [f'<g transform="translate({x + ROI / 2} {top + ROI / 2})">{shape.format(colour)}</g>']
        parts += [_block(x + ROI + 8, top + 18, 60, GREEN, 16), _block(x + ROI + 30, top + 18, 60, GREEN, 16)]
    return parts


def _fusion(y: float) -> list[str]:
    """Panel of the fused label map."""
    parts = _panel(18, y, 684, 148, PURPLE, "")
    parts += [_text(46, y + 46, "Fusion: one label map", PURPLE, 25, "start", bold=True)]
    parts += [_text(46, y + 82, "small organs from their SOS-Nets,", INK, anchor="start")]
    parts += [_text(46, y + 112, "the others from S-Net", INK, anchor="start")]
    return [*parts, *_head(560, y + 74, 1.15, labels=True)]


def _between_panels() -> list[str]:
    """Arrows that carry features, heat maps and logits from panel to panel."""
    parts = [_arrow((581, 196), (581, 306), (342, 306), (342, 318))]
    parts += [_arrow((centre, 504), (centre, 528)) for centre in COLUMNS]
    parts += [_arrow((centre, 722), (centre, 746)) for centre in COLUMNS]
    parts += [_arrow((624, 172), (662, 172), (662, 746))]
    parts += [_arrow((40, 292), (40, 642), (60, 642))]
    parts += [_upright(686, 527, "S-Net's logits of all organs"), _upright(32, 468, "image and features")]
    return parts


def _definitions() -> str:
    stops = (("0", "#FFF7B0", 1), ("0.35", "#FCA50A", 1), ("0.7", "#BB3754", 0.8), ("1", "#140B2A", 0))
    gradient = "".join(f'<stop offset="{at}" stop-color="{c}" stop-opacity="{opacity}"/>' for at, c, opacity in stops)
    head = f'<path d="M0 0 L10 5 L0 10 z" fill="{LINE}"/>'
    size = 'markerWidth="13" markerHeight="13" markerUnits="userSpaceOnUse"'
    arrow = f'<marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" {size} orient="auto">{head}</marker>'
    return f'<defs><radialGradient id="heat">{gradient}</radialGradient>{arrow}</defs>'


def _panel(x: float, y: float, width: float, height: float, colour: str, title: str) -> list[str]:
    box = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="12" fill="{PALE[colour]}" stroke="{colour}"/>'
    return [box, _text(x + width / 2, y + 36, title, colour, 25, bold=True)] if title else [box]


def _block(x: float, y: float, height: float, colour: str, width: float = 22) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill="{colour}"/>'


def _roi_frame(x: float, y: float, side: float, colour: str, width: float = 2.5) -> str:
    frame = f'x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" fill="none" stroke="{colour}"'
    return f'<rect {frame} stroke-width="{width}" stroke-dasharray="5 3"/>'


def _text(
    x: float, y: float, text: str, colour: str = INK, size: int = 22, anchor: str = "middle", *, bold: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}" font-size="{size}" text-anchor="{anchor}"{weight}>{text}</text>'


def _upright(x: float, y: float, text: str) -> str:
    return f'<text transform="translate({x:g} {y:g}) rotate(-90)" fill="{QUIET}" text-anchor="middle">{text}</text>'


def _arrow(*points: tuple[float, float]) -> str:
    path = " L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="{LINE}" stroke-width="2.5" marker-end="url(#arrow)"/>'


def _head(x: float, y: float, scale: float, *, labels: bool = False) -> list[str]:
    """An axial slice through the eyes, nose up: as CT or as label map. About 84 x 106 before scaling."""
    tissue, bone, brain = ("#EDE6F2", "#EDE6F2", "#B7A3C9") if labels else ("#6E7780", "#E4E7EB", "#9AA5B1")
    eye = "#5AA9DC" if labels else "#BCC5CE"
    lens, nerve, chiasm = SMALL_ORGANS.values() if labels else ("#F5F7FA", "#CBD2D9", "#CBD2D9")
    parts = [f'<g transform="translate({x} {y}) scale({scale})">']
    parts += [f'<path d="M-7 -50 L0 -57 L7 -50" fill="{tissue}" stroke="{LINE}"/>']
    parts += [f'<ellipse rx="42" ry="52" fill="{tissue}" stroke="{LINE}"/>']
    parts += [f'<ellipse cy="6" rx="36" ry="42" fill="{bone}"/><ellipse cy="11" rx="32" ry="34" fill="{brain}"/>']
    for side in (-1, 1):
        path = f"M{side * 15} -20 Q{side * 11} -6 {side * 2} 3"
        parts += [f'<path d="{path}" stroke="{nerve}" stroke-width="4" fill="none"/>']
        parts += [f'<circle cx="{side * 16}" cy="-27" r="11" fill="{eye}"/>']
        parts += [f'<ellipse cx="{side * 16}" cy="-34" rx="5" ry="2.6" fill="{lens}"/>']
    parts += [f'<path d="M-6 0 L6 10 M6 0 L-6 10" stroke="{chiasm}" stroke-width="4"/></g>']
    return parts


if __name__ == "__main__":
    main()
