"""Splitting by document, and what held-out text must not share with the training text."""

import random

import pytest

from scripts.corpus.split import Sizes, hold_out, is_long_enough, max_coverage, split_by_document
from scripts.corpus.units import Segment


def corpus(documents: int, per_document: int = 5, seed: int = 1) -> list[Segment]:
    """Segments of random words."""
    generator = random.Random(seed)

    def text() -> str:
        return " ".join(f"w{generator.randrange(500)}" for _ in range(generator.randrange(2, 9)))

    return [Segment(f"d{number}", text(), text()) for number in range(documents) for _ in range(per_document)]


def test_sizes_are_met_and_no_document_or_side_is_shared() -> None:
    segments = corpus(120)
    splits = split_by_document({"a": segments}, {"a": Sizes(valid=40, test=50)})
    assert (len(splits.valid), len(splits.test)) == (40, 50)
    parts = [splits.train, splits.valid, splits.test]
    documents = [{segment.document for segment in part} for part in parts]
    assert len(set.union(*documents)) == sum(map(len, documents))
    for side in ("source", "target"):
        texts = [{getattr(segment, side) for segment in part} for part in parts]
        assert len(set.union(*texts)) == sum(map(len, texts))


def test_the_split_depends_on_the_documents_not_on_their_order() -> None:
    segments = corpus(60)
    by_document = sorted(segments, key=lambda segment: segment.document, reverse=True)
    sizes = {"a": Sizes(valid=20, test=20)}
    assert split_by_document({"a": segments}, sizes) == split_by_document({"a": by_document}, sizes)


def test_a_source_without_sizes_and_a_document_beyond_all_sizes_are_training_text() -> None:
    large = [Segment("large", f"a b c d{number}", f"e f g h{number}") for number in range(200)]
    other = corpus(10, seed=2)
    splits = split_by_document({"a": corpus(60) + large, "b": other}, {"a": Sizes(valid=20, test=20)})
    assert set(large) | set(other) <= set(splits.train)


def test_too_little_text_gives_what_there_is() -> None:
    splits = split_by_document({"a": corpus(4)}, {"a": Sizes(valid=50, test=50)})
    assert 0 < len(splits.test) < 50


TRAIN = [Segment("t", "the old cat sat on the mat today", "die alte Katze saß heute auf der Matte")]


@pytest.mark.parametrize(
    ("source", "target", "kept"),
    [
        ("a new dog ran over the road", "ein neuer Hund lief über die Straße", True),
        ("three words only", "nur drei Wörter hier", False),
        ("a new dog ran", "Hund lief los", False),
        ("The old cat SAT on the mat today", "etwas ganz anderes steht hier", False),
        ("something else is written here", "Die alte Katze saß heute auf der Matte", False),
        ("the old cat sat on the mat", "die Katze saß früher auf Matten", False),  # all of its 4-grams
        ("yes the old cat sat there", "ja die alte Katze saß dort", True),  # one of its three 4-grams
    ],
)
def test_hold_out(source: str, target: str, kept: bool) -> None:
    segment = Segment("h", source, target)
    assert hold_out({"a": [segment]}, TRAIN, {"a": 10}) == ([segment] if kept else [])


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("新的狗跑过了马路。", True),
        ("新的狗跑。", False),
        ("สุนัขตัวใหม่วิ่งข้ามถนน", True),
        ("สุนัขวิ่ง", False),
        ("नया कुत्ता सड़क पर दौड़ा", True),
        ("कुत्ता सड़क पर", False),  # the vowel signs end no word
    ],
)
def test_words_are_told_apart_in_scripts_without_blanks(target: str, kept: bool) -> None:
    segment = Segment("h", "a new dog ran over the road", target)
    assert is_long_enough(segment) is kept


def test_coverage_does_not_depend_on_where_words_end() -> None:
    (share,) = max_coverage(["我们昨天在公园里看见了一只小狗。"], ["不，我们昨天在公园里看见了一只小狗。"])
    assert share == 1.0


def test_hold_out_keeps_a_repeated_side_once_and_stops_at_the_size() -> None:
    candidates = [
        Segment("h", f"this is sentence number {n}", f"das ist Satz Nummer {n}") for n in (1, 2, 2, 3, 4)
    ]
    assert hold_out({"a": candidates}, [], {"a": 3}) == [candidates[0], candidates[1], candidates[3]]


def test_coverage_is_the_best_single_training_text() -> None:
    held_out = ["a b c d e f", "x y z"]
    assert max_coverage(held_out, ["a b c d", "c d e f q b c d e", "A B C D E"]) == [
        pytest.approx(2 / 3),
        0.0,
    ]
