"""However fairseq's trainer divides the work and rounds the numbers, the student gets the gradient of the same tokens."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import training as training_module
from fairseq.distributed import ModuleProxyWrapper
from own_process import PATIENCE
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from toy_reversal import ToyReversal
from training import Training, member

from ednd_nmt.errors import UserError

FIRST, SECOND = [0, 3, 7, 11], [1, 2]
PLAIN = ("--criterion", "label_smoothed_cross_entropy", "--arch", "transformer")


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


@pytest.fixture(scope="module")
def whole(toy: ToyReversal) -> Training:
    """All sentences in one batch of one process."""
    training = Training(toy.data)
    training.update(FIRST + SECOND)
    return training


def test_update_freq(toy: ToyReversal, whole: Training) -> None:
    parts = Training(toy.data, "--update-freq", "2")
    parts.update(FIRST, SECOND)
    assert error(parts.gradient(), whole.gradient()) < 1e-5
    assert error(parts.parameters(), whole.parameters()) < 1e-6


def test_update_freq_would_be_told_from_one_of_its_batches(toy: ToyReversal, whole: Training) -> None:
    """What the comparison above is worth."""
    part = Training(toy.data)
    part.update(FIRST)
    assert error(part.gradient(), whole.gradient()) > 1e-2


def test_every_batch_of_an_update_logs_the_same_names(toy: ToyReversal) -> None:
    """fairseq sums what the batches of an update, and the processes, log under the names of the first of them."""
    training = Training(toy.data, "--diagnostics-interval", "2")
    training.criterion.train()
    logged = [training.criterion(training.model, training.batch(FIRST))[2] for _ in range(4)]
    assert [log.keys() for log in logged] == [logged[0].keys()] * 4
    assert [log["diagnostic_tokens"] > 0 for log in logged] == [True, False, True, False]
    assert logged[0]["diagnostic_teacher_mkl"] > logged[1]["diagnostic_teacher_mkl"] == 0


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--target-offset", "-1"], "--target-offset is -1; give a finite number that is at least 0"),
        (["--cross-entropy-weight", "-1"], "--cross-entropy-weight is -1; give a finite number"),
        (["--label-smoothing", "1.5"], "--label-smoothing is 1.5; give a number from 0 to 1"),
        (["--chunk-budget-mib", "0"], "--chunk-budget-mib is 0; give a number above 0"),
        (["--cross-entropy-updates", "-5"], "--cross-entropy-updates is -5; give a finite number"),
        (["--diagnostics-interval", "0"], "--diagnostics-interval is 0; give a finite number above 0"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(toy: ToyReversal, flags: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Training(toy.data, *flags)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--label-smoothing", "0.1"], "--label-smoothing has no effect without --cross-entropy-weight"),
        (
            ["--cross-entropy-updates", "9"],
            "--cross-entropy-updates has no effect without --cross-entropy-weight",
        ),
        (
            ["--criterion", "forward_kl_mean_distillation", "--arch", "transformer", "--model-offset", "1"],
            "--model-offset has no effect: the criterion forward_kl_mean_distillation trains no Dirichlet",
        ),
        (
            [*PLAIN, "--ensemble-paths", "1.pt:2.pt"],
            "--ensemble-paths has no effect: the criterion label_smoothed_cross_entropy has no teacher",
        ),
        (
            [*PLAIN, "--model-offset", "1"],
            "--model-offset has no effect: the criterion label_smoothed_cross_entropy trains no Dirichlet",
        ),
    ],
    ids=str,
)
def test_options_without_effect_are_warned_of(
    toy: ToyReversal, flags: list[str], sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    training = Training(toy.data, *flags)
    training.task._teacher = None if "--ensemble-paths" in flags else training.task._teacher
    caplog.clear()
    training.task.build_criterion(training.config.criterion)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [sentence]


@pytest.mark.parametrize(
    ("saved", "going_on", "flag"),
    [
        (["--dirichlet-offset", "0.25"], [], "--dirichlet-offset 0.25"),
        (
            ["--arch", "transformer", "--model-offset", "0"],
            ["--arch", "transformer", "--model-offset", "1"],
            "--model-offset 0",
        ),
    ],
    ids=["own", "stock"],
)
def test_going_on_with_another_offset_is_refused(
    toy: ToyReversal, saved: list[str], going_on: list[str], flag: str, tmp_path: Path
) -> None:
    """The weights fit, but their logits mean other concentrations."""
    path = tmp_path / "student.pt"
    Training(toy.data, *saved).save(path)
    Training(toy.data, *saved).trainer.load_checkpoint(str(path))
    with pytest.raises(UserError, match=rf"{path} has the concentrations .*; give {flag}\."):
        Training(toy.data, *going_on).trainer.load_checkpoint(str(path))


def test_a_student_may_begin_as_a_plain_model(toy: ToyReversal, tmp_path: Path) -> None:
    path = member(toy.data, tmp_path / "member.pt")
    Training(toy.data).trainer.load_checkpoint(
        str(path), reset_optimizer=True, reset_lr_scheduler=True, reset_meters=True
    )


def test_the_likelihood_is_not_trained_from_stored_targets(toy: ToyReversal) -> None:
    training = Training(toy.data, criterion="sequence_distribution_distillation")
    training.task.cfg.stored_targets = "targets.h5"
    with pytest.raises(UserError, match="needs the members' whole distributions"):
        training.task.build_criterion(training.config.criterion)


@pytest.mark.parametrize(
    "flags", [[], ["--arch", "transformer", "--model-offset", "2"]], ids=["own", "stock"]
)
def test_fairseq_validate_finds_the_loss_of_the_training(
    toy: ToyReversal, flags: list[str], tmp_path: Path
) -> None:
    """As fairseq-validate begins: from the checkpoint alone, whose student nobody has built before."""
    from fairseq.checkpoint_utils import load_model_ensemble_and_task

    training = Training(toy.data, *flags)
    training.save(tmp_path / "student.pt")
    (model,), saved, task = load_model_ensemble_and_task([str(tmp_path / "student.pt")])
    task._teacher = training.task._teacher
    criterion = task.build_criterion(saved.criterion)
    assert criterion.offset == (2 if flags else 1)
    loss, *_ = task.valid_step(training.batch(FIRST), model.eval(), criterion.eval())
    expected, *_ = training.task.valid_step(
        training.batch(FIRST), training.model.eval(), training.criterion.eval()
    )
    assert float(loss) == float(expected) != 0


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize(
    "backend", ["pytorch_ddp", "legacy_ddp"]
)  # fairseq's default, and that of the published commands
def test_two_processes(toy: ToyReversal, whole: Training, backend: str, tmp_path: Path) -> None:
    flags = (
        "--distributed-world-size", "2", "--distributed-backend", "gloo", "--ddp-backend", backend,
        "--distributed-no-spawn", "--distributed-init-method", f"file://{tmp_path}/store",
    )  # fmt: skip
    outputs = [tmp_path / "0.pt", tmp_path / "1.pt"]
    logs = [output.with_suffix(".log") for output in outputs]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with contextlib.ExitStack() as stack:
        processes = []
        for rank, (output, log, ids) in enumerate(zip(outputs, logs, (FIRST, SECOND), strict=True)):
            words = [toy.data, output, ",".join(map(str, ids)), *flags, "--distributed-rank", str(rank)]
            process = subprocess.Popen(
                [sys.executable, training_module.__file__, *map(str, words)],
                env=environment,
                stderr=stack.enter_context(log.open("w")),
            )
            stack.callback(process.wait)
            stack.callback(process.kill)  # if one fails, the other waits for it
            processes.append(process)
        for process, log in zip(processes, logs, strict=True):
            assert process.wait(PATIENCE) == 0, log.read_text()[-3000:]
    for output in outputs:
        gradient, parameters = torch.load(output)
        assert error(gradient, whole.gradient()) < 1e-5
        assert error(parameters, whole.parameters()) < 1e-6


@pytest.mark.parametrize(("tied", "looks"), [(True, True), (False, False), (False, True)])
def test_no_parameter_is_taken_for_unused(toy: ToyReversal, tied: bool, looks: bool, tmp_path: Path) -> None:
    """torch looks for unused parameters before the criterion uses the projection; what it then says helps nobody."""
    training = Training(toy.data)
    if not tied:
        projection = training.model.decoder.output_projection
        projection.weight = torch.nn.Parameter(projection.weight.detach().clone())
    with one_gloo_process(tmp_path / "store"):
        learns_or_is_refused(training, looks=looks, refused=looks and not tied)


def learns_or_is_refused(training: Training, *, looks: bool, refused: bool) -> None:
    model = ModuleProxyWrapper(DistributedDataParallel(training.model, find_unused_parameters=looks))
    if refused:
        with pytest.raises(UserError, match="--find-unused-parameters does not work with a student"):
            training.criterion(model, training.batch(FIRST))
    else:
        training.criterion(model, training.batch(FIRST))[0].backward()
        for name, parameter in training.model.named_parameters():
            assert parameter.grad is not None, name


@contextlib.contextmanager
def one_gloo_process(store: Path) -> Iterator[None]:
    """This process as the only one of a group; no data-parallel model may be left at the end, nor in a local variable.

    A model that outlives its group frees the group's threads while it holds Python's lock, for which one of them may be
    waiting: then both wait for ever.
    """
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    try:
        yield
    finally:
        gc.collect()  # an exception's frames hold the model in a cycle
        torch.distributed.destroy_process_group()


FLOAT16 = ("--fp16-init-scale", "1")  # the other two objectives have gradients that overflow at fairseq's 128
SEPARATE = "--fp16-no-flatten-grads"  # without it fairseq gathers all parameters in one tensor on a GPU
PRECISIONS = {
    "--fp16": (torch.float16, (*FLOAT16, SEPARATE), 3e-3),
    "--bf16": (torch.bfloat16, (SEPARATE,), 3e-2),
    "--memory-efficient-fp16": (torch.float16, FLOAT16, 3e-3),
    "--memory-efficient-bf16": (torch.bfloat16, (), 3e-2),
}


@pytest.mark.parametrize(
    ("flag", "criterion"),
    [
        *((flag, "rkl_dirichlet_proxy_distillation") for flag in PRECISIONS),
        *((flag, "dirichlet_proxy_distillation") for flag in ("--fp16", "--bf16")),
        *((flag, "sequence_distribution_distillation") for flag in ("--fp16", "--bf16")),
    ],
)
def test_half_precision(toy: ToyReversal, flag: str, criterion: str) -> None:
    """Adam, since it is the optimizer that fairseq's memory-efficient kind knows; the gradient is its input."""
    dtype, flags, tolerance = PRECISIONS[flag]
    exact = Training(toy.data, criterion=criterion, optimizer="adam")
    with torch.no_grad():
        for parameter in exact.model.parameters():  # the same weights, so that only the arithmetic differs
            parameter.copy_(parameter.to(dtype))
    exact.update(FIRST)
    half = Training(toy.data, flag, *flags, criterion=criterion, optimizer="adam")
    half.update(FIRST)
    assert half.trainer.get_num_updates() == 1
    assert {parameter.dtype for parameter in half.trainer.model.parameters()} == {dtype}
    assert error(half.gradient(), exact.gradient()) < tolerance


