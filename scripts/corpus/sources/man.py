"""Manual pages: the translations' own packages against the packages of the English pages, page by page."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping

from ..blockalign import align_blocks
from ..groff import read_page
from ..units import Block

# The translations of manpages-l10n, and the packages whose pages they translate.
TRANSLATIONS = ("manpages-de", "manpages-de-dev")
ORIGINALS = (
    "manpages", "manpages-dev", "bsdextrautils", "bsdutils", "bzip2", "coreutils", "cron", "diffutils",
    "dosfstools", "e2fsprogs", "fdisk", "gettext", "grep", "grub-common", "gzip", "hostname",
    "init-system-helpers", "kbd", "kmod", "less", "libsane-common", "mount", "mtools", "mutt", "nano",
    "nfs-common", "openssh-client", "openssh-server", "psutils", "recutils", "sysstat", "systemd",
    "systemd-boot", "systemd-container", "systemd-coredump", "systemd-homed", "systemd-journal-remote",
    "systemd-oomd", "systemd-resolved", "systemd-timesyncd", "sysvinit-core", "tar", "texinfo", "udev",
    "util-linux", "util-linux-extra", "uuid-dev", "uuid-runtime", "vorbis-tools", "zutils",
)  # fmt: skip
# Packages that ship both languages.
BILINGUAL = (
    "adduser", "apt", "apt-utils", "cups-client", "cups-daemon", "debconf-doc", "debhelper", "devscripts",
    "dpkg", "dpkg-dev", "login", "man-db", "net-tools", "passwd", "po4a", "procps", "xz-utils",
)  # fmt: skip
PACKAGES = (*TRANSLATIONS, *ORIGINALS, *BILINGUAL)
_PAGE = re.compile(r"^usr/share/man/(?:(de)/)?(man\d/[^/]+)\.gz$")
_FAMILY = re.compile(r"^man(\d)/([^._-]+)")


def is_wanted(path: str) -> bool:
    """Whether a file is an English or a German manual page."""
    return _PAGE.match(path) is not None


def document_of(page: str) -> str:
    """The family of a page (``man3/pthread_create.3`` is in ``man/3/pthread``); members share sentences."""
    match = _FAMILY.match(page)
    return f"man/{match[1]}/{match[2]}" if match else f"man/{page}"


def blocks(files: Mapping[str, bytes]) -> Iterator[Block]:
    """Blocks of every page that is there in both languages, in the order of the names of the pages."""
    pages: dict[str, dict[str, bytes]] = {"en": {}, "de": {}}
    for path, content in files.items():
        match = _PAGE.match(path)
        if match is not None:
            pages[match[1] or "en"][match[2]] = content
    for page in sorted(pages["en"].keys() & pages["de"].keys()):
        sources, targets = (read_page(decode(pages[language][page])) for language in ("en", "de"))
        for source, target in align_blocks(sources, targets):
            yield Block(document_of(page), source, target)


def decode(content: bytes) -> str:
    """A page as text: UTF-8, or ISO 8859-1 as the oldest pages are."""
    text = gzip.decompress(content)
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("iso-8859-1")
