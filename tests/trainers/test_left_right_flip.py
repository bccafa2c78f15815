import pytest
import torch

from nnunetv2_focusnet.trainers.left_right_flip import LeftRightFlipTransform


class AlwaysFlip(LeftRightFlipTransform):
    def get_parameters(self, **data_dict: object) -> dict[str, object]:
        return {"axes": list(self.allowed_axes)}


def head() -> torch.Tensor:
    """Labels (1, 2, 4, 8): left lens 1 at x = 6, right lens 2 at x = 1 and larger, 3 unpaired, 4 ignored, -1 out."""
    labels = torch.zeros((1, 2, 4, 8), dtype=torch.int16)
    labels[0, 0, 1, 6] = 1
    labels[0, 0, 1:3, 1] = 2
    labels[0, 1, 3, 2:4] = 3
    labels[0, 1, 0, 0] = 4
    labels[0, 1, 1, 0] = -1
    return labels


def test_left_lens_of_a_flipped_head_lies_where_the_right_lens_was() -> None:
    before = head()
    image = torch.rand((2, 2, 4, 8))
    after = AlwaysFlip(2, [(1, 2)])(image=image, segmentation=before, regression_target=before.float())
    assert torch.equal(after["image"], image.flip(3))
    assert torch.equal(after["regression_target"], before.float().flip(3))
    assert after["segmentation"].dtype == torch.int16
    assert (after["segmentation"] == 1).nonzero().tolist() == [[0, 0, 1, 6], [0, 0, 2, 6]]
    assert (after["segmentation"] == 2).nonzero().tolist() == [[0, 0, 1, 1]]
    for unpaired in (0, 3, 4, -1):
        assert torch.equal(after["segmentation"] == unpaired, (before == unpaired).flip(3))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flipping_twice_changes_nothing(axis: int) -> None:
    flip = AlwaysFlip(axis, [(1, 2), (5, 3)])
    image, labels = torch.rand((1, 2, 4, 8)), torch.randint(-1, 8, (2, 2, 4, 8), dtype=torch.int16)
    twice = flip(**flip(image=image, segmentation=labels))
    assert torch.equal(twice["image"], image)
    assert torch.equal(twice["segmentation"], labels)


def test_half_of_the_samples_are_flipped_image_and_labels_together() -> None:
    torch.manual_seed(0)
    flip = LeftRightFlipTransform(2, [(1, 2)])
    image = torch.arange(8.0).reshape(1, 1, 1, 8)
    labels = torch.tensor([1, 0, 0, 0, 0, 0, 0, 0]).reshape(1, 1, 1, 8)
    samples = [flip(image=image, segmentation=labels) for _ in range(200)]
    flipped = [bool(sample["image"][0, 0, 0, 0] == 7) for sample in samples]
    assert flipped == [sample["segmentation"][0, 0, 0, 7] == 2 for sample in samples]
    assert 70 < sum(flipped) < 130  # 4 standard deviations of 100
