import math

import torch

from jp_llm.model.positions import document_mask, document_positions, rotary_tables, rotate


def test_rotation_turns_pairs_half_a_width_apart():
    x = torch.zeros(1, 3, 1, 6)
    x[..., 0] = 1.0  # pairs with dimension 2: the first 4 dimensions are rotated
    x[..., 5] = 7.0
    rotary = rotary_tables(torch.arange(3), rotary_dim=4, theta=100.0, dtype=torch.float32)
    turned = rotate(x, rotary)[0, :, 0]
    expected = torch.tensor([[math.cos(p), 0, math.sin(p), 0, 0, 7] for p in range(3)])
    torch.testing.assert_close(turned, expected)


def test_frequencies_fall_from_one_towards_one_over_theta():
    cos, sin = rotary_tables(torch.tensor([1]), rotary_dim=8, theta=16.0, dtype=torch.float32)
    angles = torch.atan2(sin, cos).flatten()
    torch.testing.assert_close(angles, torch.tensor([1.0, 1 / 2, 1 / 4, 1 / 8]))


def test_scores_depend_on_the_distance_only():
    q, k = torch.randn(2, 1, 1, 1, 8)
    positions = torch.tensor([3, 10, 1003, 1010])
    rotary = rotary_tables(positions, rotary_dim=8, theta=10000.0, dtype=torch.float32)
    turned_q, turned_k = (rotate(x.expand(1, 4, 1, 8), rotary)[0, :, 0] for x in (q, k))
    torch.testing.assert_close(turned_q[1] @ turned_k[0], turned_q[3] @ turned_k[2], rtol=1e-3, atol=1e-4)


def test_only_the_result_is_rounded():
    positions = torch.arange(5000)
    exact = rotary_tables(positions, 16, 10000.0, torch.float32)
    rounded = rotary_tables(positions, 16, 10000.0, torch.bfloat16)
    assert all(torch.equal(a.bfloat16(), b) for a, b in zip(exact, rounded, strict=True))


def test_positions_restart_with_every_document():
    ids = torch.tensor([[0, 0, 1, 1, 1, 2, 3, 3], [1, 1, 1, 1, 1, 1, 2, 2]])
    assert document_positions(ids).tolist() == [[0, 1, 0, 1, 2, 0, 0, 1], [0, 1, 2, 3, 4, 5, 0, 1]]


def test_the_mask_is_causal_inside_documents():
    mask = document_mask(torch.tensor([[0, 0, 1, 1]]))
    assert mask.shape == (1, 1, 4, 4)
    assert mask[0, 0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
