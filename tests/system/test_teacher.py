"""Members that cannot teach the student are refused in one sentence, before any training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import training
from own_process import ednd_nmt
from random_models import OTHER_ARCHITECTURES, RandomModels
from toy_reversal import ToyReversal

from ednd_nmt.cli import main
from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.errors import UserError
from ednd_nmt.teacher import Teacher, ensemble_device, split_paths


@pytest.fixture(scope="module")
def member(toy: ToyReversal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.member(toy.data, tmp_path_factory.mktemp("member") / "member.pt")


@pytest.fixture(scope="module")
def student(toy: ToyReversal, member: Path) -> Path:
    path = member.with_name("student.pt")
    training.Training(toy.data).save(path)
    return path


STUDENT = ("--criterion", "rkl_dirichlet_proxy_distillation", "--arch", "dirichlet_transformer_tiny")
LANGUAGES = ("--source-lang", "src", "--target-lang", "tgt")
COMMON = (*LANGUAGES, "--task", "distillation", "--max-tokens", "500", "--cpu")
Refusal = Callable[..., str]


@pytest.fixture
def refused(
    toy: ToyReversal, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Refusal:
    """What a command that must not begin says; it is in this process."""
    monkeypatch.chdir(tmp_path)

    def sentence(command: str, *arguments: str | Path, data: Path = toy.data) -> str:
        capsys.readouterr()
        assert main(list(map(str, (command, data, *COMMON, *arguments)))) == 2
        assert not list(Path().glob("refused/*"))
        return capsys.readouterr().err.strip().splitlines()[-1]

    return sentence


@pytest.fixture
def refused_training(refused: Refusal) -> Refusal:
    return partial(refused, "train", "--save-dir", "refused", "--optimizer", "adam", "--max-update", "1")


@pytest.fixture
def refused_generation(refused: Refusal) -> Refusal:
    return partial(refused, "generate", "--uncertainty-output", "refused/out.jsonl")


@pytest.mark.slow
def test_a_refusal_as_a_user_sees_it(toy: ToyReversal, tmp_path: Path) -> None:
    """One sentence at the end, and no traceback before it."""
    options = ("--save-dir", "refused", "--optimizer", "adam", "--ensemble-paths", "nowhere.pt")
    process = ednd_nmt("train", toy.data, *COMMON, *STUDENT, *options, folder=tmp_path)
    assert process.returncode == 2, process.stderr[-2000:]
    assert "Traceback" not in process.stderr
    assert "There is no ensemble member at nowhere.pt" in process.stderr.strip().splitlines()[-1]
    assert not list(tmp_path.glob("refused/*"))


def test_members_that_cannot_teach(
    refused_training: Refusal, member: Path, student: Path, tmp_path: Path
) -> None:
    assert "give --ensemble-paths" in refused_training(*STUDENT)
    paths = f"{member},{student}"
    sentence = refused_training(*STUDENT, "--ensemble-paths", paths)
    assert "is a Dirichlet student, not an ensemble member" in sentence
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(member.read_bytes()[:1000])
    assert "damaged" in refused_training(*STUDENT, "--ensemble-paths", damaged)


def test_sentences_too_long_for_a_member(
    refused_training: Refusal,
    toy: ToyReversal,
    member: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Learned positions end, and a lookup beyond their end would end the training at the first batch that has one."""
    short = tmp_path / "short.pt"
    training.Training(
        toy.data, "--arch", "transformer", "--encoder-learned-pos", "--decoder-learned-pos", "--max-source-positions", "6",
        "--max-target-positions", "5", criterion="forward_kl_mean_distillation",
    ).save(short)  # fmt: skip
    paths = f"{member}:{short}"
    sentence = refused_training(*STUDENT, "--ensemble-paths", paths, "--valid-subset", "test")
    assert "is invalid" in sentence
    assert "max_positions=(6, 5)" in sentence
    storing = (
        "store",
        toy.data,
        *LANGUAGES,
        "--cpu",
        "--ensemble-paths",
        paths,
        "--output",
        tmp_path / "t.h5",
    )
    assert main(list(map(str, storing))) == 2
    sentence = capsys.readouterr().err.strip().splitlines()[-1]
    assert "learned positions of the members end at 6 and 5; leave such sentences out" in sentence
    assert not (tmp_path / "t.h5").exists()