def test_annealing_goes_on_where_it_was(toy: ToyReversal, tmp_path: Path) -> None:
    """Interrupted after two of four updates and resumed from the checkpoint: the same student, bit by bit."""
    flags = (
        "--temperature", "5", "--temperature-updates", "4",
        "--cross-entropy-weight", "0.6", "--cross-entropy-updates", "4",
    )  # fmt: skip

    def start() -> Training:
        return Training(toy.data, *flags, criterion="sequence_distribution_distillation", optimizer="adam")

    batches = ([0, 3, 7], [1, 2], [4, 5, 6], [8, 9])
    uninterrupted = start()
    for ids in batches:
        uninterrupted.update(ids)

    first = start()
    for ids in batches[:2]:
        first.update(ids)
    first.save(tmp_path / "checkpoint.pt")
    resumed = start()
    resumed.trainer.load_checkpoint(str(tmp_path / "checkpoint.pt"))
    assert torch.equal(resumed.parameters(), first.parameters())
    for ids in batches[2:]:
        resumed.update(ids)
    assert torch.equal(resumed.parameters(), uninterrupted.parameters())

    forgetful = start()
    forgetful.trainer.load_checkpoint(str(tmp_path / "checkpoint.pt"))
    forgetful.trainer._num_updates = 0  # the schedules would start again
    for ids in batches[2:]:
        forgetful.update(ids)
    assert not torch.equal(forgetful.parameters(), uninterrupted.parameters())
