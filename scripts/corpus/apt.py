"""Package lists and packages through the machine's own apt client, in a private tree that needs no root."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
import shutil
import subprocess
import tarfile
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ednd_nmt.errors import UserError
from ednd_nmt.files import checksum

from .aptsources import AptSource, main_source, read_sources
from .errors import FetchError
from .progress import say

DEFAULT_CODENAME = "bookworm"
_UNAVAILABLE = re.compile(
    r"404|No such file|does not have a Release file|is not signed|NO_PUBKEY|no longer has"
)
_PRINTED_URI = re.compile(r"^'[^']*' (\S+) (\d+) SHA256:([0-9a-f]{64})$", re.MULTILINE)
# Settings of the machine that must not reach the private tree: they would suppress the lists we ask for.
_OWN_SETTINGS = re.compile(r"^Acquire(::(Languages|IndexTargets|Changelogs)\b.*)? ", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Package:
    """A package file that was fetched and whose checksum is the one its signed list states."""

    name: str
    version: str
    sha256: str
    path: Path

    def files(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """``(path, content)`` of the regular files whose path (without ``./``) is wanted, as archived.

        Raises:
            FetchError: dpkg-deb cannot read the package.
        """
        unreadable = FetchError(
            f"dpkg-deb cannot read {self.path.name}; delete it from the cache and run again, or get a newer dpkg "
            "if this machine's is too old for it."
        )
        reader = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(self.path)], stdout=subprocess.PIPE)
        try:
            with reader, tarfile.open(mode="r|", fileobj=reader.stdout) as archive:
                for member in archive:
                    path = member.name.removeprefix("./")
                    if member.isfile() and wanted(path):
                        content = archive.extractfile(member)
                        if content is not None:
                            yield path, content.read()
        except tarfile.TarError as error:  # dpkg-deb gave nothing, or only the beginning
            raise unreadable from error
        if reader.returncode:
            raise unreadable


@dataclasses.dataclass(frozen=True)
class PackageList:
    """A translation list of one suite and component, in apt's own compression."""

    suite: str
    component: str
    language: str
    path: Path

    def read(self) -> str:
        """The text of the list."""
        command = ["/usr/lib/apt/apt-helper", "cat-file", str(self.path)]
        result = subprocess.run(command, capture_output=True)
        if result.returncode:
            raise FetchError(f"apt cannot read {self.path.name}; delete the cache folder and run again.")
        return result.stdout.decode("utf-8")


@contextlib.contextmanager
def alone(cache: Path) -> Iterator[None]:
    """Wait until no other process works in the cache, and keep others waiting."""
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that works in {cache} ...")
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system that knows no locks
        yield


