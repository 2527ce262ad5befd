"""Manual pages in the ``man`` macros (groff_man(7)) as lists of text blocks."""

from __future__ import annotations

import re

from .markup import TextBlock

_PARAGRAPHS = frozenset(("PP", "P", "LP", "HP", "sp", "br", "RS", "RE", "in", "ad", "nh", "hy"))
_FONTS_JOINED = frozenset(("BR", "RB", "IR", "RI", "BI", "IB"))  # arguments alternate in font, without spaces
_FONTS_SPACED = frozenset(("B", "I", "R", "SM", "SB", "CW"))
_SKIPPED_ENDS = {
    "nf": ("fi",),
    "EX": ("EE",),
    "TS": ("TE",),
    "EQ": ("EN",),
    "de": (".",),
    "ig": (".",),
    "SY": ("YS",),
}
_CHARACTERS = {
    "aq": "'", "cq": "'", "oq": "'", "bq": "'", "fo": "'", "fc": "'", "ga": "`",
    "lq": '"', "rq": '"', "dq": '"', "Bq": '"', "Fo": '"', "Fc": '"',
    "em": "-", "en": "-", "hy": "-", "mi": "-", "pl": "+", "mu": "×", "+-": "±", "de": "°", "12": "½",
    "ti": "~", "ha": "^", "rs": "\\", "sl": "/", "ba": "|", "at": "@", "sh": "#", "Do": "$",
    "lB": "[", "rB": "]", "lC": "{", "rC": "}", "la": "<", "ra": ">", "->": "->", "<-": "<-",
    ">=": ">=", "<=": "<=", "!=": "!=", "co": "©", "rg": "®", "tm": "™", "sc": "§",
    ":a": "ä", ":o": "ö", ":u": "ü", ":A": "Ä", ":O": "Ö", ":U": "Ü", "ss": "ß", "'e": "é",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:"
    r"[fmFMRYk](?:\[[^\]]*\]|\(..|.)"  # fonts and colours
    r"|s(?:[-+]?\d|\[[^\]]*\]|\([-+]?..|'[^']*')"  # sizes
    r"|[vhwlLoxDZNSHA]'[^']*'"  # motions, widths, lines
    r"|n(?:\[[^\]]*\]|\(..|.)"  # registers
    r"|\*(?:\[(?P<string1>[^\]]*)\]|\((?P<string2>..)|(?P<string3>.))"
    r"|\[(?P<name1>[^\]]*)\]|\((?P<name2>..)|C'(?P<name3>[^']*)'"
    r'|(?P<comment>["#].*)'
    r"|(?P<single>.)"
    r")"
)
_SINGLE = {
    "-": "-",
    "e": "\\",
    "\\": "\\",
    " ": " ",
    "~": " ",
    "0": " ",
    "'": "'",
    "`": "`",
    ".": ".",
    "_": "_",
    "t": " ",
}
_ARGUMENT = re.compile(r'"((?:[^"]|"")*)"?|((?:\\ |\S)+)')


def unescape(text: str) -> str:
    """``text`` without groff's escapes: characters by their names, fonts and motions dropped."""
    return _ESCAPE.sub(_replace, text)


def _replace(match: re.Match[str]) -> str:
    name = match["name1"] or match["name2"] or match["name3"] or match["string1"] or match["string2"]
    if name:
        code = re.fullmatch(r"u([0-9A-F]{4,6})", name)
        return chr(int(code[1], 16)) if code else _CHARACTERS.get(name, "'" if name == "Aq" else "")
    return _SINGLE.get(match["single"] or "", "")


def arguments(text: str) -> list[str]:
    """The arguments of a macro call: separated by spaces, or in double quotes."""
    return [(quoted or plain).replace('""', '"') for quoted, plain in _ARGUMENT.findall(text)]


def read_page(page: str) -> list[TextBlock]:
    """The blocks of a page: headings (``SH``, ``SS``), tags of lists (``TP``) and paragraphs (``p``).

    A page in other macros, or one that only includes another, gives no blocks. Left out are displays, tables and
    everything in a macro that does not show its arguments as text.
    """
    if re.search(r"^\.(Dd|Sh|so) ", page, re.MULTILINE) or not re.search(r"^\.SH\b", page, re.MULTILINE):
        return []
    reader = _PageReader()
    for line in re.sub(r"\\\n", "", page).split("\n"):
        reader.line(line)
    reader.finish("p")
    return [block for block in reader.blocks if block.text]


class _PageReader:
    def __init__(self) -> None:
        self.blocks: list[TextBlock] = []
        self._text: list[str] = []
        self._skip_until: tuple[str, ...] = ()
        self._tag_next = False  # the next line of text is the tag of a list item
        self._heading_next = ""  # the next line of text is a heading: a macro without arguments

    def finish(self, kind: str) -> None:
        text = " ".join("".join(self._text).split())
        self._text = []
        self.blocks.append(TextBlock(kind, text))

    def line(self, line: str) -> None:
        control = re.match(r"^[.']\s*(\S*)\s*(.*)$", line)
        if self._skip_until:
            if control and control[1] in self._skip_until:
                self._skip_until = ()
            return
        if control is None:
            self._add(unescape(line))
            return
        macro, rest = control.groups()
        rest = re.sub(r'(^|\s)\\".*$', "", rest)
        if macro in {"SH", "SS"}:
            self.finish("p")
            self._heading_next = macro
            if rest:
                self._add(" ".join(map(unescape, arguments(rest))))
        elif macro in {"TP", "TQ"}:
            self.finish("p")
            self._tag_next = True
        elif macro == "IP":
            self.finish("p")
            tag = unescape("".join(arguments(rest)[:1]))
            if tag:  # empty where the item has only a bullet
                self._tag_next = True
                self._add(tag)
        elif macro in _PARAGRAPHS:
            if not self._tag_next:
                self.finish("p")
        elif macro in _SKIPPED_ENDS:
            self.finish("p")
            self._skip_until = _SKIPPED_ENDS[macro]
        elif macro in _FONTS_JOINED:
            self._add("".join(map(unescape, arguments(rest))))
        elif macro in _FONTS_SPACED:
            self._add(" ".join(map(unescape, arguments(rest))))
        elif macro in {"UE", "ME"}:
            self._text.append(unescape("".join(arguments(rest)[:1])))

    def _add(self, text: str) -> None:
        if not text.strip():
            if not self._tag_next and not self._heading_next:
                self.finish("p")
            return
        self._text += [" ", text]
        if self._heading_next:
            self.finish(self._heading_next)
            self._heading_next = ""
        elif self._tag_next:
            self.finish("TP")
            self._tag_next = False
