"""Uncertainty files made up for tests: three systems, an in-domain test and two shifted sets.

Every sentence has a hidden difficulty: words of the translation go wrong with it, and wrong words are
uncertain.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ednd_nmt.evaluation import sentence_measures
from ednd_nmt.records import Header, Hypothesis, Sentence, header_to_json, sentence_to_json

PAIRS = [
    *[("the", "die"), ("package", "Paket"), ("installs", "installiert"), ("a", "ein"), ("new", "neue")],
    *[("file", "Datei"), ("user", "Benutzer"), ("can", "kann"), ("not", "nicht"), ("system", "System")],
    *[
        ("configuration", "Konfiguration"),
        ("option", "Option"),
        ("is", "ist"),
        ("and", "und"),
        ("or", "oder"),
    ],
    *[("directory", "Verzeichnis"), ("remove", "entfernen"), ("this", "diese"), ("version", "Version")],
]
WRONG = ["Fenster", "gestern", "laufen", "blau", "Wetter", "niemals", "Schiff", "dreizehn", "Käse", "leise"]
SYSTEMS = {
    "single": ["TU", "sTU"],
    "ensemble": ["TU", "DU", "MI", "EPKL", "MKL", "sTU", "sDU", "sMKL"],
    "student": ["TU", "DU", "MI", "EPKL", "MKL", "sTU", "sMKL", "logvar"],
}
HOSTILE = 'Press "<b>&amp;</b>" </script><script>alert(1)</script> <!-- \u2028 مرحبا 🎉'


def write_runs(folder: Path, sentences: int = 60, shifted: int = 40, seed: int = 0) -> Path:
    """Write ``folder/<system>/<set>.jsonl``; the shifted set "german" has no references, "permuted" has."""
    for set_name, count, hardest, low in (
        ("test", sentences, 0.9, 0.0),
        ("german", shifted, 1.0, 0.6),
        ("permuted", shifted, 1.0, 0.3),
    ):
        generator = np.random.default_rng([seed, count, len(set_name)])
        inputs = [_source_and_reference(generator, i) for i in range(count)]
        difficulties = low + (hardest - low) * generator.beta(1.2, 2.0, size=count)
        for system, measures in SYSTEMS.items():
            lines = [header_to_json(_header(system))]
            for i, ((source, reference), difficulty) in enumerate(zip(inputs, difficulties, strict=True)):
                kept = None if set_name == "german" else reference
                hypotheses = _hypotheses(generator, reference, difficulty, measures)
                record = Sentence(i, source, hypotheses, sentence_measures(hypotheses), kept)
                lines.append(sentence_to_json(record))
            path = folder / system / f"{set_name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _header(system: str) -> Header:
    return Header(
        system=system,
        members=3 if system == "ensemble" else 1,
        nbest=3,
        beam=5,
        combination="pe" if system == "ensemble" else None,
        offset=1.0 if system == "student" else None,
        decoding="mode" if system == "student" else None,
        source_lang="en",
        target_lang="de",
        versions={"ednd_nmt": "0.1.0"},
    )


def _source_and_reference(generator: np.random.Generator, index: int) -> tuple[str, str]:
    if index == 0:
        return HOSTILE, HOSTILE
    words = [PAIRS[i] for i in generator.integers(0, len(PAIRS), size=generator.integers(3, 16))]
    source, reference = (" ".join(word[side] for word in words) for side in (0, 1))
    return source.capitalize() + ".", reference.capitalize() + "."


def _hypotheses(
    generator: np.random.Generator, reference: str, difficulty: float, measures: list[str]
) -> tuple[Hypothesis, ...]:
    drafts = [_hypothesis(generator, reference, difficulty, measures) for _ in range(3)]
    return tuple(sorted(drafts, key=lambda hypothesis: -hypothesis.score))


def _hypothesis(
    generator: np.random.Generator, reference: str, difficulty: float, measures: list[str]
) -> Hypothesis:
    words, doubt = [], []
    for word in reference.split():
        wrong = generator.random() < difficulty
        words.append(str(generator.choice(WRONG)) if wrong else word)
        doubt.append(difficulty * generator.gamma(2.0) * (2.0 if wrong else 0.5) + 0.01)
    tokens, values = [], []
    for word, value in zip(words, doubt, strict=True):
        pieces = ["▁" + word[:4], word[4:]] if len(word) > 5 else ["▁" + word]
        tokens += pieces
        values += [value] + [value / 4] * (len(pieces) - 1)
    tokens.append("</s>")
    total = np.array([*values, 0.02])
    data = total * generator.beta(6.0, 3.0, size=total.size)
    columns = {
        "TU": total,
        "DU": data,
        "MI": total - data,
        "EPKL": 2.5 * (total - data),
        "MKL": 1.5 * (total - data),
        "log_probability": -total * generator.gamma(4.0, 0.25, size=total.size),
    }
    per_token = {name: columns[name] for name in columns if name in measures or name == "log_probability"}
    if "logvar" in measures:
        per_token["precision"] = 50.0 / (columns["EPKL"] + 1e-3)
    score = -float(columns["log_probability"].mean())
    of_hypothesis = {name: float(values.mean()) for name, values in columns.items()}
    of_hypothesis |= {"sTU": score, "sMKL": of_hypothesis["MKL"] * 1.1, "sDU": score + of_hypothesis["MKL"]}
    of_hypothesis["logvar"] = of_hypothesis["MKL"] / total.size
    return Hypothesis(
        text=" ".join(words),
        tokens=tuple(tokens),
        score=-score,
        log_probability=-score * total.size,
        measures={name: of_hypothesis[name] for name in measures},
        token_measures={name: tuple(map(float, values)) for name, values in per_token.items()},
    )
