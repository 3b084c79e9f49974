import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siftfunnel.bench.recommend.candidates import Candidate
from siftfunnel.bench.recommend.prediction import PredictionError
from siftfunnel.bench.recommend.verdicts import Limits, Preference, Verdict, dominates, judge
from siftfunnel.bench.report.accuracy import Accuracy
from siftfunnel.bench.report.leakage import Basis, Leakage


def way(
    codec: str,
    latency_ms: float | None = 10.0,
    *,
    mode: str = "split",
    psnr_db: float | None = 20.0,
    retrieved: float | None = 0.2,
    accuracy: float | None = 0.9,
    up_bytes: float = 100.0,
    measured: bool = True,
    overloaded: bool = False,
    basis: Basis = "through this codec",
    noise_ms: float = 0.0,
    half: float = 0.0,
) -> Candidate:
    leakage = None
    if psnr_db is not None:
        leakage = Leakage(basis, "residual", psnr_db, None, retrieved, 9, {"residual": psnr_db})
    known = accuracy and Accuracy(accuracy, accuracy - half, accuracy + half, 1_000, "test set")
    if mode == "edge-only":
        leakage = Leakage("nothing sent", "", None)
    return Candidate(
        "faces-own", "d", mode, codec, latency_ms, measured, overloaded, known, leakage, up_bytes, noise_ms
    )


def outcomes(verdicts: list[Verdict]) -> dict[str, tuple[str, str]]:
    return {verdict.candidate.codec: (verdict.outcome, verdict.why) for verdict in verdicts}


def test_the_fastest_within_the_limits_is_best_and_others_say_why_not() -> None:
    found = judge(
        [
            way("slow", 500.0),
            way("leaky", 5.0, psnr_db=30.0),
            way("wrong", 6.0, accuracy=0.5),
            way("good", 10.0),
            way("small", 12.0, up_bytes=50.0),
            way("useless", 13.0, up_bytes=200.0),
            way("unattacked", 7.0, psnr_db=None),
            way("flooded", 8.0, overloaded=True),
            way("nowhere", None),
        ],
        Limits(latency_budget_ms=100.0, least_accuracy=0.8, most_psnr_db=25.0),
    )
    assert outcomes(found) == {
        "good": ("best", "best in latency of all within the limits"),
        "small": ("runner-up", "+2.0 ms against the best, but smaller"),
        "useless": ("dominated", "dominated by own, split good: faster, smaller"),
        "slow": ("refused", "over budget: 500.0 of 100.0 ms"),
        "leaky": ("refused", "leaks more: 30.0 dB, above 25.0 dB"),
        "wrong": ("refused", "accuracy 50.0% [50.0, 50.0], below 80.0%"),
        "unattacked": ("unknown", "leakage not measured"),
        "flooded": ("refused", "cannot keep up: its cell was overloaded"),
        "nowhere": ("unknown", "not measured: no usable cell of it over any link"),
    }
    assert [verdict.outcome for verdict in found[:3]] == ["best", "runner-up", "dominated"]


def test_a_way_that_breaks_several_limits_names_all() -> None:
    (found,) = judge(
        [way("bad", 20.0, psnr_db=30.0, retrieved=0.9, accuracy=None)],
        Limits(latency_budget_ms=10.0, least_accuracy=0.8, most_psnr_db=25.0, most_retrieved=0.5),
    )
    assert found.outcome == "refused"
    assert found.why == (
        "over budget: 20.0 of 10.0 ms; accuracy not measured; leaks more: 30.0 dB, above 25.0 dB; "
        "leaks more: 90% retrieved, above 50%"
    )


def test_where_nothing_is_sent_nothing_leaks() -> None:
    limits = Limits(most_psnr_db=1.0, most_retrieved=0.0)
    assert outcomes(judge([way("", mode="edge-only")], limits))[""][0] == "best"
    assert outcomes(judge([way("", mode="edge-only")], Limits(without=("edge-only",))))[""] == (
        "refused",
        "not wanted: edge only",
    )


def test_a_retrieval_that_nobody_measured_is_unknown() -> None:
    (found,) = judge([way("q4", retrieved=None)], Limits(most_retrieved=0.5))
    assert (found.outcome, found.why) == ("unknown", "retrieval not measured")


def test_a_predicted_way_near_the_budget_says_that_the_model_may_err() -> None:
    error = PredictionError(trials=10, median_share=0.05, worst_share=0.2)
    near, far = way("near", 110.0, measured=False), way("far", 200.0, measured=False)
    found = outcomes(judge([near, far, way("sure", 110.0)], Limits(latency_budget_ms=100.0), error))
    assert found["near"][1].endswith("(predicted; the budget lies within the model's error)")
    assert found["far"][1] == "over budget: 200.0 of 100.0 ms"
    assert found["sure"][1] == "over budget: 110.0 of 100.0 ms"


@pytest.mark.parametrize(
    ("prefer", "best"),
    [("latency", "fast"), ("bytes", "small"), ("leakage", "private"), ("accuracy", "right")],
)
def test_the_user_says_what_is_best(prefer: Preference, best: str) -> None:
    ways = [
        way("fast", 1.0),
        way("small", up_bytes=1.0),
        way("private", psnr_db=5.0),
        way("right", accuracy=0.99),
    ]
    found = judge(ways, Limits(prefer=prefer))
    assert found[0].candidate.codec == best
    assert [verdict.outcome for verdict in found] == ["best", "runner-up", "runner-up", "runner-up"]


