from dataclasses import asdict

import pytest
import torch

from siftfunnel.lab.data.augment import PAPER_AUGMENTATION, Augmentation, augment, hue_matrices


def pictures(count: int = 8) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 6, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_no_augmentation_only_scales() -> None:
    images = pictures()
    result = augment(images, Augmentation(), torch.Generator())
    torch.testing.assert_close(result, images.float() / 255)


def test_a_flip_leaves_each_picture_or_mirrors_it() -> None:
    images = pictures(32)
    result = augment(images, Augmentation(flip=True), torch.Generator().manual_seed(1))
    plain = images.float() / 255
    mirrored = [bool((r == p.flip(1)).all()) for r, p in zip(result, plain, strict=True)]
    kept = [bool((r == p).all()) for r, p in zip(result, plain, strict=True)]
    assert all(m or k for m, k in zip(mirrored, kept, strict=True))
    assert 4 < sum(mirrored) < 28


def test_a_shift_moves_the_inside_and_repeats_the_border() -> None:
    images = torch.zeros(512, 6, 6, 3, dtype=torch.uint8)
    images[:, 3, 3] = 255
    result = augment(images, Augmentation(shift_pixels=2), torch.Generator().manual_seed(0))
    places = {tuple(place.nonzero()[0].tolist()) for place in result[..., 0]}
    assert places == {(row, column) for row in range(1, 6) for column in range(1, 6)}


def test_colour_changes_stay_in_range_and_keep_grey_grey() -> None:
    images = torch.full((16, 4, 4, 3), 200, dtype=torch.uint8)
    settings = Augmentation(brightness=0.5, contrast=0.5, saturation=0.5)
    result = augment(images, settings, torch.Generator().manual_seed(0))
    assert 0 <= float(result.min()) <= float(result.max()) <= 1
    torch.testing.assert_close(result[..., 0], result[..., 1], atol=1e-5, rtol=0)
    assert float(result[:, 0, 0, 0].std()) > 0.05


def test_saturation_alone_keeps_the_grey_value() -> None:
    images = pictures(16) // 2 + 60
    grey = torch.tensor([0.299, 0.587, 0.114])
    result = augment(images, Augmentation(saturation=0.2), torch.Generator().manual_seed(0))
    torch.testing.assert_close(result @ grey, images.float() / 255 @ grey, atol=1e-5, rtol=0)


def test_the_papers_augmentation_is_a_flip_and_a_fifth_of_every_colour_change() -> None:
    assert asdict(PAPER_AUGMENTATION) == {
        "flip": True,
        "shift_pixels": 0,
        "brightness": 0.2,
        "contrast": 0.2,
        "saturation": 0.2,
        "hue": 0.2,
    }
    result = augment(pictures(16), PAPER_AUGMENTATION, torch.Generator().manual_seed(0))
    assert 0 <= float(result.min()) <= float(result.max()) <= 1


def test_a_whole_turn_of_the_hue_changes_nothing_and_half_a_turn_undoes_itself() -> None:
    whole, half = hue_matrices(torch.tensor([1.0, 0.5]))
    torch.testing.assert_close(whole, torch.eye(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(half @ half, torch.eye(3), atol=1e-5, rtol=0)


def test_a_third_of_a_turn_makes_red_green_and_back_makes_it_blue() -> None:
    red = torch.tensor([1.0, 0.0, 0.0])
    forward, back = red @ hue_matrices(torch.tensor([1 / 3, -1 / 3]))
    assert (int(forward.argmax()), int(back.argmax())) == (1, 2)


def test_hue_alone_keeps_the_grey_value_of_colours_that_do_not_clip() -> None:
    images = pictures(16) // 8 + 110
    grey = torch.tensor([0.299, 0.587, 0.114])
    result = augment(images, Augmentation(hue=0.5), torch.Generator().manual_seed(0))
    torch.testing.assert_close(result @ grey, images.float() / 255 @ grey, atol=1e-5, rtol=0)
    assert float((result - images / 255).abs().max()) > 0.02


def test_hue_and_saturation_leave_films_alone() -> None:
    films = pictures(8)[..., :1].expand(-1, -1, -1, 3)
    result = augment(films, Augmentation(saturation=0.2, hue=0.2), torch.Generator().manual_seed(0))
    torch.testing.assert_close(result, films / 255, atol=1e-5, rtol=0)


def test_without_hue_the_random_numbers_are_those_of_before_it() -> None:
    generator = torch.Generator().manual_seed(3)
    augment(pictures(4), Augmentation(brightness=0.1), generator)
    expected = torch.Generator().manual_seed(3)
    torch.rand(12, generator=expected)
    assert torch.equal(torch.rand(1, generator=generator), torch.rand(1, generator=expected))


def test_the_same_generator_state_repeats() -> None:
    settings = Augmentation(flip=True, shift_pixels=2, brightness=0.2, contrast=0.2, saturation=0.2)
    first, second = (augment(pictures(), settings, torch.Generator().manual_seed(5)) for _ in range(2))
    torch.testing.assert_close(first, second, atol=0, rtol=0)


@pytest.mark.parametrize(
    "change", [{"shift_pixels": -1}, {"brightness": 1.0}, {"contrast": -0.1}, {"hue": 0.6}]
)
def test_impossible_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="half-widths"):
        Augmentation(**change)
