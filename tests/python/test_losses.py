"""The reference losses against their definitions, finite differences and torch's own gradients."""

from __future__ import annotations

import math
import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.errors import InvalidArgument, InvalidVector
from gapless.losses import (
    INITIAL_LOG_SCALE,
    MAX_LOG_SCALE,
    contrast,
    duplicate_mask,
    infonce,
    siglip,
    training_risks,
    warn_of_risks,
)

Float64 = npt.NDArray[np.float64]
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


def cosine(a: Float64, b: Float64) -> float:
    return math.fsum(a * b) / math.sqrt(math.fsum(a * a) * math.fsum(b * b))


def naive_infonce(image: Float64, text: Float64, tau: float, out: npt.NDArray[Any]) -> float:
    """Term by term, as the formula of the docstring reads."""
    n, total = len(image), 0.0
    s = [[cosine(image[i], text[j]) for j in range(n)] for i in range(n)]
    for i in range(n):
        row = math.fsum(math.exp((s[i][j] - s[i][i]) / tau) for j in range(n) if not out[i, j])
        down = math.fsum(math.exp((s[j][i] - s[i][i]) / tau) for j in range(n) if not out[j, i])
        total += math.log(row) + math.log(down)
    return total / (2 * n)


def naive_siglip(image: Float64, text: Float64, t: float, b: float, out: npt.NDArray[Any]) -> float:
    n, total = len(image), 0.0
    for i in range(n):
        for j in range(n):
            y = 1 if i == j else -1
            if not out[i, j]:
                total -= math.log(1 / (1 + math.exp(-y * (t * cosine(image[i], text[j]) + b))))
    return total / n


def batch(seed: int, n: int, dim: int = 5) -> tuple[Float64, Float64]:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(n, dim)) * rng.uniform(0.1, 9.0, size=(n, 1))
    return image, image + rng.normal(size=(n, dim))


def mask(seed: int, n: int) -> npt.NDArray[np.bool_]:
    out = np.random.default_rng(seed).random((n, n)) < 0.3
    np.fill_diagonal(out, False)
    return out


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 9),
    tau=st.floats(0.01, 2.0),
    bias=st.floats(-12.0, 3.0),
)
def test_losses_are_their_definitions(seed: int, n: int, tau: float, bias: float) -> None:
    image, text = batch(seed, n)
    out = mask(seed, n)
    for given_mask, places in ((False, np.zeros((n, n), np.bool_)), (out, out)):
        assert infonce(image, text, tau, mask_duplicates=given_mask).value == pytest.approx(
            naive_infonce(image, text, tau, places), rel=1e-9, abs=1e-12
        )
        assert siglip(image, text, 1 / tau, bias, mask_duplicates=given_mask).value == (
            pytest.approx(naive_siglip(image, text, 1 / tau, bias, places), rel=1e-7, abs=1e-12)
        )


def slope(at: Any, value: float, step: float = 1e-6) -> float:
    found: float = (at(value + step) - at(value - step)) / (2 * step)
    return found


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 6))
def test_gradients_are_those_of_finite_differences(seed: int, n: int) -> None:
    image, text = batch(seed, n)
    out = mask(seed, n)

    def moved(rows: Float64, i: int, j: int, to: float) -> Float64:
        changed: Float64 = rows.copy()
        changed[i, j] = to
        return changed

    def nce(a: Float64, b: Float64, tau: float = 0.3) -> float:
        return infonce(a, b, tau, mask_duplicates=out).value

    def sig(a: Float64, b: Float64, t: float = 4.0, c: float = -2.0) -> float:
        return siglip(a, b, t, c, mask_duplicates=out).value

    soft = infonce(image, text, 0.3, mask_duplicates=out).gradients
    pairwise = siglip(image, text, 4.0, -2.0, mask_duplicates=out).gradients
    for loss, gradients in ((nce, soft), (sig, pairwise)):
        for i, j in ((0, 0), (n - 1, 3)):

            def by_image(v: float, i: int = i, j: int = j, loss: Any = loss) -> Any:
                return loss(moved(image, i, j, v), text)

            def by_text(v: float, i: int = i, j: int = j, loss: Any = loss) -> Any:
                return loss(image, moved(text, i, j, v))

            assert gradients["image"][i, j] == pytest.approx(slope(by_image, image[i, j]), abs=2e-6)
            assert gradients["text"][i, j] == pytest.approx(slope(by_text, text[i, j]), abs=2e-6)
    numbers = [
        (soft["temperature"], slope(lambda v: nce(image, text, v), 0.3)),
        (pairwise["scale"], slope(lambda v: sig(image, text, v), 4.0)),
        (pairwise["bias"], slope(lambda v: sig(image, text, 4.0, v), -2.0)),
    ]
    for analytic, numeric in numbers:
        assert analytic == pytest.approx(numeric, rel=1e-4, abs=1e-6)