def test_settings_that_contradict_each_other(refused_training: Refusal, member: Path) -> None:
    sentence = refused_training(*STUDENT, "--ensemble-paths", member, "--model-offset", "2")
    assert "contradicts the model" in sentence


@pytest.mark.parametrize(
    "option",
    [("--dirichlet-decoding", "mean"), ("--ensemble-combination", "ep"), ("--uncertainty-penalty", "0.5")],
    ids=str,
)
@pytest.mark.parametrize("bleu", [(), ("--eval-bleu",)], ids=["plain", "bleu"])
def test_options_of_the_search_while_training(
    refused_training: Refusal, member: Path, option: tuple[str, str], bleu: tuple[str, ...]
) -> None:
    """They would have no effect, nor on the translations of --eval-bleu, which are those of the plain search."""
    sentence = refused_training(*STUDENT, "--ensemble-paths", member, *option, *bleu)
    assert f"{option[0]} belongs to fairseq-generate; leave it out" in sentence


@pytest.mark.parametrize("criterion", ["forward_kl_mean_distillation", "label_smoothed_cross_entropy"])
def test_what_trains_no_dirichlet_trains_no_student(
    refused_training: Refusal, member: Path, criterion: str
) -> None:
    """Its concentrations would mean nothing, and be written as if they did."""
    sentence = refused_training(
        "--criterion", criterion, "--arch", "dirichlet_transformer_tiny", "--ensemble-paths", member
    )
    assert f"{criterion} says nothing about concentrations" in sentence


def with_other_symbols(toy: ToyReversal, folder: Path, *more: str) -> Path:
    """The toy's data with its symbols in another order, and ``more`` of them."""
    shutil.copytree(toy.data, folder)
    for side in ("src", "tgt"):
        dictionary = folder / f"dict.{side}.txt"
        lines = dictionary.read_text().splitlines()
        dictionary.write_text("".join(f"{line}\n" for line in (*reversed(lines), *more)))
    return folder


def test_members_with_other_dictionaries(
    refused_training: Refusal, refused_generation: Refusal, toy: ToyReversal, member: Path, tmp_path: Path
) -> None:
    other = with_other_symbols(toy, tmp_path / "other")
    sentence = refused_training(*STUDENT, "--ensemble-paths", member, data=other)
    assert "symbols" in sentence
    assert "fairseq-preprocess --srcdict" in sentence
    sentence = refused_generation("--path", f"{member}:{member}", data=other)
    assert (
        f"dictionary of the checkpoint {member} ({toy.data}/dict.src.txt) orders its symbols unlike"
        in sentence
    )
    larger = with_other_symbols(toy, tmp_path / "larger", *(f"b{number} 1" for number in range(20)))
    sentence = refused_generation("--path", member, data=larger)
    assert "does not fit the dictionaries of the data" in sentence


def test_members_of_the_other_direction(
    refused_training: Refusal, refused_generation: Refusal, member: Path
) -> None:
    backwards = ("--source-lang", "tgt", "--target-lang", "src")
    for sentence in (
        refused_generation("--path", f"{member}:{member}", *backwards),
        refused_training(*STUDENT, "--ensemble-paths", member, *backwards),
    ):
        assert "translates src-tgt, but tgt-src is asked for" in sentence


def test_students_that_cannot_translate(refused_generation: Refusal, student: Path, tmp_path: Path) -> None:
    state = torch.load(student, weights_only=False)
    del state["cfg"]["model"].dirichlet_offset
    torch.save(state, tmp_path / "without.pt")
    assert "lacks dirichlet_offset" in refused_generation("--path", tmp_path / "without.pt")
    short = refused_generation("--path", student, "--max-source-positions", "5")
    assert "max_positions=(5, " in short


