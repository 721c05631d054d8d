"""Draws synthetic.jpg, views of procedural scenes: ``python docs/datasets/draw_synthetic.py``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from cameo_data.synth import generate, render

SIDE = 224
VIEWS = 5


def main() -> None:
    """One row a kind of scene, views in capture order."""
    rows = []
    for settings in generate.plan(
        3, kind="mixed", path="orbit", seed=8, frames=VIEWS, hw=(SIDE, SIDE), rotation_range_deg=120
    ):
        stage, views = generate.make_scene(settings)
        packed = render.pack(stage)
        rows.append(np.hstack([render.render_packed(packed, view).image for view in views]))
    picture = np.vstack(rows)[..., ::-1]
    out = Path(__file__).parent / "synthetic.jpg"
    cv2.imwrite(str(out), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