def test_losses_of_batches_that_can_be_worked_out_by_hand() -> None:
    one = np.array([[3.0, 4.0]])
    assert infonce(one, one).value == 0.0
    assert siglip(one, one, 1.0, 0.0).value == pytest.approx(math.log1p(math.exp(-1)))
    same = np.ones((8, 3))
    assert infonce(same, same, 0.01).value == pytest.approx(math.log(8))
    eye = np.eye(4)
    assert infonce(eye, eye, 0.5).value == pytest.approx(math.log(1 + 3 * math.exp(-2)))


def test_the_sign_of_a_place_multiplies_the_bias_too() -> None:
    image, text = batch(3, 12)
    # Printed without brackets, -log sigmoid(y t s + b) falls for ever as b grows; the loss itself
    # has a best bias, where its slope changes sign.
    slopes = [siglip(image, text, 10.0, b).gradients["bias"] for b in (-30.0, 0.0, 30.0)]
    assert slopes[0] < 0 < slopes[2]
    far = [siglip(image, text, 10.0, b).value for b in (-30.0, -5.0, 30.0)]
    assert far[1] < min(far[0], far[2])


def test_extreme_temperatures_stay_finite() -> None:
    image, text = batch(4, 20)
    for found in (infonce(image, text, 1e-5), siglip(image, text, 1e5, -1e4)):
        assert math.isfinite(found.value)
        assert all(np.isfinite(gradient).all() for gradient in found.gradients.values())


def test_copies_in_a_batch_are_no_negatives_when_masked() -> None:
    image, text = batch(5, 6)
    image[4] = 3.0 * image[1]
    text[5] = text[0]
    wanted = np.zeros((6, 6), np.bool_)
    wanted[[4, 1, 5, 0], [1, 4, 0, 5]] = True
    np.testing.assert_array_equal(duplicate_mask(image, text), wanted)
    for loss in (infonce, siglip):
        masked = loss(image, text, mask_duplicates=True)
        assert masked.value == loss(image, text, mask_duplicates=wanted).value
        assert masked.value < loss(image, text).value
    # Without other pairs than the copies, what is left is nothing to tell apart.
    twice = np.repeat(image[:1], 2, axis=0)
    assert infonce(twice, twice, mask_duplicates=True).value == 0.0


def test_contrast_with_several_right_answers() -> None:
    rng = np.random.default_rng(6)
    logits = 5 * rng.normal(size=(5, 9))
    right = rng.random((5, 9)) < 0.3
    right[:, 2] = True
    out = ~right & (rng.random((5, 9)) < 0.3)
    value, gradient = contrast(logits, right, out)
    wanted = 0.0
    for i in range(5):
        total = math.fsum(math.exp(logits[i, j]) for j in range(9) if not out[i, j])
        logs = [logits[i, j] - math.log(total) for j in range(9) if right[i, j]]
        wanted -= math.fsum(logs) / len(logs) / 5
    assert value == pytest.approx(wanted, rel=1e-12)
    for i, j in ((0, 2), (3, 4), (4, 8)):

        def at(v: float, i: int = i, j: int = j) -> float:
            changed = logits.copy()
            changed[i, j] = v
            return contrast(changed, right, out)[0]

        assert gradient[i, j] == pytest.approx(slope(at, logits[i, j]), abs=1e-7)
    assert (gradient[out] == 0).all()


@needs_torch
def test_torch_gives_the_same_values_and_gradients() -> None:
    import torch
    import torch.nn.functional as F

    image, text = batch(7, 16, 24)
    out = mask(7, 16)
    leaves = [
        torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for value in (image, text, 0.05, 12.0, -9.0)
    ]
    left, right, tau, scale, bias = leaves
    s = F.normalize(left, dim=1) @ F.normalize(right, dim=1).T
    hidden = torch.from_numpy(out)
    own = torch.arange(16)
    logits = s / tau
    soft = (
        F.cross_entropy(logits.masked_fill(hidden, -torch.inf), own)
        + F.cross_entropy(logits.T.masked_fill(hidden.T, -torch.inf), own)
    ) / 2
    sign = 2 * torch.eye(16, dtype=torch.float64) - 1
    pairwise = -F.logsigmoid(sign * (scale * s + bias)).masked_fill(hidden, 0.0).sum() / 16
    cases = [
        (infonce(image, text, 0.05, mask_duplicates=out), soft, (left, right, tau)),
        (
            siglip(image, text, 12.0, -9.0, mask_duplicates=out),
            pairwise,
            (left, right, scale, bias),
        ),
    ]
    for found, loss, parts in cases:
        assert found.value == pytest.approx(loss.item(), rel=1e-12)
        wanted = torch.autograd.grad(loss, parts, retain_graph=True)
        for mine, theirs in zip(found.gradients.values(), wanted, strict=True):
            np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-9, atol=1e-13)


