"""Named protocols: the published code's numbers, and what each of them takes for a match."""

import math

import protocol_cases as cases
import pytest
import torch

from cameo_data.errors import UsageError
from cameo_train import protocols
from cameo_train.protocols import nearest, probe3d

# What github.com/mbanani/probe3d at a1f1464 computes on protocol_cases.pair(i) with num_corr 300
# and scale_factor 0.25, torch 2.13, CPU: its estimate_correspondence_xyz and _depth with an exact
# CPU index of faiss 1.15.1 in the place of the GPU's, and the scripts' lines around them.
# Mean errors in space and in pixels, first error in space, last in pixels, mean xy0 and xy1:
NAVI = (
    (0.0284119789, 16.0840988, 0.0190541707, 38.7547722, 77.8333359, 77.746666),
    (0.0397647619, 21.5207405, 0.0506316274, 16.4964466, 78.7399979, 78.4666672),
    (0.0430696085, 20.4505234, 0.0452546291, 13.4104252, 81.0533371, 80.8466644),
)
NAVI_METRES = {0.01: 0.0700000003, 0.02: 0.216666669, 0.05: 0.773333311}
NAVI_PX = {5.0: 0.0711111128, 25.0: 0.715555549, 50.0: 0.982222199}
NAVI_BINS = (0.281666666, 0.086666666, math.nan, math.nan)  # two of the pairs are in the second
# mean, first and last error
SCANNET = (
    (3.6509192, 0.611234128, 4.40421867),
    (4.93224144, 2.09969258, 11.4794846),
    (4.98008537, 4.90729237, 4.81510687),
)
SCANNET_PX = {5.0: 0.598888874, 10.0: 0.971111119, 20.0: 1.0}
SCANNET_BINS = (1.0, 0.926666677, 0.986666679, math.nan)
# What github.com/cvlab-kaist/CAMEO at a1d2dc3 computes on protocol_cases.group(): its
# _compute_matching_precision with max_matches 40. Grid, query views, key views -> precision at 1,
# 2, 4 and 8 px, mean, first and last of its errors, and their number:
CAMEO = {
    (6, (2, 3), (0, 1)): (0.125, 0.35, 0.625, 0.9, 4.88211553, 2.72170234, 5.76507998, 40),
    (6, (0,), (1, 2, 3)): (0, 6 / 36, 19 / 36, 31 / 36, 4.43215482, 4.3226614, 7.94693804, 36),
    (9, (2, 3), (0, 1)): (0.15, 0.325, 0.75, 0.975, 3.28021507, 1.66705728, 6.38493443, 40),
    (9, (0,), (1, 2, 3)): (0.075, 0.225, 0.8, 0.95, 3.40250706, 1.7659446, 1.44979036, 40),
}

MATCHES = 300


def navi(case, **changes):
    case = {**case, **changes}
    points = [protocols.points_of(case[f"depth{i}"], case["K"]) for i in range(2)]
    return protocols.navi_errors(
        case["features0"],
        case["features1"],
        *points,
        case["cam1_from_cam0"],
        case["K"],
        matches=MATCHES,
    )


def scannet(case, **changes):
    case = {**case, **changes}
    return protocols.scannet_errors(
        case["features0"],
        case["features1"],
        case["depth0"],
        case["depth1"],
        case["K"],
        case["K"],
        case["cam1_from_cam0"],
        matches=MATCHES,
    )


CASES = [cases.pair(i) for i in range(cases.PAIRS)]
ROTATIONS = [case["rotation_deg"] for case in CASES]


def test_navi_gives_the_published_code_s_numbers():
    found = [navi(case) for case in CASES]
    for pair, expected in zip(found, NAVI, strict=True):
        numbers = (
            pair.error_3d.mean(),
            pair.error_px.mean(),
            pair.error_3d[0],
            pair.error_px[-1],
            pair.xy0.mean(),
            pair.xy1.mean(),
        )
        assert [float(n) for n in numbers] == pytest.approx(expected, rel=1e-5)
    recalls = protocols.recalls(protocols.named_protocol("probe3d-navi"), found, ROTATIONS)
    assert recalls.metres == pytest.approx(NAVI_METRES, abs=1e-7)
    assert recalls.px == pytest.approx(NAVI_PX, abs=1e-7)
    assert [b[2] for b in recalls.bins] == pytest.approx(NAVI_BINS, abs=1e-7, nan_ok=True)
    assert [b[3] for b in recalls.bins] == [2, 1, 0, 0]
    assert (recalls.pairs, recalls.empty, recalls.matches) == (3, 0, 900)


