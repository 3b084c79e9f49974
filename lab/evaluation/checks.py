"""Sanity checks: may the numbers be read as a property of the defence, or only of the attack?

Rules on numbers; every threshold is ours and named here. A check looks at attacks done right; those that are
*as the paper* has them are known to be weak, and are only mentioned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from siftfunnel.lab.evaluation.ranking import mean_psnr, strongest
from siftfunnel.lab.metrics.intervals import paired_difference

Status = Literal["PASS", "FAIL", "NOT APPLICABLE"]
Attacks = Mapping[str, Mapping[str, Any]]

MATCHED_SHARE, MATCHED_SHARE_HELD = 0.05, 0.25
"""A descent has matched a feature when its loss is at most this share of the mean picture's: the second where
a prior or smoothness, chosen on the attacker's own pictures, keeps it from an exact match on purpose."""
BY_START = "scaled_feature_loss_by_start"
SAME_START_RATIO, SAME_START_DISTANCE = 2.0, 0.02
"""Starts agree when their scaled feature distances differ by no more than the ratio, or are both this small
(another picture's features are about 2 apart)."""
WORTH_MENTIONING_DB = 0.1
"""Less is no reason for a flag."""
SATURATED_DB = 0.5
BY_HEART_DB = 25.0
DOMAIN_GAP_DB = 1.0


@dataclass(frozen=True)
class Check:
    """One check's outcome.

    Attributes:
        key: Its name in the JSON report.
        title: What ought to be true.
        status: Whether it is.
        finding: The numbers, in a sentence.
        failure_means: What it means when it is not.
        figures: The numbers as JSON values.
    """

    key: str
    title: str
    status: Status
    finding: str
    failure_means: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)


