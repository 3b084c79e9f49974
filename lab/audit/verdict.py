"""The verdict in plain words, by rules from the numbers. Thresholds are ours.

How much is seen goes by the strongest attack's mean PSNR beside the reference rows of the same pictures:

| level | mean PSNR | in words |
| --- | --- | --- |
| 0 | below mean image + 1 dB | nothing visible beyond a guess |
| 1 | below the 4x4 thumbnail | rough colours and brightness |
| 2 | below the 8x8 thumbnail | coarse shapes |
| 3 | below 28 dB | a blurred likeness |
| 4 | 28 dB or more, and no less than the 8x8 thumbnail | the picture, nearly whole |

The same scale is applied to the mean of the worst 1 % of the pictures. Retrieval counts as *traceable* when
its rank-1 share exceeds chance by more than three standard errors. A high level is a fact even where a sanity
check fails; a level up to 2 is then inconclusive, a least value, for the numbers measure the attack.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from siftfunnel.lab.evaluation.checks import Check, failed, percent

GUESS_MARGIN_DB = 1.0
PICTURE_DB = 28.0
TELLING_SHARE = 0.5
PROVEN_LEVEL = 3

HEADLINES = (
    "Nothing visible beyond a guess was recovered",
    "Rough colours and brightness leak",
    "Coarse shapes leak",
    "A blurred likeness of the picture leaks",
    "The picture leaks, nearly whole",
)
SEEN = (
    "no more than one sees who ignores the feature and answers the mean picture",
    "rough colours and brightness, less than a 4x4 thumbnail shows",
    "coarse shapes, more than a 4x4 and less than an 8x8 thumbnail shows",
    "a blurred likeness, more than an 8x8 thumbnail shows",
    "nearly the picture itself",
)


@dataclass(frozen=True)
class Leak:
    """The numbers that the rules look at.

    Attributes:
        attack: The strongest attack's label.
        mean_psnr_db: Over the attacked pictures.
        ci95: Interval of that mean.
        worst_psnr_db: Mean of the worst 1 %, the pictures restored best.
        rank1: Share of reconstructions whose nearest original is the right one.
        pictures: Attacked pictures, among which one looks for the right one.
        mean_image_db: Reference row, mean PSNR.
        thumbnail_4x4_db: Reference row.
        thumbnail_8x8_db: Reference row.
    """

    attack: str
    mean_psnr_db: float
    ci95: tuple[float, float]
    worst_psnr_db: float
    rank1: float
    pictures: int
    mean_image_db: float
    thumbnail_4x4_db: float
    thumbnail_8x8_db: float

    def level_of(self, psnr_db: float) -> int:
        """Where a PSNR stands on the scale."""
        if psnr_db < self.mean_image_db + GUESS_MARGIN_DB:
            return 0
        if psnr_db < self.thumbnail_4x4_db:
            return 1
        if psnr_db < self.thumbnail_8x8_db:
            return 2
        return 3 if psnr_db < PICTURE_DB else 4

    @property
    def chance(self) -> float:
        """Rank-1 share of a guess."""
        return 1 / self.pictures

    @property
    def is_traceable(self) -> bool:
        """Whether reconstructions find their original more often than chance explains."""
        error = math.sqrt(self.chance * (1 - self.chance) / self.pictures)
        return self.rank1 > self.chance + 3 * error


@dataclass(frozen=True)
class Attacker:
    """Who attacked.

    Attributes:
        white_box: Whether he had gradients.
        pictures: Own pictures.
        dataset: Where they are from.
        stochastic: Whether the device adds noise.
        frames: Observations that he averaged at most.
        not_tried: Labels of attacks that did not run, with the reason.
        heard: The codec after which features were overheard; None before any.
        is_own: Whether the pictures are a user's own, of which nobody knows what the network was trained on.
    """

    white_box: bool
    pictures: int
    dataset: str
    stochastic: bool
    frames: int
    not_tried: tuple[str, ...]
    heard: str | None = None
    is_own: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the report says first.

    Attributes:
        level: 0 to 4; see the module.
        conclusive: False where a low level rests on attacks that failed a check.
        headline: In a line.
        paragraphs: Each a heading and its text.
    """

    level: int
    conclusive: bool
    headline: str
    paragraphs: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """Every field, paragraphs as objects."""
        values = asdict(self)
        values["paragraphs"] = [{"heading": heading, "text": text} for heading, text in self.paragraphs]
        return values


def give_verdict(
    leak: Leak, attacker: Attacker, checks: Sequence[Check], *, label_kind: str | None
) -> Verdict:
    """The verdict; always with what it rests on and what it cannot say."""
    level = leak.level_of(leak.mean_psnr_db)
    broken = failed(checks)
    conclusive = level >= PROVEN_LEVEL or not broken
    headline = headline_of(leak, level, conclusive=conclusive)
    paragraphs = [
        ("What an eavesdropper sees", _seen(leak, level)),
        ("The most exposed pictures", _worst(leak, level)),
        ("Can the picture be traced?", _traced(leak)),
    ]
    if label_kind == "identity":
        paragraphs.append(("The answer itself", ANSWER_LEAKS))
    if broken:
        paragraphs.append(("What the sanity checks say", _distrust(broken, level)))
    paragraphs += [
        ("How strong the attacker was", _strength(attacker)),
        ("What this cannot say", _limits(attacker)),
    ]
    return Verdict(level, conclusive, headline, tuple(paragraphs))