def test_scannet_gives_the_published_code_s_numbers():
    found = [scannet(case) for case in CASES]
    for pair, expected in zip(found, SCANNET, strict=True):
        numbers = (pair.error_px.mean(), pair.error_px[0], pair.error_px[-1])
        assert [float(n) for n in numbers] == pytest.approx(expected, rel=1e-5)
    recalls = protocols.recalls(protocols.named_protocol("probe3d-scannet"), found, ROTATIONS)
    assert recalls.px == pytest.approx(SCANNET_PX, abs=1e-7)
    assert [b[2] for b in recalls.bins] == pytest.approx(SCANNET_BINS, abs=1e-7, nan_ok=True)
    assert recalls.metres == {}


def cameo(case, grid, query_views, key_views, matches=40):
    return protocols.cameo_matches(
        **case,
        token_hw=(6, 6),
        grid_hw=(grid, grid),
        query_views=query_views,
        key_views=key_views,
        matches=matches,
    )


@pytest.mark.parametrize("setting", CAMEO)
def test_cameo_gives_the_published_code_s_numbers(setting):
    found = cameo(cases.group(), *setting)
    error = found.error_px
    precision = [protocols.precision_at(error, t, inclusive=True) for t in (1, 2, 4, 8)]
    numbers = [*precision, error.mean().item(), error[0].item(), error[-1].item(), len(error)]
    assert numbers == pytest.approx(CAMEO[setting], rel=1e-5, abs=1e-9)


def test_recalls_of_groups_are_means_over_groups_and_bins_ask_for_the_match_s_views():
    groups = [cameo(cases.group(), grid, (2, 3), (0, 1)) for grid in (6, 9)]
    protocol = protocols.named_protocol("cameo")
    turned = 6.0 * (torch.arange(4) - torch.arange(4)[:, None]).abs()
    turned[3, 0] = turned[0, 3] = 180  # at the end of the last bin
    found = protocols.group_recalls(protocol, groups, [turned, turned])
    means = [CAMEO[grid, (2, 3), (0, 1)] for grid in (6, 9)]
    expected = [protocols.precision_at(g.error_px, 5, inclusive=True) for g in groups]
    assert found.px[5.0] == pytest.approx(sum(expected) / 2)
    assert (found.pairs, found.matches, found.metres) == (2, sum(m[7] for m in means), {})
    for low, high, recall, count in found.bins:
        each = []
        for g in groups:
            angles = [turned[a, b].item() for a, b in zip(g.view0, g.view1, strict=True)]
            hits = [
                error <= 25
                for error, angle in zip(g.error_px.tolist(), angles, strict=True)
                if low <= angle < high or angle == high == 180
            ]
            each += [sum(hits) / len(hits)] if hits else []
        assert count == len(each)
        assert recall == pytest.approx(sum(each) / len(each) if each else math.nan, nan_ok=True)
    assert [b[3] for b in found.bins] == [2, 0, 0, 0, 0, 2]


@pytest.mark.parametrize("entries", [1, 5000])
def test_blocks_of_any_size_find_the_same(entries, monkeypatch):
    whole, group = navi(CASES[0]), cameo(cases.group(), 6, (2, 3), (0, 1))
    monkeypatch.setattr(nearest, "ROW_ENTRIES", entries)
    torch.testing.assert_close(navi(CASES[0]).error_px, whole.error_px)
    torch.testing.assert_close(cameo(cases.group(), 6, (2, 3), (0, 1)).error_px, group.error_px)


def test_ranking_is_that_of_one_by_one():
    """Nearest and second nearest by sorting all distances of each feature, in Python."""
    torch.manual_seed(0)
    f0, f1 = torch.randn(9, 5).double(), torch.randn(11, 5).double()
    ranked = []
    for i, a in enumerate(f0):
        to = sorted((1 - float(a @ b / (a.norm() * b.norm())), j) for j, b in enumerate(f1))
        ranked.append((to[0][0] / to[1][0], i, to[0][1]))
    expected = [(i, j) for _, i, j in sorted(ranked)][:4]
    found = probe3d.ratio_matches(f0, f1, 4)
    assert list(zip(*(index.tolist() for index in found), strict=True)) == expected


