"""Levels of Eq. 37 and 38, their scales, and the quantisers as modules."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from riemann_lne.errors import (  # noqa: E402
    DTypeError,
    InvalidArgumentError,
    ShapeError,
    UnknownNameError,
)
from riemann_lne_torch.estimators import BWN, EDE, STE, ClippedSTE  # noqa: E402
from riemann_lne_torch.quantizers import (  # noqa: E402
    ActivationQuantizer,
    WeightQuantizer,
    quantize_binary,
    quantize_tensor,
    quantize_uniform,
    scale_factor,
)

HALF = [torch.float16, torch.bfloat16]
ALL = [*HALF, torch.float32, torch.float64]


def weights(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def eq_38(w, bits):
    """Eq. 38 as it stands in the paper, in NumPy and double precision."""
    w = np.asarray(w, dtype=np.float64)
    n = 2**bits - 1
    return 2 / n * np.round(n * (w / (2 * np.abs(w).max()) + 0.5)) - 1


class TestBinary:
    def test_sign_with_plus_one_at_zero(self):
        w = torch.tensor([-2.0, -0.0, 0.0, 1e-30, 5.0])
        assert quantize_binary(w).tolist() == [-1.0, 1.0, 1.0, 1.0, 1.0]

    @pytest.mark.parametrize("dtype", ALL)
    def test_keeps_the_type(self, dtype):
        q = quantize_binary(weights(4, 3, dtype=dtype))
        assert q.dtype is dtype
        assert q.shape == (4, 3)
        assert set(q.flatten().tolist()) == {-1.0, 1.0}

    def test_nan_stays_visible(self):
        assert quantize_binary(torch.tensor([float("nan")])).isnan().all()

    @pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.bool])
    def test_refuses_what_is_not_real_floating(self, dtype):
        with pytest.raises(DTypeError, match=str(dtype)):
            quantize_binary(torch.zeros(3, dtype=dtype))


class TestUniform:
    @pytest.mark.parametrize("bits", [2, 3, 4, 8, 16])
    def test_is_eq_38(self, bits):
        w = weights(500, dtype=torch.float64)
        expected = eq_38(w.numpy(), bits)
        # the level numbers are the same; the last bits differ, since the ends are made exact
        np.testing.assert_allclose(quantize_uniform(w, bits).numpy(), expected, atol=1e-15)

    @pytest.mark.parametrize("bits", [2, 3, 5, 8])
    def test_levels(self, bits):
        w = torch.linspace(-3, 3, 2**bits * 40 + 1, dtype=torch.float64)
        levels = torch.unique(quantize_uniform(w, bits))
        assert len(levels) == 2**bits
        assert levels[0] == -1.0
        assert levels[-1] == 1.0
        torch.testing.assert_close(
            levels.diff(), torch.full((2**bits - 1,), 2 / (2**bits - 1), dtype=levels.dtype)
        )
        assert torch.equal(levels, -levels.flip(0))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("bits", [2, 3, 8, 16])
    def test_levels_are_fixed_points(self, bits, dtype):
        q = quantize_uniform(weights(1000, dtype=dtype), bits)
        assert torch.equal(quantize_uniform(q, bits), q)

    @pytest.mark.parametrize("bits", range(2, 17))
    def test_zeros_become_a_level(self, bits):
        q = quantize_uniform(torch.zeros(4), bits)
        # the inner level on the side of sign(0) = +1
        torch.testing.assert_close(q, torch.full((4,), 1.0 / (2**bits - 1)))

    @pytest.mark.parametrize("dtype", HALF)
    def test_half_precision_is_rounded_once(self, dtype):
        w = weights(200, dtype=dtype)
        for bits in (4, 16):  # 2^16 - 1 itself overflows float16
            q = quantize_uniform(w, bits)
            assert q.dtype is dtype
            assert torch.equal(q, quantize_uniform(w.float(), bits).to(dtype))

    def test_huge_and_tiny_weights(self):
        pattern = torch.tensor([-1.0, -0.2, 0.4, 1.0])
        for size in (3e38, 1e-38):
            assert torch.equal(quantize_uniform(size * pattern, 4), quantize_uniform(pattern, 4))

    def test_refuses(self):
        with pytest.raises(InvalidArgumentError, match="quantize_binary"):
            quantize_uniform(torch.ones(2), 1)
        with pytest.raises(ShapeError, match="empty"):
            quantize_uniform(torch.ones(0, 3), 4)
        with pytest.raises(ShapeError, match="empty"):
            quantize_binary(torch.ones(0, 3))
        for bits in (1, 2):
            with pytest.raises(ShapeError, match="empty"):
                quantize_tensor(torch.ones(0, 3), bits, largest=1.0)


@pytest.mark.parametrize("bits", [0, 17, -1, 2.0, True, None, "4"])
def test_bits_outside_1_to_16(bits):
    with pytest.raises(InvalidArgumentError, match="1 to 16"):
        quantize_tensor(torch.ones(2), bits)
    with pytest.raises(InvalidArgumentError, match="1 to 16"):
        WeightQuantizer(bits)


def test_quantize_tensor_chooses():
    w = weights(50)
    assert torch.equal(quantize_tensor(w, 1), quantize_binary(w))
    assert torch.equal(quantize_tensor(w, 3), quantize_uniform(w, 3))


class TestScale:
    def test_values(self):
        w = torch.tensor([[1.0, -3.0], [0.5, 0.5], [-4.0, 0.0]])
        assert scale_factor(w, "none") is None
        assert scale_factor(w, "mean").item() == 1.5
        assert scale_factor(w, "max").item() == 4.0
        assert scale_factor(w, "mean-channel").tolist() == [[2.0], [0.5], [2.0]]
        by_column = scale_factor(w, "mean-channel", channel_axis=1)
        torch.testing.assert_close(by_column, torch.tensor([[5.5 / 3, 3.5 / 3]]))

    def test_mean_of_half_precision_does_not_saturate(self):
        w = torch.full((100_000,), 0.75, dtype=torch.bfloat16)
        assert scale_factor(w, "mean").item() == 0.75

    def test_unknown(self):
        with pytest.raises(UnknownNameError, match="mean-channel"):
            scale_factor(torch.ones(2), "mean-chanel")
        with pytest.raises(UnknownNameError, match="none"):
            ActivationQuantizer(1, scale="mean")
        with pytest.raises(UnknownNameError, match="scale"):
            WeightQuantizer(1, scale="std")


class TestModules:
    def test_scale_is_held_constant_and_reaches_the_gradient(self):
        w = weights(3, 4, dtype=torch.float64).requires_grad_()
        q = WeightQuantizer(1, STE(), scale="mean-channel")(w)
        a = w.detach().abs().mean(dim=1, keepdim=True)
        assert torch.equal(q, a * quantize_binary(w.detach()))
        grad = weights(3, 4, dtype=torch.float64, seed=1)
        q.backward(grad)
        torch.testing.assert_close(w.grad, a * grad, rtol=1e-15, atol=0)

    def test_two_scales_are_one_too_many(self):
        with pytest.raises(InvalidArgumentError, match="scale of its own"):
            WeightQuantizer(1, BWN(), scale="mean")

    def test_value_is_the_forward_pass(self):
        x = weights(5, 6)
        for quantizer in (
            WeightQuantizer(3, scale="max"),
            WeightQuantizer(1, "ede"),
            ActivationQuantizer(4, scale="max"),
        ):
            assert torch.equal(quantizer.value(x), quantizer(x))

    def test_progress_is_kept_for_schedules_only(self):
        assert list(WeightQuantizer(1, STE()).state_dict()) == []
        quantizer = WeightQuantizer(1, EDE())
        quantizer.set_progress(0.25)
        again = WeightQuantizer(1, EDE())
        again.load_state_dict(quantizer.state_dict())
        assert again.site().progress.item() == 0.25

    @pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
    def test_progress_outside_0_to_1(self, fraction):
        with pytest.raises(InvalidArgumentError, match="from 0 to 1"):
            WeightQuantizer(1, EDE()).set_progress(fraction)

    def test_default_estimator_of_activations(self):
        assert ActivationQuantizer(1).estimator == ClippedSTE()
        assert ActivationQuantizer(4).estimator == STE()

    def test_a_frozen_activation_quantizer_has_no_gradient(self):
        x = weights(4).requires_grad_()
        quantizer = ActivationQuantizer(2)
        assert quantizer(x).requires_grad
        quantizer.frozen = True
        assert not quantizer(x).requires_grad
