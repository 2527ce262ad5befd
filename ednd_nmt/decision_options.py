"""The options that act on uncertainty, shared by ``ednd-nmt translate``, ``score`` and ``rerank``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ednd_nmt.decisions import Abstention, Decision, Reranking, budget_threshold, read_decision
from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.calibration import Calibration, read_calibration
from ednd_nmt.evaluation.disagreement import NAME as DISAGREEMENT
from ednd_nmt.evaluation.disagreement import with_disagreement
from ednd_nmt.records import Header, Sentence, measure_value

logger = logging.getLogger(__name__)


def add_calibrator_argument(parser: argparse.ArgumentParser) -> None:
    """``--calibrator`` alone, for where one translation is given and nothing is left to decide."""
    parser.add_argument(
        "--calibrator",
        metavar="FILE",
        help="made by ednd-nmt calibrate: adds p_bad, the probability that the translation is bad",
    )


def add_decision_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything that can be done to a sentence once its measures are known."""
    add_calibrator_argument(parser)
    parser.add_argument(
        "--decision", metavar="FILE", help="made by ednd-nmt fit: reranks and abstains as fitted there"
    )
    parser.add_argument(
        "--penalty",
        type=float,
        metavar="LAMBDA",
        help="rerank the hypotheses by score - LAMBDA x --measure",
    )
    parser.add_argument(
        "--abstain-above",
        type=float,
        metavar="X",
        help="mark sentences whose --measure is above X as abstained",
    )
    parser.add_argument(
        "--abstain-share",
        type=float,
        metavar="S",
        help="mark this share of a whole file, its most uncertain sentences (ednd-nmt rerank only)",
    )


@dataclass(frozen=True)
class Acting:
    """What the options ask for."""

    decision: Decision
    calibration: Calibration | None
    disagreement: bool  # to be computed because it is shown

    @classmethod
    def of(cls, args: argparse.Namespace) -> Acting:
        """From the options added here, and ``--measure``.

        Raises:
            UserError: options that contradict each other, or a faulty file.
        """
        decision = _decision(args) if hasattr(args, "decision") else Decision()
        calibration = None if args.calibrator is None else read_calibration(args.calibrator)
        return cls(decision, calibration, args.measure == DISAGREEMENT)

    @property
    def idle(self) -> bool:
        """Whether nothing is to be done."""
        return self == Acting(Decision(), None, False)

    def header(self, header: Header) -> Header:
        """The header of the sentences that are acted on.

        A calibration of another system or search is used with a warning: its probabilities may be less true.

        Raises:
            UserError: the decision does not fit the records.
        """
        mismatch = None if self.calibration is None else self.calibration.mismatch(header)
        if mismatch is not None:
            logger.warning(
                "The calibrator was fitted on translations by %s: p_bad may be less true.", mismatch
            )
        return self.decision.header(header)

    def apply(self, sentence: Sentence, header: Header) -> Sentence:
        """One sentence, acted on; ``header`` is the one that it came with.

        Raises:
            UserError: a measure is missing.
        """
        if self.disagreement and DISAGREEMENT not in sentence.measures:
            sentence = with_disagreement(sentence, header)
        return self.decision.apply(sentence, header, self.calibration)

    def with_budget(
        self, sentences: Iterable[Sentence], header: Header, measure: str, share: float
    ) -> Acting:
        """The same, with abstention on the ``share`` of the sentences that is most uncertain.

        Raises:
            UserError: a share out of range, a measure is missing, or there are no sentences.
        """
        acted = (self.apply(sentence, header) for sentence in sentences)
        values = [measure_value(sentence.measures, measure) for sentence in acted]
        abstain = Abstention(measure, budget_threshold(values, share))
        return replace(self, decision=replace(self.decision, abstain=abstain))


def _decision(args: argparse.Namespace) -> Decision:
    own = [args.penalty, args.abstain_above, args.abstain_share]
    if args.decision is not None:
        if any(value is not None for value in own):
            raise UserError(
                "--decision already says what is done; leave out --penalty, --abstain-above and --abstain-share."
            )
        return read_decision(args.decision)
    if args.abstain_above is not None and args.abstain_share is not None:
        raise UserError("Give either --abstain-above or --abstain-share, not both.")
    return Decision(
        None if args.penalty is None else Reranking(args.measure, args.penalty),
        None if args.abstain_above is None else Abstention(args.measure, args.abstain_above),
    )
