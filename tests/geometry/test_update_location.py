"""Anatomy: planted structure is found, chance is met, and bounds hold."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankone.geometry import update_location
from rankone.geometry.update_location import (
    contingency,
    in_view,
    independent_overlap,
    largest,
    left_share,
    location_statistics,
    low_magnitude_mask,
    margin_strata,
    overlap_statistics,
    principal_mask,
    principal_share,
    right_share,
    rotation,
    rotation_bound,
    separation,
    share_z,
    sign_flipped_shares,
    small,
    sparsity,
    spectrum,
    spectrum_drift,
    stripe_index,
    unchanged,
)
from rankone.linalg.random_matrices import noise_of_norm
from rankone.linalg.svd import singular_values

MATRIX = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(0, 10**6))
RUNS = 300
# Four standard errors above a rate of 0.05 that was counted in RUNS cases.
FALSE_ALARMS = 0.05 + 4 * math.sqrt(0.05 * 0.95 / RUNS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=seeded(seed))


def noise_of(seed=0):
    """Never the numbers of a matrix, which would be its own noise."""
    return seeded(10**6 + seed)


def random_mask(rows, columns, density, seed):
    return torch.rand(rows, columns, generator=seeded(seed)) < density


def mask_of(places, rows, columns):
    mask = torch.zeros(rows * columns, dtype=torch.bool)
    mask[list(places)] = True
    return mask.reshape(rows, columns)


def orthonormal(rows, columns, seed=0):
    return torch.linalg.qr(gaussian(rows, columns, seed))[0]


def overlap(first, second, strata=None):
    """How two masks overlap, within strata where there are any."""
    return overlap_statistics(contingency(first, second, strata))


def changed_in_bfloat16(base, size, seed):
    """Changed entries, as bfloat16 shows them, of a run that is only noise."""
    trained = base + size * gaussian(*base.shape, seed)
    return ~unchanged(*in_view(base, trained, torch.bfloat16))


# Sparsity


def test_unchanged_is_relative_to_the_larger_of_both_weights():
    base = torch.tensor([[1.0, 1.0, 0.0, 0.0, -2.0]])
    trained = torch.tensor([[1.0009, 1.0011, 0.0, 1e-9, 2.0]])
    expected = [[True, False, True, False, False]]
    assert unchanged(base, trained).tolist() == expected


def test_small_is_absolute_and_blind_to_the_weight():
    update = torch.tensor([[9e-6, -9e-6, 1.1e-5, -1.0]])
    assert small(update).tolist() == [[True, True, False, False]]
    assert sparsity(small(update)) == 0.5


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_in_bfloat16_unchanged_means_equal_bits(values):
    weights = torch.tensor([values, values[::-1]]).clamp(-1e30, 1e30)
    weights[weights.abs() < 1e-30] = 0.0
    first, second = in_view(*weights, torch.bfloat16)
    assert torch.equal(unchanged(first, second), first == second)


def test_a_tiny_float32_update_vanishes_in_the_bfloat16_view():
    base = gaussian(30, 40).bfloat16().float()
    trained = base * (1 + 1e-3)
    assert sparsity(unchanged(base, trained, eta=1e-4)) == 0
    assert sparsity(unchanged(*in_view(base, trained, torch.bfloat16))) == 1


def test_rounding_alone_gives_sparsity_only_in_bfloat16():
    """Every entry moves by 0.2 %; a bfloat16 step is 0.4 to 0.8 %."""
    base = gaussian(200, 100)
    trained = base * (1 + 2e-3 * gaussian(200, 100, 1).sign())
    assert sparsity(unchanged(base, trained)) == 0
    seen = sparsity(unchanged(*in_view(base, trained, torch.bfloat16)))
    # The mean over a binade of 0.002 w / step, for Benford's law close to 0.37.
    assert seen == pytest.approx(0.63, abs=0.05)


# Overlap


def test_overlap_of_two_hand_made_masks():
    first = torch.tensor([[True, True, False, False], [True, False, False, False]])
    second = torch.tensor([[True, False, True, False], [True, False, True, True]])
    found = overlap(first, second)
    p, q = 3 / 8, 5 / 8
    assert found["jaccard"] == pytest.approx(2 / 6)
    assert found["jaccard_null"] == pytest.approx(p * q / (p + q - p * q))
    assert found["first_in_second"] == pytest.approx(2 / 3)
    assert found["second_in_first"] == pytest.approx(2 / 5)
    assert found["first_in_second_null"] == pytest.approx(q)
    assert found["second_in_first_null"] == pytest.approx(p)


def test_mean_and_variance_of_overlap_are_those_of_all_masks_of_that_size():
    first = mask_of([0, 3, 4], 2, 4)
    tables = [
        contingency(first, mask_of(places, 2, 4))
        for places in itertools.combinations(range(8), 5)
    ]
    counts = [table[0, 1, 1] for table in tables]
    mean, variance = independent_overlap(tables[0])
    assert mean == pytest.approx(np.mean(counts))
    assert variance == pytest.approx(np.var(counts))


def test_within_strata_the_overlap_of_all_permutations_is_met():
    strata = torch.tensor([[0, 0, 0, 1, 1, 1, 1]], dtype=torch.int32)
    first = torch.tensor([[True, False, True, True, False, False, False]])
    counts = []
    for left in itertools.combinations(range(3), 2):
        for right in itertools.combinations(range(3, 7), 3):
            table = contingency(first, mask_of(left + right, 1, 7), strata)
            counts.append(table[:, 1, 1].sum())
    mean, variance = independent_overlap(table)
    assert mean == pytest.approx(np.mean(counts))
    assert variance == pytest.approx(np.var(counts))


@pytest.mark.parametrize("density", [(0.02, 0.05), (0.3, 0.6)])
def test_independent_masks_meet_the_baseline_and_raise_no_alarm(density):
    found = [
        overlap(
            random_mask(40, 50, density[0], 2 * seed),
            random_mask(40, 50, density[1], 2 * seed + 1),
        )
        for seed in range(RUNS)
    ]
    z = np.array([row["overlap_z"] for row in found])
    assert np.mean(np.abs(z) > 1.96) < FALSE_ALARMS
    assert abs(z.mean()) < 4 / math.sqrt(RUNS) and 0.85 < z.std() < 1.15
    excess = [row["jaccard"] - row["jaccard_null"] for row in found]
    assert abs(np.mean(excess)) < 0.002


def test_two_runs_with_a_shared_subnetwork_are_found():
    """A tenth of the entries are in both masks, another tenth in one of them."""
    shared = random_mask(100, 100, 0.1, 0)
    first, second = (shared | random_mask(100, 100, 0.1, seed) for seed in (1, 2))
    found = overlap(first, second)
    assert found["jaccard"] == pytest.approx(0.109 / 0.271, abs=0.03)
    assert found["jaccard_null"] == pytest.approx(0.105, abs=0.01)
    assert found["overlap_z"] > 30


def test_no_overlap_is_below_chance():
    mask = random_mask(50, 50, 0.5, 0)
    found = overlap(mask, ~mask)
    assert found["jaccard"] == 0 and found["overlap_z"] < -40


def test_empty_masks_have_no_overlap_statistics():
    empty = torch.zeros(3, 4, dtype=torch.bool)
    found = overlap(empty, empty)
    assert math.isnan(found["jaccard"]) and math.isnan(found["overlap_z"])
    assert math.isnan(overlap(empty, ~empty)["first_in_second"])


# Margin


def test_margins_of_a_stratum_are_alike_in_float32():
    base = gaussian(60, 70)
    strata = margin_strata(base)
    for label in range(1, int(strata.max()) + 1):
        size = base[strata == label].abs()
        assert len(size) == 0 or size.max() <= size.min() * 17 / 16


def test_margins_of_a_stratum_are_alike_in_bfloat16():
    base = gaussian(60, 70).double()
    strata = margin_strata(base.float(), torch.bfloat16)
    step = 2.0 ** (torch.floor(torch.log2(base.abs())) - 7)
    seen = base.float().bfloat16().double().abs()
    margin = step / 2 - (base.abs() - seen).abs()
    edge = seen == 128 * step
    margin[edge] = torch.minimum(margin, base.abs() - seen + step / 4)[edge]
    assert edge.sum() > 10
    clear = (base.abs() > 1e-3) & (margin > 2**-12 * step)
    for label in strata[clear].unique():
        alike = clear & (strata == label)
        assert margin[alike].max() <= margin[alike].min() * 9 / 8
        assert step[alike].max() == step[alike].min()


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_rounding_fakes_a_shared_subnetwork_that_the_margin_explains(stored):
    """Two runs of independent noise, from one base, seen in bfloat16."""
    plain, given_margin = [], []
    for seed in range(20):
        base = gaussian(100, 120, 3 * seed).to(stored).float()
        masks = [changed_in_bfloat16(base, 1e-3, 3 * seed + i) for i in (1, 2)]
        strata = margin_strata(base, torch.bfloat16)
        plain.append(overlap(*masks)["overlap_z"])
        given_margin.append(overlap(*masks, strata)["overlap_z"])
    assert min(plain) > 5
    assert abs(np.mean(given_margin)) < 1 and np.std(given_margin) < 1.6


def test_a_shared_subnetwork_is_found_beyond_the_margin():
    base = gaussian(100, 120)
    shared = random_mask(100, 120, 0.1, 1)
    masks = []
    for seed in (2, 3):
        trained = base + (1e-3 + 0.05 * shared) * gaussian(100, 120, seed)
        masks.append(~unchanged(*in_view(base, trained, torch.bfloat16)))
    assert overlap(*masks, margin_strata(base, torch.bfloat16))["overlap_z"] > 10


def test_zero_weights_have_a_stratum():
    for dtype in (torch.float32, torch.bfloat16):
        strata = margin_strata(torch.tensor([[0.0, 1.0, -1.0]]), dtype)
        assert strata[0, 0] == 0 and strata[0, 1] == strata[0, 2] > 0
        assert margin_strata(torch.zeros(2, 2), dtype).unique().numel() == 1


# Stripes


@pytest.mark.parametrize("labels", [[0] * 12, [0, 1, 1, 0, 2, 2, 2, 1, 1, 0, 2, 1]])
def test_the_mean_index_over_all_masks_is_one(labels):
    strata = torch.tensor(labels, dtype=torch.int32).reshape(3, 4)
    groups = [[i for i in range(12) if labels[i] == s] for s in sorted(set(labels))]
    choices = [itertools.combinations(group, len(group) // 2) for group in groups]
    found = [
        stripe_index(mask_of(itertools.chain(*places), 3, 4), strata)[0]
        for places in itertools.product(*choices)
    ]
    assert np.mean(found) == pytest.approx(1)


def test_one_stratum_is_the_same_as_none():
    mask = random_mask(30, 20, 0.2, 0)
    strata = torch.zeros(30, 20, dtype=torch.int32)
    assert stripe_index(mask) == pytest.approx(stripe_index(mask, strata))


def test_full_and_empty_rows_have_the_largest_index():
    """n (N - 1) / (N - n) for n columns and N entries, whatever their number."""
    mask = torch.zeros(30, 20, dtype=torch.bool)
    mask[::3] = True
    index, z = stripe_index(mask)
    assert index == pytest.approx(20 * 599 / 580)
    assert z > 50
    across, _ = stripe_index(mask.T)
    assert across == 0


def test_weak_stripes_are_found_with_their_size():
    """Row densities 0.15 and 0.25: variance 0.0025 on the binomial 0.16 / 200."""
    density = torch.where(torch.arange(100) % 2 == 0, 0.15, 0.25)[:, None]
    masks = [torch.rand(100, 200, generator=seeded(i)) < density for i in range(20)]
    index, z = np.transpose([stripe_index(mask) for mask in masks])
    assert index.mean() == pytest.approx(1 + 0.0025 * 200 / 0.16, rel=0.1)
    assert z.min() > 10
    assert abs(np.mean([stripe_index(mask.T)[1] for mask in masks])) < 1


@pytest.mark.parametrize("density", [0.003, 0.1, 0.9])
def test_independent_masks_have_no_stripes(density):
    found = [stripe_index(random_mask(60, 80, density, seed)) for seed in range(RUNS)]
    index, z = np.array(found).T
    assert np.mean(z > 1.645) < FALSE_ALARMS
    assert index.mean() == pytest.approx(1, abs=4 * math.sqrt(2 / 59 / RUNS))
    assert z.std() < 1.15


def test_rows_of_different_scale_fake_stripes_that_the_margin_explains():
    scale = torch.exp(0.5 * gaussian(80, 1, 9))
    given_margin = []
    for seed in range(20):
        base = scale * gaussian(80, 100, 2 * seed)
        mask = changed_in_bfloat16(base, 1e-3, 2 * seed + 1)
        assert stripe_index(mask)[1] > 5
        strata = margin_strata(base, torch.bfloat16)
        given_margin.append(stripe_index(mask, strata)[1])
    assert abs(np.mean(given_margin)) < 1 and np.std(given_margin) < 1.6


def test_empty_and_full_masks_have_no_index():
    full = torch.ones(3, 4, dtype=torch.bool)
    assert np.isnan(stripe_index(full)).all() and np.isnan(stripe_index(~full)).all()


# Masks of the base


def test_masks_of_a_hand_made_matrix():
    matrix = torch.tensor([[4.0, -3.0], [0.5, -1.0]])
    assert largest(matrix, 0.5).tolist() == [[True, True], [False, False]]
    assert low_magnitude_mask(matrix, 0.25).tolist() == [[False, False], [True, False]]


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5])
def test_a_share_outside_its_range_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha"):
        largest(gaussian(3, 3), alpha)


@given(MATRIX, st.floats(0.01, 0.99))
@settings(max_examples=30, deadline=None)
def test_masks_have_their_share_and_the_right_entries(case, alpha):
    matrix = gaussian(*case)
    mask = largest(matrix, alpha)
    assert mask.sum() == max(round(alpha * matrix.numel()), 1)
    assert mask.all() or matrix[mask].abs().min() > matrix[~mask].abs().max()
    both = low_magnitude_mask(matrix, 1 - alpha)
    assert torch.equal(mask, ~both) or alpha * matrix.numel() < 1


def test_the_principal_mask_is_that_of_the_low_rank_part():
    left, right = orthonormal(40, 2), orthonormal(30, 2, 1)
    part = left * torch.tensor([5.0, 4.0]) @ right.T
    rest = gaussian(40, 30, 2)
    rest -= left @ (left.T @ rest)
    rest -= rest @ right @ right.T
    base = part + rest * (1 / torch.linalg.matrix_norm(rest, 2))
    mask = principal_mask(spectrum(base, 2), 0.1)
    assert (mask != largest(part, 0.1)).sum() <= 2
    assert (mask != largest(base, 0.1)).sum() > 2


def test_random_masks_meet_the_base_by_chance():
    base = gaussian(50, 60)
    principal = principal_mask(spectrum(base, 4), 0.3)
    strata = margin_strata(base)
    z = []
    for seed in range(1, RUNS + 1):
        changed = random_mask(50, 60, 0.2, seed)
        row = update_location.magnitude_statistics(changed, principal, strata, "place")
        assert row["place_null"] == pytest.approx(0.3)
        z.append((row["place_z"], row["place_margin_z"]))
    assert (np.mean(np.abs(z) > 1.96, axis=0) < FALSE_ALARMS).all()


def test_an_update_on_low_magnitude_entries_is_found():
    base = gaussian(100, 80)
    chosen = low_magnitude_mask(base, 0.2) & random_mask(100, 80, 0.5, 1)
    row = location_statistics(base, base + 0.1 * chosen, spectrum(base, 4), noise_of())
    assert row["low_magnitude_overlap"] == 1
    assert row["low_magnitude_overlap_null"] == pytest.approx(0.5)
    assert row["low_magnitude_overlap_z"] > 20
    assert row["sparsity"] == pytest.approx(0.9, abs=0.02)


def test_rounding_fakes_an_update_off_the_principal_weights():
    """Noise seen in bfloat16 avoids them; the margin explains it."""
    left, right = orthonormal(100, 3), orthonormal(120, 3, 1)
    base = left * torch.tensor([300.0, 200.0, 100.0]) @ right.T + gaussian(100, 120, 2)
    known = spectrum(base.bfloat16().float(), 3)
    rows = []
    for seed in range(20):
        trained = base + 3e-3 * gaussian(100, 120, 10 + seed)
        rows.append(
            location_statistics(base, trained, known, noise_of(seed), torch.bfloat16)
        )
    assert max(row["principal_overlap_z"] for row in rows) < -5
    given_margin = [row["principal_overlap_margin_z"] for row in rows]
    assert abs(np.mean(given_margin)) < 1 and np.std(given_margin) < 1.6


def test_an_update_of_principal_weights_is_found_beyond_the_margin():
    base = gaussian(80, 100)
    known = spectrum(base, 4)
    chosen = principal_mask(known, 0.5) & random_mask(80, 100, 0.4, 1)
    row = location_statistics(base, base + 0.1 * chosen, known, noise_of())
    assert row["principal_overlap"] == 1
    assert row["principal_overlap_margin_z"] > 20


# Spectrum


@given(MATRIX, st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_a_spectrum_is_that_of_the_exact_svd(case, rank):
    matrix = gaussian(*case)
    found = spectrum(matrix, rank)
    left, sigma, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    assert found.rank == min(rank, *matrix.shape)
    assert (found.sigma - sigma).abs().max() <= 1e-5 * sigma[0]
    for kept in (found.left.T @ found.left, found.right @ found.right.T):
        torch.testing.assert_close(kept, torch.eye(found.rank), atol=1e-5, rtol=0)
    k = found.rank
    image = found.left.T.double() @ matrix.double() @ found.right.T.double()
    torch.testing.assert_close(
        torch.linalg.svdvals(image), sigma[:k], atol=1e-4 * sigma[0].item(), rtol=0
    )


@given(MATRIX, st.floats(1e-3, 10), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_the_bounds_of_mirsky_and_wedin_hold(case, size, rank):
    base, update = gaussian(*case), size * gaussian(*case[:2], case[2] + 1)
    before, after = spectrum(base, rank), spectrum(base + update, rank)
    drift = spectrum_drift(before.sigma, after.sigma)
    assert drift <= (update.norm() / base.norm()).item() + 1e-5
    norm = torch.linalg.matrix_norm(update.double(), 2).item()
    bound = rotation_bound(before.sigma, after.sigma, before.rank, norm)
    paper = norm / separation(before.sigma, before.sigma, before.rank)
    for angles in rotation(before, after):
        assert (np.diff(angles) >= 0).all()
        assert angles[-1] <= bound + 1e-3
        assert math.sin(angles[-1]) <= 2 * paper + 1e-3


def test_the_ratio_of_the_paper_is_no_bound():
    """diag(1, -1) / 2 with a perturbation of half its gap turns by a right angle."""
    base = torch.diag(torch.tensor([2.0, 1.0]))
    update = torch.tensor([[-0.55, 0.1], [0.1, 0.55]])
    before, after = spectrum(base, 1), spectrum(base + update, 1)
    norm = torch.linalg.matrix_norm(update, 2).item()
    turned = math.sin(rotation(before, after)[0][-1])
    assert norm / separation(before.sigma, before.sigma, 1) < 0.6 < turned


def test_planted_drift_has_its_closed_form():
    left, right = orthonormal(30, 20), orthonormal(20, 20, 1)
    sigma = torch.linspace(2, 1, 20)
    base = left * sigma @ right.T
    grown = left * (1.01 * sigma) @ right.T
    before, after = (singular_values(weight)[0] for weight in (base, grown))
    assert spectrum_drift(before, after) == pytest.approx(0.01, rel=1e-4)
    assert spectrum_drift(before, before) == 0


def test_a_rotated_weight_has_no_drift():
    base, turn = gaussian(30, 20), orthonormal(30, 30, 1)
    before, after = spectrum(base, 3), spectrum(turn @ base, 3)
    assert spectrum_drift(before.sigma, after.sigma) < 1e-6
    assert rotation(before, after)[0][-1] > 0.5
    assert rotation(before, after)[1][-1] < 1e-4


@pytest.mark.parametrize("angle", [1e-5, 1e-3, 0.3, 1.2])
def test_a_planted_rotation_is_measured(angle):
    """The second left direction turns out of the subspace, the right ones stay."""
    frame, right = orthonormal(30, 21), orthonormal(20, 20, 1)
    sigma = torch.cat([torch.tensor([9.0, 6.0, 3.0]), torch.full((17,), 0.1)])
    turned = frame[:, :20].double().clone()
    turned[:, 1] = math.cos(angle) * frame[:, 1].double()
    turned[:, 1] += math.sin(angle) * frame[:, 20].double()
    before = spectrum(frame[:, :20] * sigma @ right.T, 3)
    after = spectrum((turned * sigma @ right.double().T).float(), 3)
    left_angles, right_angles = rotation(before, after)
    assert left_angles[-1] == pytest.approx(angle, rel=0.02, abs=1e-6)
    assert left_angles[:2].max() < 2e-6 and right_angles.max() < 2e-6


def test_drift_under_noise_is_far_below_the_bound_of_mirsky():
    """To first order sigma_i moves by N(0, norm^2 / (m n))."""
    base = gaussian(200, 100)
    before, _ = singular_values(base)
    norm = 1e-3 * base.norm().item()
    noisy = [base + noise_of_norm(base, norm, seeded(seed)) for seed in range(1, 6)]
    found = [spectrum_drift(before, singular_values(each)[0]) for each in noisy]
    assert np.mean(found) == pytest.approx(1e-3 / math.sqrt(200), rel=0.2)


# Shares


def test_shares_of_planted_updates():
    left, right = orthonormal(40, 8), orthonormal(30, 8, 1).T
    inside = left[:, :3] @ gaussian(3, 3, 2) @ right[:3]
    outside = left[:, 3:] @ gaussian(5, 5, 3) @ right[3:]
    one_side = left[:, :3] @ gaussian(3, 5, 4) @ right[3:]
    u, v = left[:, :3], right[:3]
    assert principal_share(inside, u, v) == pytest.approx(1)
    assert principal_share(outside, u, v) == pytest.approx(0, abs=1e-10)
    assert left_share(one_side, u) == pytest.approx(1)
    assert right_share(one_side, v) == pytest.approx(0, abs=1e-10)
    inside, outside = inside / inside.norm(), outside / outside.norm()
    mixed = 0.6 * inside + 0.8 * outside
    assert principal_share(mixed, u, v) == pytest.approx(0.36, rel=1e-4)


def test_shares_of_noise_meet_chance_and_raise_no_alarm():
    known = spectrum(gaussian(40, 60), 4)
    rows = [
        update_location.share_statistics(gaussian(40, 60, seed), known)
        for seed in range(1, RUNS + 1)
    ]
    chance = {"principal_share": 16 / 2400, "left_share": 0.1, "right_share": 4 / 60}
    for name, expected in chance.items():
        shares, z = (np.array([r[key] for r in rows]) for key in (name, f"{name}_z"))
        assert rows[0][f"{name}_null"] == pytest.approx(expected)
        assert shares.mean() == pytest.approx(expected, rel=0.1)
        assert np.mean(np.abs(z) > 1.96) < FALSE_ALARMS + 0.01
        assert z.std() == pytest.approx(1, abs=0.15)


def test_the_z_of_a_share_has_the_moments_of_the_beta_law():
    from scipy.stats import beta

    law = beta(16 / 2, (2400 - 16) / 2)
    assert share_z(law.mean(), 16, 2400) == pytest.approx(0, abs=1e-12)
    assert share_z(law.mean() + 2 * law.std(), 16, 2400) == pytest.approx(2)


def test_sign_flipped_shares_are_the_mean_over_all_signs():
    update = gaussian(2, 4)
    left, right = orthonormal(2, 1), orthonormal(4, 2, 1).T
    found = []
    for signs in itertools.product([-1.0, 1.0], repeat=8):
        flipped = update * torch.tensor(signs).reshape(2, 4)
        found.append(
            (
                principal_share(flipped, left, right),
                left_share(flipped, left),
                right_share(flipped, right),
            )
        )
    expected = np.mean(found, axis=0)
    assert sign_flipped_shares(update, left, right) == pytest.approx(expected)


def test_the_signs_explain_an_update_that_is_large_where_the_base_is():
    """Large rows in base and update: above chance, without shared directions."""
    scale = torch.ones(60, 1)
    scale[:6] = 8
    base = scale * gaussian(60, 50)
    known = spectrum(base, 4)
    rows = [
        update_location.share_statistics(scale * gaussian(60, 50, seed), known)
        for seed in range(1, 51)
    ]
    found, signs = (
        np.mean([row[name] for row in rows])
        for name in ("principal_share", "principal_share_sign_null")
    )
    assert min(row["principal_share_z"] for row in rows) > 3
    assert found == pytest.approx(signs, rel=0.2)
    planted = update_location.share_statistics(0.1 * base, known)
    assert planted["principal_share"] > 3 * planted["principal_share_sign_null"]


# One row


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(60, 90), (90, 60)])
def test_noise_raises_no_alarm_in_any_view(shape, dtype):
    """All z given the right null, and all statistics near their nulls."""
    z = {}
    for seed in range(30):
        base = gaussian(*shape, 2 * seed)
        trained = base + 1e-2 * gaussian(*shape, 2 * seed + 1)
        known = spectrum(in_view(base, base, dtype)[0], 4)
        row = location_statistics(base, trained, known, noise_of(seed), dtype)
        assert row["sparsity"] == pytest.approx(row["sparsity_null"], abs=0.03)
        assert row["spectral_norm"] == pytest.approx(
            row["spectral_norm_null"], rel=0.15
        )
        assert row["spectrum_drift"] <= row["spectrum_drift_bound"]
        ratio = row["spectrum_drift"] / row["spectrum_drift_null"]
        assert 0.6 < ratio < 1.6
        for name in row:
            if name.endswith(("_margin_z", "_share_z")):
                z.setdefault(name, []).append(row[name])
    # In float32 the margin decides what is of low magnitude: nothing varies.
    del z["low_magnitude_overlap_margin_z"]
    assert len(z) == 7
    for name, found in z.items():
        assert abs(np.mean(found)) < 0.9, name
        assert np.std(found) < 1.5, name


def test_a_row_is_numbers_with_a_null_beside_every_statistic():
    base = gaussian(30, 40)
    trained = base + 0.1 * gaussian(30, 40, 1)
    row = location_statistics(base, trained, spectrum(base, 3), noise_of())
    assert all(type(value) is float for value in row.values())
    # In float32 the margin decides what is of low magnitude: nothing varies.
    decided = {"low_magnitude_overlap_margin_z"}
    assert all(math.isfinite(row[name]) for name in set(row) - decided)
    plain = {"frobenius_norm", "relative_size", "rotation_bound", "wedin_ratio"}
    endings = ("_null", "_z", "_bound", "_given_margin")
    for name in set(row) - plain:
        if not name.endswith(endings):
            assert f"{name}_null" in row, name
    assert row["relative_size"] == pytest.approx(0.1, rel=0.1)
    assert row["spectrum_drift_bound"] == row["relative_size"]
    assert row["rotation_left"] >= row["rotation_left_mean"] > 0


def test_the_same_generator_gives_the_same_row():
    base = gaussian(30, 40)
    trained, known = base + 0.1 * gaussian(30, 40, 1), spectrum(base, 3)
    first = location_statistics(base, trained, known, noise_of(1))
    again = location_statistics(base, trained, known, noise_of(1))
    assert str(first) == str(again)
    other = location_statistics(base, trained, known, noise_of(2))
    differ = {name for name in first if str(first[name]) != str(other[name])}
    assert differ and all(name.endswith("_null") for name in differ)


def test_the_bfloat16_view_is_that_of_both_rounded_weights():
    base = gaussian(30, 40)
    trained = base + 1e-2 * gaussian(30, 40, 1)
    rounded = in_view(base, trained, torch.bfloat16)
    known = spectrum(rounded[0], 3)
    seen = location_statistics(base, trained, known, noise_of(), torch.bfloat16)
    again = location_statistics(*rounded, known, noise_of())
    for name in ("frobenius_norm", "sparsity", "row_stripes", "principal_share"):
        assert seen[name] == again[name]
    assert (
        seen["sparsity"]
        > location_statistics(base, trained, known, noise_of())["sparsity"]
    )


def test_a_matrix_that_did_not_train_has_sizes_and_no_places():
    base = gaussian(20, 30)
    row = location_statistics(base, base.clone(), spectrum(base, 2), noise_of())
    assert row["sparsity"] == row["sparsity_null"] == 1
    assert row["frobenius_norm"] == row["spectral_norm"] == row["spectrum_drift"] == 0
    assert row["rotation_left"] < 1e-4
    for name in ("row_stripes", "principal_overlap", "principal_share"):
        assert math.isnan(row[name])


def test_a_striped_update_is_found_in_rows_only():
    base = gaussian(60, 80)
    rows = (torch.arange(60) % 4 == 0)[:, None]
    update = 0.1 * rows * random_mask(60, 80, 0.5, 1)
    row = location_statistics(base, base + update, spectrum(base, 2), noise_of())
    assert row["row_stripes"] > 5 and row["row_stripes_z"] > 20
    assert row["row_stripes_given_margin_z"] > 20
    assert row["column_stripes"] < 2


def test_weights_of_different_shapes_are_refused():
    base = gaussian(4, 5)
    with pytest.raises(ValueError, match="shape"):
        location_statistics(base, gaussian(5, 4), spectrum(base, 1), noise_of())
    with pytest.raises(ValueError, match="shape"):
        location_statistics(base, base, spectrum(gaussian(3, 5), 1), noise_of())