@needs_torch
def test_the_trainers_loss_is_the_reference() -> None:
    import torch

    from gapless.demo.contrast import contrast as trainers
    from gapless.demo.contrast import drawings, false_negatives

    rng = np.random.default_rng(8)
    pictures = rng.integers(0, 256, size=(8, 4, 4), dtype=np.uint8)
    pictures[6] = pictures[1]
    drawn = drawings(pictures)
    assert drawn.tolist() == [0, 1, 2, 3, 4, 5, 1, 6]
    owner = np.tile(np.arange(4), 2)
    out = false_negatives(["bell", "cup", "bell", "dog"], drawn, owner)
    # Name 1 and name 2 share a drawing, names 0 and 2 a text.
    wanted = np.zeros((4, 8), np.bool_)
    wanted[[0, 0, 2, 2], [2, 6, 0, 4]] = True
    wanted[1, [6]] = wanted[2, [1]] = True
    np.testing.assert_array_equal(out, wanted)
    right = np.arange(4)[:, None] == owner[None]
    logits = 4 * rng.normal(size=(4, 8))
    value, gradient = contrast(logits, right, out)
    given_logits = torch.tensor(logits, requires_grad=True)
    found = trainers(given_logits, torch.from_numpy(right), torch.from_numpy(out))
    found.backward()  # type: ignore[no-untyped-call]
    assert found.item() == pytest.approx(value, rel=1e-12)
    assert given_logits.grad is not None
    np.testing.assert_allclose(given_logits.grad.numpy(), gradient, rtol=1e-9, atol=1e-14)


def test_each_risk_of_a_training_is_told_by_itself() -> None:
    safe: dict[str, Any] = {"batch": 256, "pairs": 50_000, "learning_rate": 9e-4}
    safe["pretrained"] = True
    assert training_risks(**safe) == ()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"batch": 255}, "a batch of 255 pairs leaves 254 negatives"),
        ({"pairs": 49_999}, "49999 pairs are too few for a pretrained encoder"),
        ({"learning_rate": 1e-3}, r"a learning rate of 0.001 overwrites"),
    ]
    for change, words in cases:
        (risk,) = training_risks(**{**safe, **change})
        assert risk.startswith(words)
        with pytest.warns(RuntimeWarning, match=words):
            warn_of_risks(**{**safe, **change})
    bold: dict[str, Any] = {"batch": 8, "pairs": 100, "learning_rate": 0.1}
    assert len(training_risks(**bold, pretrained=True)) == 3
    assert len(training_risks(**bold, pretrained=False)) == 1
    assert len(training_risks(**{**bold, "pairs": None}, pretrained=True)) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_risks(**safe)
    assert math.exp(-INITIAL_LOG_SCALE) == pytest.approx(0.07)
    assert math.exp(-MAX_LOG_SCALE) == pytest.approx(0.01)


def test_bad_input_says_what_was_wanted() -> None:
    eye = np.eye(3)
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: infonce(eye, eye, 0.0), InvalidArgument, "temperature is 0.0"),
        (lambda: infonce(eye, eye, math.nan), InvalidArgument, "temperature is nan"),
        (lambda: siglip(eye, eye, -1.0), InvalidArgument, "scale is -1.0"),
        (lambda: siglip(eye, eye, 1.0, math.inf), InvalidArgument, "bias is inf"),
        (lambda: infonce(eye, eye[:2]), InvalidVector, r"image has shape \(3, 3\) and text"),
        (lambda: infonce(eye, eye * [[1], [0], [1]]), InvalidVector, "text has a zero"),
        (lambda: siglip(eye * math.nan, eye), InvalidVector, "image has a zero, NaN"),
        (lambda: siglip(np.empty((0, 3)), np.empty((0, 3))), InvalidVector, "at least 1"),
        (lambda: infonce(eye, eye, mask_duplicates=eye > 0), InvalidArgument, "diagonal of False"),
        (lambda: infonce(eye, eye, mask_duplicates=eye), InvalidArgument, "is float64 of shape"),
        (
            lambda: infonce(eye, eye, mask_duplicates=[[True], []]),
            InvalidArgument,
            "mask_duplicates is no array",
        ),
        (lambda: contrast([[1.0], [1.0, 2.0]], eye), InvalidVector, "logits is no array"),
        (lambda: contrast(eye, [[True], []]), InvalidArgument, "positive is no array"),
        (lambda: contrast(eye, eye[:2]), InvalidArgument, r"positive \(2, 3\)"),
        (lambda: contrast(eye, eye > 1), InvalidArgument, "no right answer"),
        (lambda: contrast(eye, eye, eye), InvalidArgument, "one that is ignored"),
        (lambda: contrast(eye * math.inf, eye), InvalidArgument, "NaN or infinity"),
        (
            lambda: training_risks(batch=0, pairs=1, learning_rate=1, pretrained=True),
            InvalidArgument,
            "batch is 0",
        ),
        (
            lambda: training_risks(batch=1, pairs=1, learning_rate=0, pretrained=True),
            InvalidArgument,
            "learning_rate is 0",
        ),
    ]
    for call, error, words in cases:
        with np.errstate(invalid="ignore"), pytest.raises(error, match=words):
            call()
