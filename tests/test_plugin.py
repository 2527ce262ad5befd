"""Registration with fairseq: whichever is imported first, by whatever path, once; and nothing where fairseq is missing."""

import json
import pkgutil
import shutil
from pathlib import Path
from typing import Any

import pytest
from own_process import python

import ednd_nmt

PACKAGE = Path(ednd_nmt.__file__).parent

EXPECTED = {
    "tasks": "distillation",
    "criterions": "rkl_dirichlet_proxy_distillation",
    "models": "dirichlet_transformer",
    "architectures": "dirichlet_transformer_tiny",
}
LOAD = "from argparse import Namespace; from fairseq.utils import import_user_module as load; load(Namespace(user_dir={}))"
USER_DIR = LOAD.format(repr(str(PACKAGE)))

FAIRSEQ_FIRST = {
    "the package second": "import fairseq, ednd_nmt",
    "as user dir": USER_DIR,
    "as user dir, then by name": f"{USER_DIR}; import ednd_nmt.tasks",
}
PACKAGE_FIRST = {
    "the package first": "import ednd_nmt, fairseq",
    "through one of its own modules": "import ednd_nmt.tasks",
    "through a module of fairseq's": "import ednd_nmt; from fairseq.data import Dictionary",
    "through a command": "import ednd_nmt, fairseq_cli.train",
    "installed twice": "import ednd_nmt.plugin as p; p.install(); import fairseq; p.install()",
    "by name, then as user dir": f"import ednd_nmt; {USER_DIR}",
}
MODULES = [
    module.name
    for module in pkgutil.walk_packages([str(PACKAGE)], "ednd_nmt.")
    if "__main__" not in module.name
]

# One process that has loaded only the heavy libraries, and a fork of it for each piece of code.
FORKS = """
import contextlib, io, json, logging, os, sys, traceback
import hydra, numpy, omegaconf, sacrebleu, scipy.stats, sklearn.metrics, torch, torch.distributed

def report():
    from fairseq.criterions import CRITERION_REGISTRY
    from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
    from fairseq.tasks import TASK_REGISTRY
    registries = dict(
        tasks=TASK_REGISTRY, criterions=CRITERION_REGISTRY, models=MODEL_REGISTRY, architectures=ARCH_MODEL_REGISTRY
    )
    return {
        kind: sorted(name for name, entry in registry.items() if entry.__module__.startswith("ednd_nmt."))
        for kind, registry in registries.items()
    }

logging.disable(logging.INFO)
results = {}
for name, code in json.load(sys.stdin).items():
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            exec(code, {})
            result = report() if "fairseq" in sys.modules else None
        except BaseException:
            result = traceback.format_exc()
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as answer:
        results[name] = json.load(answer)
    os.wait()
print(json.dumps(results))
"""


def run_each(codes: dict[str, str], **environment: str) -> dict[str, Any]:
    """What each piece of code, run in a process of its own, leaves registered; a traceback if it failed."""
    result = python("-c", FORKS, text=json.dumps(codes), environment=environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def registered() -> dict[str, Any]:
    return run_each({**FAIRSEQ_FIRST, **PACKAGE_FIRST})


@pytest.mark.slow(seconds=14)
def test_everything_is_registered(registered: dict[str, Any]) -> None:
    names = registered["the package first"]
    for kind, name in EXPECTED.items():
        assert name in names[kind], names


@pytest.mark.parametrize("order", PACKAGE_FIRST)
def test_the_package_first(order: str, registered: dict[str, Any]) -> None:
    assert registered[order] == registered["the package first"]


@pytest.mark.parametrize("order", FAIRSEQ_FIRST)
def test_fairseq_first(order: str, registered: dict[str, Any]) -> None:
    skip_if_fairseq_needs_us_first(registered[order])
    assert registered[order] == registered["the package first"]


def skip_if_fairseq_needs_us_first(result: Any) -> None:
    if "mutable default" in str(result):
        pytest.skip(
            "this fairseq needs its repairs before it is imported: only this package's own commands have them"
        )


@pytest.mark.slow
def test_a_checkout_elsewhere_as_user_dir(tmp_path: Path, registered: dict[str, Any]) -> None:
    checkout = tmp_path / "ednd_nmt"
    shutil.copytree(PACKAGE, checkout)
    code = f"""
{LOAD.format(repr(str(checkout)))}
import ednd_nmt.tasks
assert ednd_nmt.tasks.__file__.startswith({str(checkout)!r})
"""
    result = run_each({"checkout": code}, PYTHONPATH="")["checkout"]
    skip_if_fairseq_needs_us_first(result)
    assert result == registered["the package first"]


@pytest.mark.slow(seconds=28)
def test_every_module_can_be_the_first_to_be_imported() -> None:
    results = run_each({name: f"import {name}" for name in MODULES})
    assert len(results) > 20
    assert {name: result for name, result in results.items() if isinstance(result, str)} == {}


def test_importing_is_light_and_silent() -> None:
    result = python(
        "-c",
        "import sys; import ednd_nmt; print(sorted({'torch', 'fairseq', 'numpy', 'omegaconf'} & set(sys.modules)))",
    )
    assert (result.stdout, result.stderr, result.returncode) == ("[]\n", "", 0)


def test_without_fairseq() -> None:
    """-S leaves out everything that is installed."""
    result = python(
        "-S",
        "-c",
        "import ednd_nmt; print(ednd_nmt.__version__)\n"
        "from ednd_nmt.cli import main; sys = __import__('sys'); sys.exit(main(['train', 'data']))",
        environment={"PYTHONPATH": str(PACKAGE.parent)},
    )
    assert result.stdout == f"{ednd_nmt.__version__}\n"
    assert result.stderr.startswith("error: fairseq is not installed in this environment; install ")
    assert result.stderr.count("\n") == 1
    assert result.returncode == 2


def test_an_uncaught_user_error_is_its_sentence_and_its_exit_status() -> None:
    """In fairseq's stock commands nobody catches it."""
    code = "from ednd_nmt import errors; errors.print_user_errors_as_sentences(); raise {}('no such model')"
    ended = python("-c", code.format("errors.UserError"))
    assert (ended.stderr, ended.returncode) == ("error: no such model\n", 2)
    ended = python("-c", code.format("ValueError"))
    assert "Traceback" in ended.stderr
    assert ended.returncode == 1


def test_fairseq_keeps_its_own_loader() -> None:
    result = python(
        "-c", "import ednd_nmt, fairseq; print(type(fairseq.__loader__).__name__, fairseq.__spec__.loader)"
    )
    assert result.stdout.startswith("SourceFileLoader <_frozen_importlib_external.SourceFileLoader"), (
        result.stderr
    )


def test_looking_for_fairseq_does_not_import_it() -> None:
    code = "import sys, ednd_nmt, importlib.util as u; print(u.find_spec('fairseq').name, 'fairseq' in sys.modules)"
    assert python("-c", code).stdout == "fairseq False\n"


def test_a_mere_folder_called_fairseq_is_none(tmp_path: Path) -> None:
    (tmp_path / "fairseq").mkdir()
    code = f"import sys; sys.path = [{str(tmp_path)!r}, *sys.path]; import ednd_nmt, fairseq; print(fairseq.__path__)"
    result = python("-S", "-c", code, environment={"PYTHONPATH": str(PACKAGE.parent)})
    assert result.returncode == 0, result.stderr
    assert str(tmp_path) in result.stdout
