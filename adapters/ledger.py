"""The mismatch ledger: from counts of what a path changed to shares, and warnings where a share is too large.

A count named ``tokens_dropped`` is a share of the count ``tokens``, where there is one; any other is a share of
``samples``. A converter that brings counts of its own needs nothing here: ``X_dropped``, ``X_lost`` and the like get
a general line if it counts ``X`` too. For a sentence and a limit of its own it calls `declare`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import TransferScopeError
from ..results import Loss, Step

GENERAL_LIMIT = 0.1  # of counts that nothing is known of but their names
LOSSES = ("dropped", "lost", "missing", "unknown")  # what the name of an undeclared count of losses ends in


@dataclass(frozen=True)
class Rule:
    """What one count means.

    Attributes
    ----------
    count : str
        Its name among the edits.
    limit : float or None
        Share, 0 to 1, from which on there is a warning; None: never, as nothing is lost by it alone.
    what : str
        Follows "12 % of ", in the past tense.
    advice : str
        Why it matters, and what to do.
    settings : tuple of str
        Names of the converter's settings that decide it; the first that the path has is quoted.
    """

    count: str
    limit: float | None = None
    what: str = ""
    advice: str = ""
    settings: tuple[str, ...] = ()


RULES = {
    rule.count: rule
    for rule in (
        # a tenth: what is cut is the end alone, which for some classes is where they differ
        Rule("tokens_dropped", 0.1, "tokens were cut", "the source never sees the ends of long texts. Choose a source "
             "with a longer max_length, or split the texts.", ("max_length",)),
        # half: with fewer, the typical text is whole; how much of the others is lost, the count above says
        Rule("truncated", 0.5, "texts lost their end", "what tells the classes apart may stand there. Choose a source "
             "that takes in longer texts, or split the texts.", ("max_length",)),
        # a twentieth, about a word in a sentence: a tokenizer made for the language knows nearly all
        Rule("tokens_unknown", 0.05, "tokens are unknown to the tokenizer", "all unknown words look alike to the "
             "source. Choose a source whose tokenizer knows this language or works on bytes, or draw the texts for "
             "a source that looks.", ("tokenizer",)),
        # a tenth: as for tokens
        Rule("characters_dropped", 0.1, "characters did not fit their picture", "the source never sees the ends of "
             "long texts. Choose a source with a bigger picture (size=), or one that reads text.", ("letter_pixels",)),
        # a fiftieth: the same box for different letters; a tenth is refused when the converter is built
        Rule("characters_without_glyph", 0.02, "characters were drawn as empty boxes", "letters that differ look "
             "alike. Install a font of their script, such as one of Noto's, or choose a source that reads text."),
        # a tenth: as for tokens
        Rule("seconds_dropped", 0.1, "the sounds' time was cut", "the source never hears the ends. Choose a source "
             "that takes in longer sounds, or split them.", ("max_seconds", "seconds")),
        # half, an octave: speech at 44.1 kHz keeps its sense at 16 kHz, cymbals and birds do not
        Rule("band_hz_lost", 0.5, "the sounds' frequency band was lost", "hisses and overtones above half the new "
             "rate are gone. Choose a source with a higher sample rate.", ("sample_rate",)),
        Rule("band_lost"),  # never: how many sounds; how much of them, the line above says
        Rule("resampled"),  # never: what that loses is the band
        # half: sources mask or ignore silence at different cost, and then most of what they get is silence
        Rule("padded", 0.5, "sounds were filled up with silence", "the source is made for longer sounds. Choose one "
             "that takes in shorter ones, or join the sounds.", ("min_seconds",)),
        Rule("mixed_to_mono"),  # never: sources of sound hear one channel, and classes rarely differ in direction
        Rule("resized"),  # never: sources are trained on resized pictures
        Rule("upscaled"),  # never: an enlarged picture keeps all it has
        # half: of a 4:3 photograph the usual evaluation crops 0.43; more comes of long or wide pictures
        Rule("pixels_cropped", 0.5, "pixels fell outside the crop", "what lies at the border is not seen. Choose a "
             "source with less cropping, or make the pictures square first.", ("crop",)),
        # nine tenths: any coarse grid drops most of a photograph, and shapes survive; then they do not either
        Rule("pixels_dropped", 0.9, "pixels are finer than what the source gets", "details are averaged away. Choose "
             "a source that takes in pictures, or one with a bigger input.", ("grid", "window")),
        # half: where most pictures have colour, it may be what tells the classes apart
        Rule("channels_dropped", 0.5, "pictures lost their colour", "it may tell classes apart. Choose a source "
             "that takes in colour."),
        Rule("channels_repeated"),  # never: gray three times is still all of the gray
    )
}  # fmt: skip


def declare(rule: Rule) -> None:
    """Enter a count of a converter's own; its module calls this once.

    Raises
    ------
    TransferScopeError
        If that count already has another meaning.
    """
    if RULES.setdefault(rule.count, rule) != rule:
        raise TransferScopeError(f"the count {rule.count!r} is already declared otherwise; choose another name.")


def ledger(edits: Mapping[str, float], path: Sequence[Step] = ()) -> tuple[Loss, ...]:
    """What a path lost, as shares.

    Parameters
    ----------
    edits : mapping of str to float
        Counts, as converters make them.
    path : sequence of Step
        Where it is given, warnings quote the setting that decided, such as ``max_length 64``.

    Returns
    -------
    tuple of Loss
        In the order of `edits`, named after them ("tokens dropped"); shares in (0, 1]. Nothing lost gives no record,
        nor does a count that is not known to be a loss. The warning is set from the rule's limit on, inclusive.
    """
    found = []
    for count, value in edits.items():
        of = total_of(count, edits)
        rule = RULES.get(count) or _general(count, of)
        total = edits.get(of, 0)
        # two converters of a path may change the same sample
        share = min(1.0, value / total) if total > 0 else 0.0
        if rule is None or share <= 0:
            continue
        warned = rule.limit is not None and share >= rule.limit
        found.append(Loss(count.replace("_", " "), share, _warning(rule, share, path) if warned else None))
    return tuple(found)


def total_of(count: str, edits: Mapping[str, float]) -> str:
    """The name of the count that `count` is a share of: the longest that it begins with, or else the samples."""
    return max((name for name in edits if count.startswith(f"{name}_")), key=len, default="samples")


def _general(count: str, of: str) -> Rule | None:
    """A rule by the name alone; a share of samples must be declared, since any number may be counted beside them."""
    if of == "samples" or not count.endswith(LOSSES):
        return None
    words = of.replace("_", " ")
    lost = count.removeprefix(f"{of}_").replace("_", " ")
    return Rule(
        count, GENERAL_LIMIT, f"{words}: {lost}", "the source never sees that part. Choose a source that does."
    )


def _warning(rule: Rule, share: float, path: Sequence[Step]) -> str:
    quoted = [f" ({name} {step.settings[name]})" for name in rule.settings for step in path if name in step.settings]
    return f"{100 * share:.3g} % of {rule.what}{quoted[0] if quoted else ''}: {rule.advice}"
