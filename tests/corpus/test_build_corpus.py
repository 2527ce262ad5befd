"""The whole builder: on the user's own files, and through the real apt on a small repository of packages."""

import hashlib
import json
import random
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
from own_process import python

from ednd_nmt.text_input import read_lines
from scripts.build_corpus import file_names
from scripts.corpus.apt import Package, alone
from scripts.corpus.errors import FetchError

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "build_corpus.py"
NOUNS = {
    "file": "die Datei", "window": "das Fenster", "table": "die Tabelle", "cell": "die Zelle", "page": "die Seite",
    "color": "die Farbe", "image": "das Bild", "list": "die Liste", "button": "die Taste", "name": "den Namen",
}  # fmt: skip
VERBS = {
    "opens": "öffnet",
    "closes": "schließt",
    "shows": "zeigt",
    "moves": "verschiebt",
    "saves": "speichert",
}


def sentence_pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """Pairs that differ in their nouns, verbs and a number."""
    generator = random.Random(seed)
    pairs = []
    for number in range(count):
        (noun, substantive), (verb, german) = (
            generator.choice([*NOUNS.items()]),
            generator.choice([*VERBS.items()]),
        )
        other, anderes = generator.choice([*NOUNS.items()])
        code = f"{seed}{number}"
        pairs.append(
            (
                f"The user {code} of some program quickly {verb} the {noun} and then every {other}.",
                f"Nutzer {code} eines Programms {german} schnell {substantive} und danach {anderes} auch.",
            )
        )
    return pairs


