"""What a result says of its attacks: which suite they are, and which is the strongest; no PyTorch.

What leaks in one frame and what leaks in sixteen are two columns: ``columns_of``.
"""

from collections.abc import Callable, Mapping
from typing import Any

Entry = Mapping[str, Any]


def mean_psnr(attack: Entry) -> float:
    """Mean PSNR in dB of an attack's entry."""
    return float(attack["scores"]["standard"]["psnr_db"]["mean"])


def identified(attack: Entry) -> float:
    """Share of pictures that an attack betrays, by pixels or by the judge's embedding, whichever is more."""
    scores = attack["scores"]
    by_judge = scores.get("identity", {}).get("reidentified_rank1", 0.0)
    return max(float(scores["retrieval_rank1"]), float(by_judge))


def by_strength(attacks: Mapping[str, Entry], psnr_db: Callable[[Entry], float] = mean_psnr) -> list[str]:
    """Keys from the strongest attack to the weakest: the highest mean PSNR first.

    Args:
        attacks: Entries by key.
        psnr_db: Where an entry has it.

    Example:
        >>> by_strength({"a": {"psnr_db": 10}, "b": {"psnr_db": 20}}, lambda entry: entry["psnr_db"])
        ['b', 'a']
    """
    return sorted(attacks, key=lambda key: -psnr_db(attacks[key]))


def strongest(attacks: Mapping[str, Entry], psnr_db: Callable[[Entry], float] = mean_psnr) -> str | None:
    """Key of the strongest attack; None without attacks."""
    return next(iter(by_strength(attacks, psnr_db)), None)


def columns_of(attacks: Mapping[str, Entry], frames: int = 16) -> dict[str, dict[str, Any]]:
    """The strongest attack from one frame and from all that are averaged, each by PSNR and by identity.

    Where no noise is drawn, more frames say the same as one, and both columns are alike.

    Args:
        attacks: Entries by key.
        frames: How many are averaged.

    Returns:
        ``{"1": COLUMN, "16": COLUMN}``, the second by ``frames``, each ``{"attack",
        "psnr_db", "ci95", "worst_5pct_db", "worst_1pct_db", "identity_attack", "identified"}``; empty without
        attacks.

    Example:
        >>> psnr = {"mean": 9.0, "ci95": [8.0, 10.0], "worst_5pct_mean": 11.0, "worst_1pct_mean": 12.0}
        >>> entry = {"frames": 1, "scores": {"standard": {"psnr_db": psnr}, "retrieval_rank1": 0.5}}
        >>> columns_of({"rmle": entry})["16"]["attack"]
        'rmle'
    """
    if not attacks:
        return {}
    single = {key: attack for key, attack in attacks.items() if attack["frames"] == 1}
    chosen = {"1": single, str(frames): dict(attacks)}
    return {name: _column(found) for name, found in chosen.items() if found}


def _column(attacks: Mapping[str, Entry]) -> dict[str, Any]:
    best = by_strength(attacks)[0]
    telling = max(attacks, key=lambda key: (identified(attacks[key]), mean_psnr(attacks[key])))
    psnr = attacks[best]["scores"]["standard"]["psnr_db"]
    return {
        "attack": best,
        "psnr_db": psnr["mean"],
        "ci95": psnr["ci95"],
        "worst_5pct_db": psnr["worst_5pct_mean"],
        "worst_1pct_db": psnr["worst_1pct_mean"],
        "identity_attack": telling,
        "identified": identified(attacks[telling]),
    }


def suite_told(result: Mapping[str, Any]) -> str:
    """Which suite a stored result is of, in words; those made before AutoInvert say so.

    Example:
        >>> suite_told({"suite": {"name": "AutoInvert", "version": 1, "budget": "fast"}})
        'AutoInvert v1, fast'
        >>> suite_told({"profile": "cpu"})
        'study-cpu, before AutoInvert'
    """
    if suite := result.get("suite"):
        return f"{suite['name']} v{suite['version']}, {suite['budget']}"
    kind = f"study-{result['profile']}" if "profile" in result else f"audit-{result.get('budget', 'cpu')}"
    return f"{kind}, before AutoInvert"


def agreement_told(pair: Mapping[str, Any]) -> str:
    """How far a budget of AutoInvert is from a longer one (``agreement.py``'s pair), in a line."""
    figures = pair["columns"]["1"]
    psnr, found = figures["psnr_db"], figures["identified"]
    rank = "none"
    if psnr["rank_correlation"] is not None:
        rank = f"{psnr['rank_correlation']:.2f} (p = {psnr['p']:.2g})"
    low, high = psnr["ci95"]
    return (
        f"AutoInvert {pair['budget']} beside {pair['beside']} on {len(pair['rows'])} rows: rank "
        f"correlation {rank}, {pair['beside']} gets {psnr['offset']:+.2f} dB [{low:+.2f}, {high:+.2f}] and "
        f"finds {100 * found['offset']:+.1f} % more of the pictures"
    )
