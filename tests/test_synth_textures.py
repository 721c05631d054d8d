"""Patterns on surfaces: they fade to their own mean, and nothing repeats."""

import numba as nb
import numpy as np
import pytest

from cameo_data import camera as cameras
from cameo_data.geometry import raycast
from cameo_data.synth import render, textures
from cameo_data.synth.stage import Sky, Stage, Surface


def linear(image):
    """Linear light of 8-bit sRGB (IEC 61966-2-1)."""
    x = image / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("pattern", textures.PATTERNS)
def test_a_pattern_fades_to_its_own_mean(pattern):
    """Otherwise far and near views would disagree about a surface's colour."""
    kind = textures.PATTERNS.index(pattern)
    mean = textures.MEAN_DARK[kind]
    if kind == 0:  # noise fades octave by octave
        assert mean == 1.0
        return
    places = np.random.default_rng(0).uniform(0, 400, (300_000, 2))
    assert _mean_darkening(kind, places) == pytest.approx(mean, abs=0.01)


@nb.njit
def _mean_darkening(kind, places):
    total = 0.0
    for i in range(places.shape[0]):
        x, y = places[i]
        total += textures._pattern(kind, x, y, i % 6, np.uint64(12345 + i // 10000))[1]
    return total / places.shape[0]


@pytest.mark.parametrize("pattern", textures.PATTERNS)
def test_a_wall_has_the_same_mean_colour_at_any_size(pattern):
    """Also where a sample is wider than a cell and nothing is left of the pattern."""
    stage, camera = _wall(pattern, 1, side=256)
    near = linear(render.render(stage, camera).image).mean((0, 1))
    # one sample a pixel of a metre, on cells of half a metre
    far = linear(render.render(stage, cameras.resize(camera, (8, 8)), 1).image).mean((0, 1))
    np.testing.assert_allclose(far, near, atol=0.04)


def _wall(pattern, seed, side):
    """Eight metres of wall across the picture."""
    K = np.array([[side / 2, 0, side / 2], [0, side / 2, side / 2], [0, 0, 1]])
    wall = raycast.placed("rect", (0, 0, 4), (40, 40, 1))
    surface = Surface(pattern, "vivid", 0.5, seed)
    return Stage((wall,), (surface,), Sky((0,) * 3, (0,) * 3, 0)), cameras.Camera(K, (side, side))


@pytest.mark.parametrize("pattern", textures.PATTERNS)
def test_patterns_do_not_repeat(pattern):
    """No shift maps a picture of a wall onto itself, and no other wall looks the same."""

    def grey(seed):
        stage, camera = _wall(pattern, seed, side=128)
        image = render.render(stage, camera, 4).image.mean(-1)
        return (image - image.mean()) / image.std()

    here, other = grey(1), grey(2)
    for second in (here, other):
        spectrum = np.fft.fft2(here).conj() * np.fft.fft2(second)
        correlation = np.fft.ifft2(spectrum).real / here.size
        if second is here:
            assert correlation[0, 0] == pytest.approx(1)
            near = np.hypot(*np.meshgrid(*[np.minimum(range(128), 128 - np.arange(128))] * 2))
            correlation = correlation[near > 24]  # a wall of 8 m: 16 pixels are a metre
        assert np.abs(correlation).max() < 0.6