def percent(share: float) -> str:
    """A share in words.

    Example:
        >>> percent(0.175), percent(0.05)
        ('17.5 %', '5 %')
    """
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _psnr_N(attack: Mapping[str, Any]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.asarray(attack["scores"]["psnr_db_per_image"], dtype=np.float64)


def _single_look(attacks: Attacks) -> dict[str, Mapping[str, Any]]:
    return {key: attack for key, attack in attacks.items() if attack["frames"] == 1}


def _done_right(attacks: Attacks) -> dict[str, Mapping[str, Any]]:
    return {key: attack for key, attack in attacks.items() if not attack["as_the_paper"]}


def white_box_not_weaker(attacks: Attacks) -> Check:
    """Gradients are extra knowledge: the best attack with them must not lose to the best without.

    It fails beyond a tenth of a decibel: settings are chosen on a few pictures of the attacker's, and a
    descent that begins at the inverter's picture loses that little to the choice.
    """
    look = _single_look(attacks)
    white = {key: attack for key, attack in look.items() if attack["access"] == "white-box"}
    other = {key: attack for key, attack in look.items() if attack["access"] != "white-box"}
    title = "White-box is at least as strong as black-box"
    means = (
        "An attacker who has gradients has everything that the others have, so a weaker white-box attack has "
        "got stuck: its numbers measure the optimiser (masked gradients), not the defence."
    )
    best_white, best_other = strongest(white), strongest(other)
    if best_white is None or best_other is None:
        missing = "white-box" if best_white is None else "other"
        return Check("white_box", title, "NOT APPLICABLE", f"No {missing} attack ran.", means)
    gap = paired_difference(_psnr_N(white[best_white]), _psnr_N(other[best_other]))
    low, high = gap["ci95"]
    finding = (
        f"{white[best_white]['label']} minus {other[best_other]['label']}, picture by picture: "
        f"{gap['mean']:+.2f} dB (95 % interval {low:+.2f} to {high:+.2f})."
    )
    figures = {"white_box": best_white, "other": best_other, **gap}
    return Check(
        "white_box", title, "FAIL" if high < -WORTH_MENTIONING_DB else "PASS", finding, means, figures
    )


def feature_loss_reached(attacks: Attacks, *, stochastic: bool) -> Check:
    """A descent that is given the network must find a picture with the overheard feature."""
    title = "The white-box descent matches the overheard feature"
    means = (
        "The search ended before it found a picture whose feature is the overheard one. More steps or a "
        "better optimiser may find the picture itself; the white-box rows are then no evidence of privacy."
    )
    found = {
        key: float(attack["details"]["relative_feature_loss_median"])
        for key, attack in _done_right(_single_look(attacks)).items()
        if "relative_feature_loss_median" in attack["details"]
    }
    if not found or stochastic:
        why = "Noise is added to the feature, so no picture matches it." if found else "No such attack ran."
        return Check("feature_loss", title, "NOT APPLICABLE", why, means)
    key = min(found, key=found.__getitem__)
    details = attacks[key]["details"]
    is_held = any(float(details.get(name, 0)) > 0 for name in ("tv_weight", "prior_weight"))
    limit = MATCHED_SHARE_HELD if is_held else MATCHED_SHARE
    held = ", held off by a prior that does better on the attacker's own pictures" if is_held else ""
    finding = (
        f"{attacks[key]['label']} ends at {percent(found[key])} of the mean picture's feature loss "
        f"(median{held}; "
        f"{percent(limit)} or less counts as matched)."
    )
    status: Status = "PASS" if found[key] <= limit else "FAIL"
    return Check("feature_loss", title, status, finding, means, {"attack": key, "relative_loss": found[key]})


def start_does_not_matter(attacks: Attacks) -> Check:
    """Starts from the mean picture and from noise should end equally near to the feature."""
    title = "A mean start and a random start end alike"
    means = (
        "Where the descent ends depends on where it starts, so it is caught in local minima: more starts, "
        "or a start from an inverter's guess, would find more."
    )
    found = {
        key: [float(value) for value in attack["details"][BY_START]]
        for key, attack in _done_right(_single_look(attacks)).items()
        if len(attack["details"].get(BY_START, ())) >= 2
    }
    if not found:
        return Check("starts", title, "NOT APPLICABLE", "No attack ran from several starts.", means)
    key, by_start = next(iter(found.items()))
    worst, best = max(by_start), min(by_start)
    alike = worst <= SAME_START_DISTANCE or worst <= SAME_START_RATIO * best
    finding = (
        f"{attacks[key]['label']}: scaled feature distance {by_start[0]:.3g} from the mean picture, "
        f"{', '.join(f'{value:.3g}' for value in by_start[1:])} from noise (0 is a match, about 2 another "
        "picture)."
    )
    return Check("starts", title, "PASS" if alike else "FAIL", finding, means, {"by_start": by_start})


def budget_is_enough(half: Mapping[str, Any] | None) -> Check:
    """Doubling the budget of the strongest attack should no longer help.

    Args:
        half: ``{"label", "what", "half", "all", "gain_db", "pictures"}`` of the attack at half and at full
            budget on the same pictures, or None where it was not tried.
    """
    title = "More budget no longer helps"
    means = (
        "The strongest attack was still improving when its budget ended, so a patient attacker gets more "
        "than this report shows."
    )
    if half is None:
        return Check("budget", title, "NOT APPLICABLE", "The strongest attack has no budget to halve.", means)
    gain = float(half["gain_db"])
    finding = (
        f"{half['label']}: from {half['half']} to {half['all']} {half['what']} it gains {gain:+.2f} dB on "
        f"{half['pictures']} pictures (below {SATURATED_DB} dB counts as saturated)."
    )
    return Check("budget", title, "PASS" if gain < SATURATED_DB else "FAIL", finding, means, dict(half))


def learns_by_heart(memory: Mapping[str, Any] | None) -> Check:
    """An inverter must be able to learn a few of the attacker's own pictures by heart.

    Args:
        memory: ``{"label", "pictures", "psnr_db"}``, or None where no inverter ran.
    """
    title = "The inverter can learn a few pictures by heart"
    means = (
        "An inverter that cannot even restore pictures that it was trained on has a fault, too little "
        "budget or too little capacity, or the features of different pictures are the same."
    )
    if memory is None:
        return Check("by_heart", title, "NOT APPLICABLE", "No inverter ran.", means)
    reached = float(memory["psnr_db"])
    finding = (
        f"{memory['label']}, trained on {memory['pictures']} of the attacker's pictures alone, restores "
        f"them at {reached:.1f} dB ({BY_HEART_DB:.0f} dB or more counts as learned)."
    )
    return Check(
        "by_heart", title, "PASS" if reached >= BY_HEART_DB else "FAIL", finding, means, dict(memory)
    )


def auxiliary_is_alike(attacks: Attacks) -> Check:
    """What an inverter reaches on own pictures held back it should reach on the target's."""
    title = "The inverter does as well on the target as on pictures held back"
    means = (
        "The attacker's own pictures differ from the target's. An attacker with pictures more like the "
        "target's "
        "would do better than this report shows, by up to the gap."
    )
    inverters = {
        key: attack
        for key, attack in _done_right(_single_look(attacks)).items()
        if attack["fit"].get("held_back_psnr") is not None
    }
    key = strongest(inverters)
    if key is None:
        return Check("domain", title, "NOT APPLICABLE", "No inverter ran.", means)
    held_back, reached = float(inverters[key]["fit"]["held_back_psnr"]), mean_psnr(inverters[key])
    finding = (
        f"{inverters[key]['label']}: {held_back:.2f} dB on the attacker's pictures held back, {reached:.2f} "
        f"dB on the target's (a gap of up to {DOMAIN_GAP_DB:.0f} dB is allowed)."
    )
    status: Status = "PASS" if held_back - reached <= DOMAIN_GAP_DB else "FAIL"
    figures = {"attack": key, "held_back_psnr_db": held_back, "target_psnr_db": reached}
    return Check("domain", title, status, finding, means, figures)


def beats_mean_image(attacks: Attacks, references: Attacks) -> Check:
    """An attack must not do worse than answering the mean of the attacker's own pictures."""
    title = "Every attack is at least as good as the mean picture"
    means = (
        "Whoever ignores the feature and answers the mean of the attacker's own pictures does better. Such "
        "a row says nothing of the defence."
    )
    guess = float(references["mean_image"]["standard"]["psnr_db"]["mean"])
    below = {key: mean_psnr(attack) for key, attack in attacks.items() if mean_psnr(attack) < guess}
    blamed = sorted(set(below) & set(_done_right(attacks)))
    named = ", ".join(f"{attacks[key]['label']} ({value:.2f} dB)" for key, value in below.items())
    if not attacks:
        return Check("mean_image", title, "NOT APPLICABLE", "No attack ran.", means)
    finding = f"The mean picture scores {guess:.2f} dB. "
    if not below:
        finding += "All attacks are above it."
    elif blamed:
        finding += f"Below it: {named}."
    else:
        finding += (
            f"Below it is only what is repeated as the paper has it: {named}. Such a row is no sign of "
            "privacy."
        )
    figures = {"mean_image_psnr_db": guess, "below": below}
    return Check("mean_image", title, "FAIL" if blamed else "PASS", finding, means, figures)


def run_checks(
    attacks: Attacks,
    references: Attacks,
    *,
    stochastic: bool,
    half: Mapping[str, Any] | None,
    memory: Mapping[str, Any] | None,
) -> list[Check]:
    """All checks, in the order of the report."""
    return [
        white_box_not_weaker(attacks),
        feature_loss_reached(attacks, stochastic=stochastic),
        start_does_not_matter(attacks),
        budget_is_enough(half),
        learns_by_heart(memory),
        auxiliary_is_alike(attacks),
        beats_mean_image(attacks, references),
    ]


def failed(checks: Sequence[Check]) -> list[Check]:
    """Those that failed."""
    return [check for check in checks if check.status == "FAIL"]