def headline_of(leak: Leak, level: int, *, conclusive: bool) -> str:
    """The verdict in a line; inconclusive ones say at least what was seen."""
    line = HEADLINES[level]
    if not level and leak.is_traceable:
        line = "Little is visible, yet the reconstructions betray which picture it was"
    elif 0 < level < PROVEN_LEVEL and leak.rank1 >= TELLING_SHARE:
        line += ", enough to tell which picture it was"
    if conclusive:
        return line
    lower = line[0].lower() + line[1:]
    return (
        f"At least {lower}; perhaps far more"
        if level
        else f"Inconclusive. As far as these attacks went, {lower}"
    )


ANSWER_LEAKS = (
    "The network answers who is in the picture. That answer leaks by design: whoever reads it, or can "
    "compute it with the cloud half, knows the person, however little of the picture is left in the feature."
)


def _seen(leak: Leak, level: int) -> str:
    low, high = leak.ci95
    return (
        f"From the overheard feature, the strongest attack ({leak.attack}) restores pictures at "
        f"{leak.mean_psnr_db:.1f} dB on average (95 % interval {low:.1f} to {high:.1f}, {leak.pictures} "
        "pictures): "
        f"{SEEN[level]}. For comparison, the mean picture scores {leak.mean_image_db:.1f} dB, a 4x4 "
        "thumbnail "
        f"{leak.thumbnail_4x4_db:.1f} dB and an 8x8 thumbnail {leak.thumbnail_8x8_db:.1f} dB on the same "
        "pictures."
    )


def _worst(leak: Leak, level: int) -> str:
    worst = leak.level_of(leak.worst_psnr_db)
    text = f"The worst 1 % are restored at {leak.worst_psnr_db:.1f} dB: {SEEN[worst]}. "
    if worst > level:
        return (
            text + "An average hides them; to the person in such a picture, this line is the one that counts."
        )
    return text + "They fall into the same class as the average."


def _traced(leak: Leak) -> str:
    share, chance = percent(leak.rank1), percent(leak.chance)
    if not leak.is_traceable:
        return (
            f"Compared with all {leak.pictures} originals, a reconstruction is nearest to its own in "
            f"{share} of the "
            f"cases, which chance ({chance}) explains."
        )
    return (
        f"Compared with all {leak.pictures} originals, a reconstruction is nearest to its own in {share} of "
        f"the cases; chance is {chance}. Whoever holds candidate pictures can tell which one was sent that "
        "often, even where the reconstruction itself shows little."
    )


def _distrust(broken: Sequence[Check], level: int) -> str:
    names = "; ".join(check.title[0].lower() + check.title[1:] for check in broken)
    text = f"Not true here: {names}. Where a check fails, the numbers measure the attack, not the defence. "
    if level >= PROVEN_LEVEL:
        return text + "What was restored was restored all the same: the true leak can only be larger."
    return (
        text + "A low number is no evidence of privacy before these attacks are repaired or given more time."
    )


def _strength(attacker: Attacker) -> str:
    access = (
        "has the edge half with its weights and computes gradients through it"
        if attacker.white_box
        else "can feed the edge half own pictures and read the features, without gradients"
    )
    noise = ""
    if attacker.stochastic:
        noise = f" Against the noise, each picture is overheard up to {attacker.frames} times and averaged."
    apart = "none of them attacked here" if attacker.is_own else "neither attacked here nor trained on"
    read = (
        "The feature is read before a codec rounds it."
        if attacker.heard is None
        else f"The feature is read off the wire, after the codec {attacker.heard}."
    )
    return (
        f"The attacker {access}, and owns {attacker.pictures:,} pictures of the kind that is sent "
        f"({attacker.dataset}; {apart}). {read}{noise}"
    )


def _limits(attacker: Attacker) -> str:
    text = (
        "Every number here is a lower bound on the leak: it says what these attacks got, not what can be "
        "got. PSNR "
        "follows only weakly whether people recognise a picture, so look at the galleries. Not tried: "
        "generative "
        "priors (diffusion, GAN) trained on far more pictures, larger inverters, and the combination of "
        "several frames of one scene"
    )
    if attacker.not_tried:
        text += f"; and of the lab's own attacks: {'; '.join(attacker.not_tried)}"
    return text + "."


def leak_of(strongest: Mapping[str, Any], references: Mapping[str, Mapping[str, Any]]) -> Leak:
    """The rules' numbers from a report's."""
    psnr = strongest["scores"]["standard"]["psnr_db"]
    guess, small, large = (
        float(references[name]["standard"]["psnr_db"]["mean"])
        for name in ("mean_image", "thumbnail_4x4", "thumbnail_8x8")
    )
    return Leak(
        attack=strongest["label"],
        mean_psnr_db=psnr["mean"],
        ci95=(psnr["ci95"][0], psnr["ci95"][1]),
        worst_psnr_db=psnr["worst_1pct_mean"],
        rank1=strongest["scores"]["retrieval_rank1"],
        pictures=strongest["scores"]["pictures"],
        mean_image_db=guess,
        thumbnail_4x4_db=small,
        thumbnail_8x8_db=large,
    )
