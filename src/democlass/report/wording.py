"""The sentences and cells of a report, which the terminal and the page share."""

from __future__ import annotations

from collections.abc import Sequence

from democlass.names import to_printable
from democlass.report.composition import Composition, Question, questions
from democlass.report.estimates import Shares
from democlass.report.report import CORRECTED, COUNTED, LABELLED, MEAN_PROBABILITY, Report
from democlass.report.target import Comparison
from democlass.results import ERROR, NO_FACE, OK, TOO_SMALL

TITLES = {
    COUNTED: "counted",
    MEAN_PROBABILITY: "mean probability",
    CORRECTED: "corrected",
    LABELLED: "labelled",
}
"""The names of the estimates in text for people."""

LIMITS = (
    "Shares of perceived gender and perceived race: how annotators would label the faces. They say nothing about the "
    "identity or ancestry of anyone."
)


def headline(report: Report) -> str:
    """Return the most important shares in a sentence."""
    sentences = []
    for question in questions(report.tasks)[: len(report.tasks)]:
        estimates = report.estimate(report.whole, question)
        if estimates is None:
            continue
        shares = estimates.shares[estimates.best]
        order = sorted(range(len(question.labels)), key=lambda index: -shares.share[index])[:2]
        parts = [
            f"{shares.share[index]:.0%} {spell_out(question.labels[index])} ({interval(shares, index)})"
            for index in order
        ]
        sentences.append(f"{question.title}: {' and '.join(parts)}")
    if not sentences:
        return "No face of the collection has a label."
    return f"Of {report.whole.faces:,} classified faces, by {'; by '.join(sentences)}."


def counts(composition: Composition) -> str:
    """Return the numbers of images and faces as text."""
    images = composition.images
    found = [f"{images.total():,} images", f"{composition.faces:,} classified faces"]
    for status, text in ((NO_FACE, "without a face"), (TOO_SMALL, "with small faces only"), (ERROR, "not readable")):
        found += [f"{images[status]:,} {text}"] if images[status] else []
    uncertain = max(composition.uncertain.values(), default=0)
    found += [f"{uncertain:,} faces uncertain"] if uncertain else []
    other = images.total() - sum(images[status] for status in (OK, NO_FACE, TOO_SMALL, ERROR))
    return ", ".join([*found, *([f"{other:,} with another status"] if other else [])])


def advice(report: Report) -> str:
    """Return a sentence that says which shares to believe."""
    if report.labelled is not None:
        return (
            "Believe the labelled shares. They come from the labels of people, and do not assume that the networks are "
            "right. They are missing where fewer than two faces have labels."
        )
    reasons = [each.reason for each in report.checkpoints.values() if each.reason]
    if not reasons:
        data = ", ".join(dict.fromkeys(each.data for each in report.checkpoints.values() if each.data))
        where = f" ({to_printable(data)})" if data else ""
        return (
            f"Believe the corrected shares. They assume that the networks err here as on the validation data{where}. "
            "For gender x race they also assume that the errors of the two networks are independent."
        )
    return (
        "Counted shares and mean probabilities are biased by the errors of the networks. Corrected shares are missing: "
        f"{'; '.join(dict.fromkeys(reasons))}."
    )


def group_title(report: Report, values: Sequence[str]) -> str:
    """Return the name of a group, such as `year 1990, folder a`."""
    return ", ".join(f"{name} {value}" for name, value in zip(report.group_names, values, strict=True))


def spell_out(label: str) -> str:
    """Return a label without underscores."""
    return label.replace("_", " ")


def interval(shares: Shares, index: int) -> str:
    """Return the interval of a share."""
    return f"{shares.low[index]:.1%} to {shares.high[index]:.1%}"


def target_row(question: Question, comparison: Comparison, index: int) -> list[str]:
    """Return the label, its target, the difference in percentage points, and how many are missing."""
    missing = int(comparison.missing[index])
    points = f"{100 * comparison.difference[index]:+.1f} points"
    label = spell_out(question.labels[index])
    return [label, f"{comparison.target[index]:.1%}", points, f"{missing:,}" if missing else ""]


def test(comparison: Comparison) -> str:
    """Return the result of the chi-square test."""
    p = f"p {comparison.p:.3f}" if comparison.p >= 0.001 else "p below 0.001"
    return f"chi-square {comparison.chi_square:.1f}, {p}, Cramér's V {comparison.cramers_v:.2f}"
