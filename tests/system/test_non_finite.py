"""A batch whose loss is not finite is named, with the tensor that is to blame, by fairseq's own trainer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toy_reversal import ToyReversal
from training import Training

from ednd_nmt.errors import UserError

BATCH = r"The batch of \d+ target tokens with the sentences 0, 7, 3 "


def spoil(values: torch.Tensor, value: float = float("nan")) -> None:
    with torch.no_grad():
        values.view(-1)[5] = value


def spoil_member_weight(training: Training) -> None:
    spoil(training.task.teacher.members[1].encoder.layers[0].fc1.weight)


def enlarge_projection(model: Any) -> None:
    """Logits beyond float32's range; the embeddings, which share the projection's weight, stay as they are."""
    projection = model.decoder.output_projection
    projection.weight = torch.nn.Parameter(projection.weight.detach() * 1e38)


def spoil_member_logits(training: Training) -> None:
    enlarge_projection(training.task.teacher.members[1])


def spoil_student_weight(training: Training) -> None:
    spoil(training.model.decoder.layers[0].fc2.bias, float("inf"))


def spoil_student_features(training: Training) -> None:
    training.model.decoder.layers[0].register_forward_hook(lambda _, __, output: (output[0] / 0, *output[1:]))


def spoil_student_logits(training: Training) -> None:
    enlarge_projection(training.model)


CASES: dict[str, tuple[Any, str]] = {
    "member's weight": (
        spoil_member_weight,
        r"NaN in the weight encoder.layers.0.fc1.weight of ensemble member 2 \(2.pt\); take the member out",
    ),
    "member's logits": (
        spoil_member_logits,
        r"(NaN|an infinity) in the logits of ensemble member 2 \(2.pt\); take the member out",
    ),
    "student's weight": (
        spoil_student_weight,
        r"an infinity in the weight decoder.layers.0.fc2.bias of the student; lower --lr",
    ),
    "student's features": (spoil_student_features, r"in the student's last hidden layer; lower --lr"),
    "student's logits": (spoil_student_logits, r"in the student's logits; lower --lr"),
}


@pytest.fixture(autouse=True)
def working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.chdir(tmp_path)  # fairseq leaves its crash.pt there


@pytest.mark.parametrize("case", list(CASES))
def test_training_names_the_tensor(toy: ToyReversal, case: str) -> None:
    training = Training(toy.data)
    training.update([0, 3, 7])
    what, message = CASES[case]
    what(training)
    with pytest.raises(UserError, match=f"{BATCH}.* at update 2 has no finite loss.*{message}"):
        training.update([0, 3, 7])


def test_of_several_batches_the_one_to_blame_is_named(toy: ToyReversal) -> None:
    training = Training(toy.data, "--update-freq", "3")
    batches = [training.batch(ids) for ids in ([1, 2], [0, 3, 7], [4, 5])]
    original = training.model.encoder.forward

    def forward(src_tokens: Any, **options: Any) -> Any:
        encoded = original(src_tokens, **options)
        if len(src_tokens) == 3:
            encoded["encoder_out"][0] = encoded["encoder_out"][0] * float("nan")
        return encoded

    training.model.encoder.forward = forward
    with pytest.raises(UserError, match=f"{BATCH}.* at update 1 .* in the student's last hidden layer"):
        training.trainer.train_step(batches)


def test_a_gradient_alone_is_named_too(toy: ToyReversal) -> None:
    training = Training(toy.data)
    training.model.encoder.layers[0].fc1.bias.register_hook(lambda gradient: gradient / 0)
    with pytest.raises(
        UserError, match=f"{BATCH}.* in the gradient of encoder.layers.0.fc1.bias of the student"
    ):
        training.update([0, 3, 7])


@pytest.mark.parametrize("case", [case for case in CASES if case != "student's logits"])
def test_validation_names_the_tensor(toy: ToyReversal, case: str) -> None:
    """An infinite logit of the student alone acts as a large one: the loss is finite, though its gradient is not."""
    training = Training(toy.data)
    training.trainer.valid_step(training.batch([0, 3, 7]))
    what, message = CASES[case]
    what(training)
    with pytest.raises(UserError, match=f"{BATCH}.* of the validation set has no finite loss.*{message}"):
        training.trainer.valid_step(training.batch([0, 3, 7]))


def test_nothing_is_examined_as_long_as_all_is_well(
    toy: ToyReversal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ednd_nmt.finiteness import Examination

    def forbidden(*_: Any) -> None:
        raise AssertionError("a look waits for the device")

    monkeypatch.setattr(Examination, "look", forbidden)
    training = Training(toy.data)
    training.update([0, 3, 7])
    training.trainer.valid_step(training.batch([0, 3, 7]))


HALF = ("--fp16", "--fp16-no-flatten-grads")


@pytest.fixture
def transfers_to_a_gpu_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an overflow fairseq's trainer makes a zero on the GPU, even where there is none."""
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)


@pytest.mark.usefixtures("transfers_to_a_gpu_stay_here")
def test_an_overflow_of_float16_halves_the_loss_scale(toy: ToyReversal) -> None:
    training = Training(toy.data, *HALF, "--fp16-init-scale", str(2**24))
    before = training.parameters()
    training.update([0, 3, 7])
    assert training.trainer.optimizer.scaler.loss_scale == 2**23
    assert training.trainer.get_num_updates() == 0
    assert torch.equal(training.parameters(), before)


@pytest.mark.usefixtures("transfers_to_a_gpu_stay_here")
def test_in_float16_the_tensor_is_named_once_no_loss_scale_helps(toy: ToyReversal) -> None:
    training = Training(toy.data, *HALF, "--fp16-init-scale", "8", "--min-loss-scale", "3")
    spoil_member_weight(training)
    training.update([0, 3, 7])
    assert training.trainer.optimizer.scaler.loss_scale == 4
    with pytest.raises(
        UserError, match=r"NaN in the weight encoder\.layers\.0.fc1.weight of ensemble member 2"
    ):
        training.update([0, 3, 7])
