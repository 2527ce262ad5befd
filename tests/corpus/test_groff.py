"""Manual pages in the man macros."""

import pytest

from scripts.corpus.groff import read_page, unescape

PAGE = r"""'\" t
.\" a comment
.TH CAT 1 "2022" "GNU" "User Commands"
.SH NAME
cat \- concatenate files
.SH "SEE ALSO"
Show
.B bold
text with
.BR cat (1)
and \fIitalic\fP \*(lqquoted\*(rq,
caf\['e] \(aqx\(aq.
.PP
Second\&.
.TP
\fB\-a\fR, \fB\-\-all\fR
everything at
once
.IP \(bu 2
an item
.nf
code is skipped
.fi
.TS
l l.
a	b
.TE
.if n .sp
.SS
A heading
After a visit to the
.UR https://example.org
site
.UE .
"""


def test_page() -> None:
    assert [(block.kind, block.text) for block in read_page(PAGE)] == [
        ("SH", "NAME"),
        ("p", "cat - concatenate files"),
        ("SH", "SEE ALSO"),
        ("p", "Show bold text with cat(1) and italic \"quoted\", café 'x'."),
        ("p", "Second."),
        ("TP", "-a, --all"),
        ("p", "everything at once"),
        ("p", "an item"),
        ("SS", "A heading"),
        ("p", "After a visit to the site."),
    ]


@pytest.mark.parametrize(
    "page", [".so man3/x.3\n", ".Dd June 1\n.Dt LS 1\n.Sh NAME\n.Nm ls\n", "plain text\n"]
)
def test_other_macros_and_inclusions_give_no_blocks(page: str) -> None:
    assert read_page(page) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\-\-x \e \(co \[u00E4] \s-1SMALL\s0", "--x \\ © ä SMALL"),
        (r"a\ b\~c\&d\:e\%f", "a b cdef"),
        (r"\f[B]x\f[]\fBy\fP\f(CWz\fR", "xyz"),
        (r"text \" comment", "text "),
        (r"\h'2n'wide\n(xx", "wide"),
    ],
)
def test_escapes(text: str, expected: str) -> None:
    assert unescape(text) == expected