def run(
    *arguments: str | Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the script as a user does."""
    return python(SCRIPT, *arguments, environment=environment)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder by their relative names."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_corpus(folder: Path) -> dict[str, list[str]]:
    """The manifest tells the truth, sides are parallel and held-out text is not in the training text."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    files = {name: content for name, content in contents(folder).items() if name != "manifest.json"}
    assert manifest["files"] == {
        name: {"lines": content.count(b"\n"), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    }
    lines = {name: content.decode("utf-8").splitlines() for name, content in files.items()}
    for name, of_file in lines.items():
        if name.endswith(".de"):
            assert len(of_file) == len(lines[name.removesuffix(".de") + ".en"])
    for language in ("en", "de"):
        for held_out in ("valid", "test"):
            assert lines[f"{held_out}.{language}"]
            assert not set(lines[f"{held_out}.{language}"]) & set(lines[f"train.{language}"])
    assert not (folder / "train.en.partial").exists()
    return lines


def write_own_files(folder: Path) -> list[str | Path]:
    """Two pairs of files and the arguments that name them."""
    paths = {}
    for name, seed in (("a", 1), ("b", 2)):
        pairs = sentence_pairs(600, seed)
        for language, side in (("en", 0), ("de", 1)):
            paths[name, language] = folder / f"{name}.{language}"
            paths[name, language].write_text("".join(pair[side] + "\n" for pair in pairs), encoding="utf-8")
    return [
        "--source-files", paths["a", "en"], paths["b", "en"], "--target-files", paths["a", "de"], paths["b", "de"]
    ]  # fmt: skip


def test_own_files_give_the_same_corpus_twice(tmp_path: Path) -> None:
    arguments = write_own_files(tmp_path)
    for out in ("first", "second"):
        result = run(*arguments, "--out", tmp_path / out, "--test-size", "20", "--valid-size", "10")
        assert result.returncode == 0, result.stderr
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    lines = check_corpus(tmp_path / "first")
    assert (len(lines["test.en"]), len(lines["valid.en"])) == (20, 10)
    assert sorted(name for name in lines if name.startswith("shifted/")) == [
        "shifted/german.en", "shifted/permuted.de", "shifted/permuted.en", "shifted/spoken.de", "shifted/spoken.en"
    ]  # fmt: skip
    assert lines["shifted/german.en"] == lines["test.de"]
    assert lines.keys() == file_names([*map(str, arguments), "--out", "x"])


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (b"one\ntwo\n", b"eins\n", "has 2 lines"),
        (b"caf\xe9\n", b"x\n", "is not UTF-8"),
        (b"one\n\0\n", b"x\n", "Line 2 of"),
        (None, b"x\n", "Cannot read"),
        (b"one\n", b"one\n", "No training text is left"),
        (b"", b"", "(most lines dropped for: no reason); give more text"),
        (
            b"1\n2\n3 4\none\nwww.x\nsave\n",
            b"5\n6\n7 8\none\ny\n<b>\n",
            "(most lines dropped for: few letters 3, identical 1, address 1); give more text, or text without",
        ),
    ],
)
def test_own_files_that_cannot_be_used(
    tmp_path: Path, source: bytes | None, target: bytes, message: str
) -> None:
    for name, content in (("s", source), ("t", target)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    result = run(
        "--source-files", tmp_path / "s", "--target-files", tmp_path / "t", "--out", tmp_path / "out"
    )  # fmt: skip
    assert result.returncode == 2
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_own_text_has_its_lines_from_line_feed_to_line_feed(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfone\rstill one\r\ntwo\n\nfour")
    assert read_lines(path) == ["one\rstill one", "two", "", "four"]


def test_a_profile_beside_own_files_is_refused(tmp_path: Path) -> None:
    result = run(*write_own_files(tmp_path), "--profile", "full", "--out", tmp_path / "out")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith("leave out --profile.")
    assert not (tmp_path / "out").exists()


def test_without_apt_the_user_is_told_what_to_do(tmp_path: Path) -> None:
    result = run(
        "--out", tmp_path / "out", "--cache", tmp_path / "cache", environment={"PATH": str(tmp_path)}
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: The Debian corpus needs apt-get")
    assert "--source-files" in result.stderr


needs_apt = pytest.mark.skipif(
    not all(map(shutil.which, ("apt-get", "dpkg-deb"))), reason="needs a system with apt"
)


def make_package(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    """Build a real package of ``files`` into the pool of the repository in place of its other versions."""
    tree = folder / "tree" / f"{name}_{version}"
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@x>\nDescription: test\n"
    )
    for path, text in {"DEBIAN/control": control, **files}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text, encoding="utf-8")
    pool = folder / "pool"
    pool.mkdir(exist_ok=True)
    for other in pool.glob(f"{name}_*"):
        other.unlink()
    package = pool / f"{name}_{version}.deb"
    subprocess.run(["dpkg-deb", "--build", str(tree), str(package)], check=True, capture_output=True)


def publish(folder: Path) -> None:
    """Write the lists of the repository and its release file."""
    packages = ""
    for package in sorted((folder / "pool").iterdir()):
        packages += subprocess.check_output(["dpkg-deb", "--field", str(package)], text=True)
        packages += (
            f"Filename: pool/{package.name}\nSize: {package.stat().st_size}\nSHA256: {checksum(package)}\n\n"
        )
    description = "Package: x\nDescription-md5: 0123456789abcdef0123456789abcdef\nDescription-{}: {}\n"
    architecture = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
    release = ["Codename: teststable", "Date: Thu, 01 Jan 2026 00:00:00 UTC", "Components: main"]
    release += [f"Architectures: {architecture}", "SHA256:"]
    for name, text in (
        (f"main/binary-{architecture}/Packages", packages),
        ("main/i18n/Translation-en", description.format("en", "small tool that draws maps")),
        ("main/i18n/Translation-de", description.format("de", "kleines Programm, das Karten malt")),
    ):
        path = folder / "dists" / "teststable" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        release.append(f" {checksum(path)} {path.stat().st_size} {name}")
    (folder / "dists" / "teststable" / "Release").write_text("\n".join(release) + "\n")


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_dictionary(folder: Path, version: str, german: str) -> None:
    """The Ding dictionary with one sentence."""
    line = f"Haus {{n}} | {german} :: house | The old house stands on the hill.\n"
    make_package(folder, "trans-de-en", version, {"usr/share/trans/de-en": line})


@needs_apt
@pytest.mark.parametrize("size", [0, 100, -20])
def test_a_package_that_cannot_be_read_is_one_sentence(tmp_path: Path, size: int) -> None:
    make_dictionary(tmp_path, "1:1.0-1", "Das alte Haus steht am Berg." * 100)
    (path,) = (tmp_path / "pool").iterdir()
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(
        FetchError, match=rf"^dpkg-deb cannot read {path.name}; delete it .* too old for it\.$"
    ):
        list(Package("trans-de-en", "1:1.0-1", "", path).files(lambda _: True))


def test_a_cache_has_one_user_at_a_time(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    entered, said = threading.Event(), ""

    def other() -> None:
        with alone(tmp_path / "cache"):
            entered.set()

    with alone(tmp_path / "cache"):
        waiting = threading.Thread(target=other)
        waiting.start()
        while "waiting for another run" not in said:
            said += capfd.readouterr().err
            time.sleep(0.01)
        assert not entered.is_set()
    waiting.join()
    assert entered.is_set()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that has what the quick profile needs and is the only source of this machine's apt."""
    folder = tmp_path / "repository"
    folder.mkdir()
    pairs = sentence_pairs(5000, seed=3)
    for package, language, side in (("libreoffice-help-en-us", "en-US", 0), ("libreoffice-help-de", "de", 1)):
        pages = {}
        for page in range(500):
            texts = [pair[side] for pair in pairs[10 * page : 10 * page + 10]]
            body = "".join(f'<p id="par_{number}">{text}</p>' for number, text in enumerate(texts))
            pages[f"usr/share/libreoffice/help/{language}/text/{page}.html"] = (
                f"<html><body>{body}</body></html>"
            )
        make_package(folder, package, "2.0-1", pages)
    make_dictionary(folder, "1:1.0-1", "Das alte Haus steht am Berg.")
    publish(folder)
    etc = tmp_path / "etc"
    (etc / "parts").mkdir(parents=True)
    (etc / "sources.list").write_text(f"deb [trusted=yes] copy:{folder} teststable main\n")
    (etc / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{etc}/sources.list";\nDir::Etc::sourceparts "{etc}/parts";\n'
        f'Dir::Etc::parts "{etc}/parts";\nAcquire::Languages "none";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(etc / "apt.conf"))
    return folder


@pytest.mark.slow(seconds=12)
@needs_apt
def test_a_repository_gives_the_same_corpus_from_a_full_and_from_a_fresh_cache(
    repository: Path, tmp_path: Path
) -> None:
    logs = []
    for out, cache, jobs in (("first", "cache", "1"), ("second", "cache", "2"), ("third", "fresh", "1")):
        result = run("--out", tmp_path / out, "--cache", tmp_path / cache, "--jobs", jobs)
        assert result.returncode == 0, result.stderr
        logs.append(result.stderr)
    assert contents(tmp_path / "first") == contents(tmp_path / "second") == contents(tmp_path / "third")
    assert "3 packages to fetch" in logs[0]
    assert "to fetch" not in logs[1]
    lines = check_corpus(tmp_path / "first")
    assert (len(lines["test.en"]), len(lines["valid.en"])) == (1500, 1200)
    assert lines["shifted/descriptions.en"] == ["small tool that draws maps"]
    assert lines["shifted/ding.de"] == ["Das alte Haus steht am Berg."]
    assert lines.keys() == file_names(["--out", "x"])
    manifest = (tmp_path / "first" / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(manifest)["packages"]["trans-de-en"] == {
        "version": "1:1.0-1",
        "sha256": checksum(repository / "pool" / "trans-de-en_1:1.0-1.deb"),
    }
    assert str(tmp_path) not in manifest


@pytest.mark.slow(seconds=12)
@needs_apt
def test_a_cache_with_a_damaged_package_or_outdated_lists_is_mended(repository: Path, tmp_path: Path) -> None:
    arguments: list[str | Path] = ["--out", tmp_path / "out", "--cache", tmp_path / "cache"]
    assert run(*arguments).returncode == 0
    (cached,) = (tmp_path / "cache" / "packages").glob("trans-de-en_*")
    whole = cached.read_bytes()
    cached.unlink()
    cached.write_bytes(whole[:100])
    assert run(*arguments).returncode == 0
    assert cached.read_bytes() == whole

    cached.unlink()
    make_dictionary(repository, "1:1.1-1", "Das Haus ist alt und steht am Berg.")
    publish(repository)
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "shifted" / "ding.de").read_text() == "Das Haus ist alt und steht am Berg.\n"


@pytest.mark.slow
@needs_apt
def test_a_release_without_a_package_and_a_mirror_that_refuses(repository: Path, tmp_path: Path) -> None:
    next((repository / "pool").glob("trans-de-en_*")).unlink()
    publish(repository)
    result = run("--out", tmp_path / "out", "--cache", tmp_path / "cache")
    assert result.returncode == 0, result.stderr
    assert "teststable has no package trans-de-en" in result.stderr
    assert not (tmp_path / "out" / "shifted" / "ding.en").exists()

    shutil.rmtree(repository / "dists")
    result = run("--out", tmp_path / "other", "--cache", tmp_path / "empty")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: `apt-get update` failed")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "other").exists()
