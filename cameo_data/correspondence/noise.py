"""How much the depths of two views differ on the same surface: sensor, poses and calibration.

Noise that cannot be measured is not assumed to be zero: see ``Traits.loose``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cameo_data.correspondence import kernel
from cameo_data.correspondence.kernel import Traits
from cameo_data.correspondence.prepared import PairGeometry, PreparedView

# Noise is rounded up to a power of this, so that rounding of depths, as when a scene changes its
# unit, does not change a tolerance.
NOISE_STEP = 1.1
# Least number of points in smooth cells; with fewer, single known pixels are compared as well.
ENOUGH = 50
# Fewer single pixels than this say nothing about noise.
LEAST = 12
# Median absolute difference of two values rounded to the same steps, × 1.4826, as a share of the
# largest difference.
ROUNDED_SPREAD = 0.434


def traits_between(view0: PreparedView, view1: PreparedView, there: PairGeometry) -> Traits:
    """The depth traits of a pair, with its noise as far as it can be measured.

    Where too little of view 1 is smooth, single known pixels are compared, both ways.
    """
    steps0, steps1 = view0.steps, view1.steps
    traits = Traits(0.0, 0.0, *steps0, *steps1, view0.sparse, view1.sparse)
    found = _in_smooth_cells(view0, view1, there, traits)
    if len(found) >= ENOUGH:
        return traits._replace(noise=_noise(found))
    found = _alone(view0, view1, there, traits)
    back = type(there).between(view1.camera, view0.camera)
    swapped = Traits(0.0, 0.0, *steps1, *steps0, view1.sparse, view0.sparse)
    found = np.concatenate([found, _alone(view1, view0, back, swapped)])
    if len(found) < LEAST:
        return traits._replace(loose=kernel.SIGMAS * kernel.UNMEASURED_NOISE)
    # the nearer a pixel is, the less an unknown slope adds to its difference
    nearest = found[np.argsort(found[:, 2], kind="stable")][: max(ENOUGH, len(found) // 4)]
    few = 1 + 2 / math.sqrt(len(nearest)) if len(nearest) < ENOUGH else 1.0
    return traits._replace(noise=_noise(nearest, few))


def _alone(
    view0: PreparedView, view1: PreparedView, geometry: PairGeometry, traits: Traits
) -> NDArray[np.float64]:
    """Differences at single known pixels, of some 20,000 points.

    They are counted among known pixels, since a grid might skip exactly the known rows.
    """
    every = max(1, int(np.count_nonzero(view0.inverse_depth)) // 20000)
    return _differences(view0, view1, geometry, traits, every=every, alone=True)


def _in_smooth_cells(
    view0: PreparedView, view1: PreparedView, geometry: PairGeometry, traits: Traits
) -> NDArray[np.float64]:
    """Differences in smooth cells, of some 1,500 points."""
    h, w = view0.camera.hw
    step = max(1, int(math.sqrt(h * w / 1500.0)))
    return _differences(view0, view1, geometry, traits, step=step)


def _differences(
    view0: PreparedView,
    view1: PreparedView,
    geometry: PairGeometry,
    traits: Traits,
    *,
    step: int = 1,
    every: int = 1,
    alone: bool = False,
) -> NDArray[np.float64]:
    found: NDArray[np.float64] = kernel.differences(
        view0.inverse_depth, view1.inverse_depth, view1.cells, view0.camera.hw, view1.camera.hw,
        geometry.homography, geometry.epipole1, traits, step, every, alone,
    )  # fmt: skip
    return found


def _noise(found: NDArray[np.float64], factor: float = 1.0) -> float:
    sigma = factor * kernel.spread(np.ascontiguousarray(found[:, 0]))
    if found[0, 1] > 0:
        steps = ROUNDED_SPREAD / (2 * kernel.STEPS) * float(np.median(found[:, 1]))
        sigma = math.sqrt(max(0.0, sigma * sigma - steps * steps))
    if sigma < kernel.LEAST_NOISE:
        return 0.0
    return float(NOISE_STEP ** math.ceil(math.log(sigma) / math.log(NOISE_STEP)))
