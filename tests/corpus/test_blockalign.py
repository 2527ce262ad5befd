"""Alignment of the blocks of a page."""

from scripts.corpus.blockalign import align_blocks
from scripts.corpus.markup import TextBlock


def blocks(*texts: str) -> list[TextBlock]:
    """Blocks from ``kind:text``."""
    return [TextBlock(*text.split(":", 1)) for text in texts]


def test_the_same_kinds_are_paired_one_to_one_and_a_longer_target_may_go_on() -> None:
    sources = blocks("SH:NAME", "p:a b c", "p:d")
    targets = blocks("SH:NAME", "p:x", "p:a very long text of many words", "SH:ÜBERSETZUNG", "p:von jemand")
    assert align_blocks(sources, targets) == [
        ("NAME", "NAME"), ("a b c", "x"), ("d", "a very long text of many words")
    ]  # fmt: skip


def test_an_inserted_block_is_left_out() -> None:
    sources = blocks(
        "SH:OPTIONS",
        "p:The option --all shows all the entries of the list.",
        "p:This was added in the newest version 9.9 of the program, and nobody has translated it so far.",
        "p:The option --quiet shows no messages at all.",
        "SH:FILES",
    )
    targets = blocks(
        "SH:OPTIONEN",
        "p:Die Option --all zeigt alle Einträge der Liste.",
        "p:Die Option --quiet zeigt keinerlei Meldungen.",
        "SH:DATEIEN",
    )
    assert align_blocks(sources, targets) == [
        ("OPTIONS", "OPTIONEN"),
        (
            "The option --all shows all the entries of the list.",
            "Die Option --all zeigt alle Einträge der Liste.",
        ),
        ("The option --quiet shows no messages at all.", "Die Option --quiet zeigt keinerlei Meldungen."),
        ("FILES", "DATEIEN"),
    ]


def test_kinds_are_never_mixed_and_empty_pages_give_nothing() -> None:
    assert align_blocks(blocks("SH:NAME", "p:text"), blocks("p:Text", "p:Text")) == [("text", "Text")]
    assert align_blocks([], blocks("p:x")) == []
    assert align_blocks(blocks("p:x"), []) == []