def test_members_run_under_autocast(random_models: RandomModels) -> None:
    """Whose decoder ends in a linear layer of its own, and so in half precision."""
    member = random_models.model(1, decoder_output_dim=8, share_all_embeddings=False)
    sample = random_models.batch([0, 5])
    positions = torch.arange(sample["target"].numel())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = Teacher([member], torch.device("cpu")).decode(sample, positions)
        with torch.autocast("cpu", enabled=False):  # as the objective asks for them
            (found,) = logits(slice(0, 4))
    (expected,) = Teacher([member], torch.device("cpu")).decode(sample, positions)(slice(0, 4))
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("dtype", "flag", "tolerance"),
    [(torch.float16, "--fp16-ensemble", 2e-3), (torch.bfloat16, "--bf16-ensemble", 2e-2)],
)
def test_members_in_half_precision(
    random_models: RandomModels, dtype: torch.dtype, flag: str, tolerance: float
) -> None:
    """Every layer of them; the statistics are made of their logits in float32."""
    sample, cpu = random_models.batch([0, 5]), torch.device("cpu")
    positions, chunk = torch.arange(sample["target"].numel()), slice(0, 4)
    expected = ensemble_statistics(
        Teacher([random_models.model(seed) for seed in (1, 2)], cpu).decode(sample, positions)(chunk)
    )
    teacher = Teacher([random_models.model(seed) for seed in (1, 2)], cpu, dtype)
    assert all(logits.dtype == dtype for logits in teacher.decode(sample, positions)(chunk))
    statistics = ensemble_statistics(teacher.decode(sample, positions)(chunk))
    assert statistics.mean.dtype == torch.float32
    assert (statistics.mean - expected.mean).abs().max() < tolerance * expected.mean.max()
    assert not torch.equal(statistics.mean, expected.mean.float())
    assert flag in teacher.remedy


def test_members_in_one_precision_on_a_device_that_is_there(refused_training: Refusal, member: Path) -> None:
    arguments = (*STUDENT, "--ensemble-paths", member)
    assert "leave out --fp16-ensemble or --bf16-ensemble" in refused_training(
        *arguments, "--fp16-ensemble", "--bf16-ensemble"
    )
    for name in ("nowhere", "cuda:99", "meta"):
        sentence = refused_training(*arguments, "--ensemble-device", name)
        assert f"--ensemble-device is {name}, where nothing can be computed (" in sentence
        assert "name a device of this machine, as in cpu or cuda:0" in sentence
    assert ensemble_device("cpu") == torch.device("cpu")


def test_paths_are_split_both_ways() -> None:
    assert split_paths("a.pt:b.pt,c.pt") == ["a.pt", "b.pt", "c.pt"]
    assert split_paths("") == []


@pytest.mark.parametrize("other", ["transformer", *OTHER_ARCHITECTURES])
def test_streamed_logits_are_the_members_own(random_models: RandomModels, other: str) -> None:
    """Features first, projection chunk by chunk: the same statistics as from the members' plain outputs."""
    members = [
        random_models.model(seed, arch) for seed, arch in enumerate(["transformer", "transformer", other])
    ]
    sample = random_models.batch([0, 5, 9])
    selection = sample["target"].ne(random_models.task.target_dictionary.pad())
    plain = ensemble_statistics([m(**sample["net_input"])[0][selection] for m in members])
    positions = selection.flatten().nonzero().squeeze(1)
    member_logits = Teacher(members, torch.device("cpu")).decode(sample, positions)
    chunk = slice(3, 11)
    streamed = ensemble_statistics(member_logits(chunk))
    torch.testing.assert_close(streamed.mean, plain.mean[chunk])
    torch.testing.assert_close(streamed.mkl, plain.mkl[chunk])
    assert not any(parameter.requires_grad for m in members for parameter in m.parameters())
    with pytest.raises(UserError, match="at least one member"):
        ensemble_statistics(iter([]))