class PrivateApt:
    """The machine's apt client with its own lists and archives under ``root``.

    The mirror, the release, the signing key and the proxy are the machine's own; its package lists, if it has
    any, are copied, so that apt fetches only what changed (it checks them against the signed release file).
    Only one process at a time may use it, see :func:`alone`.

    Args:
        root: folder for lists and settings; lists that are there are not fetched again.
        archives: folder for packages, which several trees may share; nor are they fetched again.
        languages: the languages of the translation lists to fetch; none for packages only.
        extra_suites: further suites of the same mirror, of which only the translation lists are fetched.
    """

    def __init__(
        self, root: Path, archives: Path, languages: Iterable[str] = (), extra_suites: Iterable[str] = ()
    ) -> None:
        for tool in ("apt-get", "apt-cache", "apt-config", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise UserError(
                    f"The Debian corpus needs {tool}, which this machine does not have; "
                    "give your own parallel text with --source-files and --target-files."
                )
        self.root = root.resolve()
        self.archives = archives.resolve()
        self.languages = tuple(languages)
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True)
        if dump.returncode:
            raise FetchError(f"This machine's apt does not work: {dump.stderr.strip().splitlines()[-1]}")
        settings = dump.stdout
        self.source = _machine_source(settings)
        self.extra_suites = tuple(suite for suite in extra_suites if suite != self.source.suite)
        self._write_configuration(settings)
        self._copy_machine_lists(settings)

    def _write_configuration(self, settings: str) -> None:
        self.archives.mkdir(parents=True, exist_ok=True)
        for folder in ("lists/partial", "cache/archives/partial", "empty"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        kept = [s for s in settings.splitlines() if s.startswith("Acquire::") and not _OWN_SETTINGS.match(s)]
        own = {
            "Dir::Etc::parts": self.root / "empty",
            "Dir::Etc::main": self.root / "empty" / "none",
            "Dir::Etc::sourcelist": self.root / "sources.list",
            "Dir::Etc::sourceparts": self.root / "empty",
            "Dir::Etc::preferencesparts": self.root / "empty",
            "Dir::State::lists": self.root / "lists",
            "Dir::Cache": self.root / "cache",
            "APT::Update::Error-Mode": "any",
            "Acquire::Retries": 3,
        }
        if os.geteuid() == 0:
            own["APT::Sandbox::User"] = "root"  # the unprivileged user cannot reach a cache in root's home
        configuration = [*kept, *(f'{name} "{value}";' for name, value in own.items())]
        (self.root / "apt.conf").touch(mode=0o600)  # a proxy's address may hold a password
        (self.root / "apt.conf").write_text("\n".join(configuration) + "\n", encoding="utf-8")

    def _list_line(self, suite: str, targets: tuple[str, ...]) -> str:
        options = [f"target={','.join(t for t in targets if t != 'Translations' or self.languages)}"]
        if self.languages:
            options.append(f"lang={','.join(self.languages)}")
        return self.source.line(options=options, suite=suite)

    def _copy_machine_lists(self, settings: str) -> None:
        machine_lists = _directory(settings, "State", "lists")
        if not machine_lists.is_dir() or (self.root / "lists.done").exists():
            return
        prefix = re.sub(r"^[a-z+]+://", "", self.source.uri.rstrip("/")).replace("/", "_")
        for file in machine_lists.glob(f"{prefix}_dists_{self.source.suite}_*"):
            if re.search(r"_(InRelease|Packages(\.\w+)?)$", file.name) and os.access(file, os.R_OK):
                shutil.copy2(file, self.root / "lists" / file.name)

    def update(self) -> None:
        """Fetch the lists, once for a cache: a later run sees the same lists, hence the same packages.

        A further suite that the mirror does not have, or that this machine has no key for, is left out.

        Raises:
            FetchError: the mirror does not give the lists of the machine's own release.
        """
        done = self.root / "lists.done"
        wanted = " ".join([self.source.line(), *self.languages, *self.extra_suites])
        if done.exists() and done.read_text(encoding="utf-8") == wanted + "\n":
            say("package lists: as cached")
            return
        lines = [self._list_line(self.source.suite, ("Packages", "Translations"))]
        self._update(self.source.suite, lines)
        for suite in self.extra_suites if self.languages else ():
            try:
                self._update(suite, [*lines, self._list_line(suite, ("Translations",))])
            except FetchError as error:
                if not _UNAVAILABLE.search(str(error)):
                    raise
                say(f"{suite} is left out: {error}")
                (self.root / "sources.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
            else:
                lines.append(self._list_line(suite, ("Translations",)))
        done.write_text(wanted + "\n", encoding="utf-8")

    def _update(self, suite: str, lines: list[str]) -> None:
        say(f"package lists of {suite} from {_without_password(self.source.uri)} ...")
        (self.root / "sources.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
        fetched = re.search(r"^Fetched (.*) in ", self._run("apt-get", "update"), re.MULTILINE)
        say(f"package lists of {suite}: fetched {fetched[1] if fetched else 'nothing new'}")

    def translation_lists(self) -> list[PackageList]:
        """The translation lists, the machine's own release first, then by suite, component and language."""
        output = self._run(
            "apt-get",
            "indextargets",
            "--format",
            "$(RELEASE) $(COMPONENT) $(LANGUAGE) $(FILENAME)",
            "Identifier: Translations",
        )
        fields = (line.split(" ", 3) for line in output.splitlines())
        lists = [
            PackageList(suite, component, language, Path(path)) for suite, component, language, path in fields
        ]
        return sorted(
            lists,
            key=lambda each: (each.suite != self.source.suite, each.suite, each.component, each.language),
        )

    def names(self) -> frozenset[str]:
        """The names of all packages of the release."""
        return frozenset(self._run("apt-cache", "pkgnames").split())

    def fetch(self, names: Iterable[str], *, refresh: bool = True) -> dict[str, Package]:
        """Fetch and verify packages; those in the cache with the right checksum are not fetched again.

        Where the mirror no longer has a package of the cached lists and ``refresh`` is set, the lists are fetched
        again, once.

        Raises:
            FetchError: a package cannot be fetched, or what came is not what the signed list states.
        """
        packages, missing, wanted = {}, [], list(names)
        for name in wanted:
            packages[name], size = self._describe(name)
            if not _is_whole(packages[name]):
                missing.append((name, size))
        if missing:
            say(f"{len(missing)} packages to fetch, {sum(size for _, size in missing) / 1e6:.1f} MB")
        for number, (name, size) in enumerate(missing, 1):
            say(f"package {number} of {len(missing)}: {name} ({size / 1e6:.1f} MB)")
            try:
                self._run("apt-get", "download", name, cwd=self.archives)
            except FetchError as error:
                if not (refresh and _UNAVAILABLE.search(str(error))):
                    raise
                say("the mirror has newer packages than the lists in the cache; fetching the lists again")
                (self.root / "lists.done").unlink()
                self.update()
                return self.fetch(wanted, refresh=False)
            if not _is_whole(packages[name]):
                raise FetchError(f"The package {name} did not arrive whole; run the same command again.")
        return packages

    def _describe(self, name: str) -> tuple[Package, int]:
        printed = _PRINTED_URI.search(self._run("apt-get", "download", "--print-uris", name))
        if printed is None:
            raise FetchError(f"apt-get does not know where {name} is; delete the cache folder and run again.")
        file, size, sha256 = printed.groups()
        version = urllib.parse.unquote(file.split("_")[1])
        return Package(name, version, sha256, self.archives / file), int(size)

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        environment = {**os.environ, "APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C.UTF-8"}
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            cwd=cwd,
        )
        if result.returncode:
            reasons = [line[3:] for line in result.stderr.splitlines() if line.startswith("E: ")]
            reason = reasons[0] if reasons else f"exit status {result.returncode}"
            raise FetchError(
                f"`{' '.join(command[:2])}` failed ({_without_password(self.source.uri)}): {reason}; "
                "what was fetched is kept, so run the same command again once the mirror answers."
            )
        return result.stdout


def _machine_source(settings: str) -> AptSource:
    sources = read_sources(
        _directory(settings, "Etc", "sourcelist"), _directory(settings, "Etc", "sourceparts")
    )
    release = Path("/etc/os-release")
    text = release.read_text(encoding="utf-8") if release.is_file() else ""
    codename = re.search(r'^VERSION_CODENAME="?([\w-]+)"?$', text, re.MULTILINE)
    source = main_source(sources, codename[1] if codename else DEFAULT_CODENAME)
    if source is None:
        raise UserError(
            "This machine's apt has no source with the component main; add one to /etc/apt/sources.list, or "
            "give your own parallel text with --source-files and --target-files."
        )
    return source


def _directory(settings: str, parent: str, name: str) -> Path:
    """A path of apt's configuration; ``Dir::Etc::sourcelist``, say, is relative to its parents."""
    values = dict(re.findall(r'^(Dir\S*) "(.*)";$', settings, re.MULTILINE))
    path = (
        Path(values.get("Dir", "/"))
        / values.get(f"Dir::{parent}", "")
        / values.get(f"Dir::{parent}::{name}", "")
    )
    return Path(values.get("RootDir", "/")) / path


def _is_whole(package: Package) -> bool:
    if not package.path.is_file():
        return False
    return checksum(package.path) == package.sha256


def _without_password(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//", uri)