def test_an_accuracy_is_refused_only_where_its_interval_says_so() -> None:
    limits = Limits(least_accuracy=0.8)
    found = outcomes(
        judge([way("maybe", accuracy=0.784, half=0.03), way("never", accuracy=0.7, half=0.03)], limits)
    )
    assert found["maybe"][0] == "best"
    assert found["maybe"][1].endswith("; its accuracy may be below 80.0%: the interval begins at 75.4%")
    assert found["never"] == ("refused", "accuracy 70.0% [67.0, 73.0], below 80.0%")


def test_latencies_within_the_noise_are_ties_and_the_smaller_is_best() -> None:
    ways = [
        way("large", 29.8, up_bytes=715.0, noise_ms=0.4),
        way("small", 29.9, up_bytes=187.0, noise_ms=0.4),
        way("slow", 40.0, up_bytes=50.0, noise_ms=0.4),
    ]
    found = outcomes(judge(ways, Limits()))
    assert found["small"][0] == "best"
    assert found["large"] == ("dominated", "dominated by own, split small: smaller")
    assert found["slow"] == ("runner-up", "+10.1 ms against the best, but smaller")
    sharper = outcomes(judge([way("large", 29.8, up_bytes=715.0), way("small", 29.9)], Limits()))
    assert sharper["large"][0] == "best"


def test_a_tie_that_is_worth_something_else_is_said_to_be_as_good() -> None:
    ways = [way("small", 10.1, up_bytes=1.0, noise_ms=1.0), way("right", 10.0, accuracy=0.99, noise_ms=1.0)]
    found = outcomes(judge(ways, Limits()))
    assert found["right"] == ("runner-up", "as good in latency as the best, and more accurate")


def test_leaks_of_two_bases_neither_rank_nor_dominate() -> None:
    picture = way("jpeg", 10.0, psnr_db=83.0, basis="picture on the wire")
    feature = way("q4", 10.0, psnr_db=20.0)
    assert not dominates(feature, picture)
    found = outcomes(judge([picture, feature], Limits()))
    assert {outcome for outcome, _ in found.values()} == {"best", "runner-up"}
    assert not any("leaks" in why for _, why in found.values())
    by_leak = outcomes(judge([picture, feature], Limits(prefer="leakage")))
    assert by_leak["q4"][0] == "best"
    assert by_leak["jpeg"][1] == "leakage of another basis (picture on the wire) against the best"


@pytest.mark.parametrize(
    "limits", [{"least_accuracy": 80.0}, {"most_retrieved": -0.1}, {"latency_budget_ms": 0.0}]
)
def test_impossible_limits_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Limits(**limits)


WAYS = st.builds(
    way,
    codec=st.uuids().map(str),
    latency_ms=st.none() | st.sampled_from([1.0, 5.0, 20.0]),
    psnr_db=st.none() | st.sampled_from([10.0, 20.0, 30.0]),
    retrieved=st.none() | st.sampled_from([0.0, 0.5]),
    accuracy=st.none() | st.sampled_from([0.5, 0.9]),
    up_bytes=st.sampled_from([10.0, 100.0]),
    measured=st.booleans(),
    overloaded=st.booleans(),
    basis=st.sampled_from(["through this codec", "picture on the wire", "shipped inverter alone"]),
    noise_ms=st.sampled_from([0.0, 4.5]),
    half=st.sampled_from([0.0, 0.3]),
)
LIMITS = st.builds(
    Limits,
    latency_budget_ms=st.none() | st.just(10.0),
    least_accuracy=st.none() | st.just(0.8),
    most_psnr_db=st.none() | st.just(25.0),
    most_retrieved=st.none() | st.just(0.2),
    prefer=st.sampled_from(["latency", "bytes", "leakage", "accuracy"]),
)


@settings(max_examples=50)
@given(st.lists(WAYS, max_size=8), LIMITS)
def test_every_way_gets_one_verdict_and_the_best_is_within_all_limits(
    ways: list[Candidate], limits: Limits
) -> None:
    found = judge(ways, limits)
    assert sorted(verdict.candidate.codec for verdict in found) == sorted(one.codec for one in ways)
    assert all(verdict.why for verdict in found)
    standing = [verdict.candidate for verdict in found if verdict.outcome in ("best", "runner-up")]
    assert not any(dominates(a, b) for place, b in enumerate(standing) for a in standing[:place])
    best = [verdict.candidate for verdict in found if verdict.outcome == "best"]
    assert len(best) == bool(standing)
    for one in best:
        assert one.latency_ms is not None
        assert not one.overloaded
        assert limits.latency_budget_ms is None or one.latency_ms <= limits.latency_budget_ms
        if limits.least_accuracy is not None:
            assert one.accuracy is not None
            assert one.accuracy.high >= limits.least_accuracy
        if limits.most_psnr_db is not None:
            assert one.leakage is not None
            assert (one.leakage.psnr_db or 0) <= limits.most_psnr_db
