"""Recipes by name, and what they are made of."""

import pytest
import torch

from cloud_jobs.datasets.volumes import volumes_split
from cloud_jobs.recipes import RECIPES, recipe_named
from cloud_jobs.recipes.augment import shift_by_one
from cloud_jobs.recipes.losses import dice, right_class, voxel_loss
from toolkit.errors import UsageError


def test_an_unknown_recipe_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="no recipe 'digit'; did you mean 'digits'"):
        recipe_named("digit")


def test_epochs_can_be_fewer():
    assert recipe_named("digits", epochs=2).epochs == 2
    assert recipe_named("digits").epochs > 2


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_fits_together(name):
    """One batch goes through data, augmentation, model, loss and score."""
    config = recipe_named(name)
    data = config.data()
    samples, truth = data.samples[:4], data.truth[:4]
    if config.augment:
        samples, truth = config.augment(samples, truth, torch.Generator().manual_seed(0))
    logits = config.model()(samples)
    assert config.loss(logits, truth).shape == ()
    assert config.score(logits, truth).shape == (4,)
    assert config.recipe == name
    assert len(data.held_out_samples) == len(data.held_out_truth)


def test_no_held_out_digit_is_trained_on():
    data = recipe_named("digits").data()
    assert (len(data.samples), len(data.held_out_samples)) == (1597, 200)
    trained = {each.numpy().tobytes() for each in data.samples}
    assert not [each for each in data.held_out_samples if each.numpy().tobytes() in trained]
    assert torch.bincount(data.held_out_truth).min() >= 19


def test_a_shift_moves_by_at_most_one_pixel_and_invents_nothing():
    images = torch.zeros(200, 1, 8, 8)
    images[:, 0, 4, 4] = 1.0
    moved, truth = shift_by_one(images, torch.arange(200), torch.Generator().manual_seed(0))
    assert truth.tolist() == list(range(200))
    places = {tuple(place) for place in moved[:, 0].nonzero()[:, 1:].tolist()}
    assert places == {(row, column) for row in (3, 4, 5) for column in (3, 4, 5)}
    assert moved.sum() == 200
    again, _ = shift_by_one(images, torch.arange(200), torch.Generator().manual_seed(0))
    assert torch.equal(moved, again)


def test_the_right_class_scores_one():
    logits = torch.tensor([[0.1, 0.9], [0.8, 0.2]])
    assert right_class(logits, torch.tensor([1, 1])).tolist() == [1.0, 0.0]


def test_dice_counts_what_is_shared():
    masks = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    logits = torch.tensor([[1.0, -1.0, 1.0, -1.0], [-1.0, -1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0]])[:, None]
    assert dice(logits, masks).tolist() == [0.5, 1.0, 1.0]


def test_a_surer_and_righter_answer_has_less_voxel_loss():
    masks = torch.tensor([[1, 1, 0, 0]])
    wrong, unsure, right = (
        voxel_loss(factor * (masks[:, None] - 0.5), masks).item() for factor in (-9.0, 0.0, 9.0)
    )
    assert wrong > unsure > right


def test_volumes_are_the_same_each_time_and_hold_a_lesion():
    one, two = volumes_split(), volumes_split()
    assert torch.equal(one.samples, two.samples)
    share = one.truth.float().flatten(1).mean(dim=1)
    assert 0.005 < share.min() < share.max() < 0.2
    assert one.samples[:, 0][one.truth == 1].mean() > 0.9