def test_features_of_the_points_themselves_have_no_error():
    """Seen twice from one place, each point finds itself, in all protocols."""
    torch.manual_seed(0)
    features = torch.randn(32, 36, 40)  # as fine as the protocols' own grid of 142 // 4 × 160 // 4
    still = {
        "features0": features[:, :35],
        "features1": features[:, :35],
        "depth1": CASES[0]["depth0"],
        "cam1_from_cam0": torch.eye(4),
    }
    for errors in (navi(CASES[0], **still), scannet(CASES[0], **still)):
        assert len(errors) == MATCHES
        assert errors.error_px.max() < 1e-3
        assert errors.error_3d.max() < 1e-6
        assert torch.equal(errors.xy0, errors.xy1)
        assert set((errors.xy0 % 4).flatten().tolist()) == {2.0}  # centres of 4×4 pixels
    group = cases.group()
    group["k"] = group["q"]
    same = cameo(group, 6, (0, 1), (0, 1))
    assert torch.equal(same.view0, same.view1)
    assert torch.equal(same.xy0, same.xy1)
    # the points were made up, and do not project to the tokens: only their cells are found


def test_cameo_projects_a_point_to_its_cell():
    """A wall in front of every camera, of which each sees the place that its tokens say."""
    hw, views = (24, 24), 3
    group = cases.group()
    cameras = group["cam_from_world"][:views]
    K = group["intrinsics"][:views]
    y, x = torch.meshgrid(*[torch.arange(n) + 0.5 for n in hw], indexing="ij")
    ray = torch.stack([x, y, torch.ones(hw)]).flatten(1)
    points = []
    for camera, intrinsics in zip(cameras, K, strict=True):
        world_from_cam = camera.inverse()
        direction = world_from_cam[:3, :3] @ intrinsics.inverse() @ ray
        start = world_from_cam[:3, 3:]
        far = (0.2 - start[2]) / direction[2]  # the wall z = 0.2
        points.append((start + far * direction).view(3, *hw))
    points = torch.stack(points)
    tokens = torch.nn.functional.interpolate(points, size=(6, 6), mode="bilinear")
    q = tokens.flatten(2).transpose(1, 2).reshape(1, -1, 3)  # squared distance in space
    found = protocols.cameo_matches(
        q, q, points, K, cameras,
        token_hw=(6, 6), grid_hw=(6, 6), query_views=[0], key_views=[1, 2], matches=10,
    )  # fmt: skip
    assert found.error_px.max() < 4  # at most about one token of 4 px: the nearest cell's centre
    assert found.error_px.median() < 1.5
    assert set(found.view0.tolist()) == {0}
    assert set(found.view1.tolist()) <= {1, 2}


def test_pairs_without_matches_count_nowhere():
    blind = navi(CASES[0], depth1=torch.zeros(cases.HW))
    assert len(blind) == 0
    assert len(scannet(CASES[0], depth0=torch.zeros(cases.HW))) == 0
    protocol = protocols.named_protocol("probe3d-navi")
    alone = protocols.recalls(protocol, [navi(CASES[0])], [7.0])
    both = protocols.recalls(protocol, [navi(CASES[0]), blind], [7.0, 7.0])
    assert (both.pairs, both.empty) == (1, 1)
    assert (both.px, both.metres, both.bins[0]) == (alone.px, alone.metres, alone.bins[0])
    none = protocols.recalls(protocol, [blind], [7.0])
    assert math.isnan(none.px[5.0])
    assert all(math.isnan(b[2]) and b[3] == 0 for b in none.bins)


def test_metres_are_left_out_where_the_unit_is_unknown():
    protocol = protocols.named_protocol("probe3d-navi")
    found = protocols.recalls(protocol, [navi(case) for case in CASES], ROTATIONS, metric=False)
    assert found.metres == {}
    assert all(math.isnan(b[2]) for b in found.bins)
    assert found.px == pytest.approx(NAVI_PX, abs=1e-7)


def test_thresholds_include_their_end_or_not():
    error = torch.tensor([0.0, 5.0, 6.0])
    assert protocols.precision_at(error, 5, inclusive=True) == pytest.approx(2 / 3)
    assert protocols.precision_at(error, 5, inclusive=False) == pytest.approx(1 / 3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match=r"'navi'; expected one of probe3d-navi, probe3d-scannet"):
        protocols.named_protocol("navi")
    with pytest.raises(ValueError, match="12 and 5 channels"):
        navi(CASES[0], features1=torch.zeros(5, 6, 6))
    with pytest.raises(ValueError, match=r"view 1: features are \(6, 6\)"):
        scannet(CASES[0], features1=torch.zeros(6, 6))
    with pytest.raises(ValueError, match="4 views of 6×6 tokens"):
        cameo({**cases.group(), "q": torch.zeros(3, 100, 8)}, 6, (0,), (1,))
    with pytest.raises(ValueError, match="expected 0 to 3"):
        cameo(cases.group(), 6, (0,), (4,))
    with pytest.raises(ValueError, match="3 pairs have 1 rotation"):
        protocols.recalls(protocols.named_protocol("cameo"), [navi(c) for c in CASES], [7.0])
