"""What everything that gives outputs keeps. Tests subclass this with the fixtures `computer` and `models`."""

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.runners.base import Array, Computes


def here(model: Path, inputs: list[Array]) -> list[Array]:
    """Return what this machine's runtime gives, sample by sample."""
    interpreter = Interpreter(model_path=str(model))
    interpreter.allocate_tensors()
    outputs = []
    for samples in zip(*inputs, strict=True):
        for detail, sample in zip(interpreter.get_input_details(), samples, strict=True):
            interpreter.set_tensor(detail["index"], sample[None])
        interpreter.invoke()
        outputs.append([interpreter.get_tensor(d["index"])[0] for d in interpreter.get_output_details()])
    return [np.stack(output) for output in zip(*outputs, strict=True)]


class ComputesContract:
    """Subclass with a fixture `computer`, and `models`: two paths, the first takes 64 floats a sample."""

    @pytest.fixture
    def samples(self) -> Array:
        return np.random.default_rng(0).normal(size=(7, 64)).astype(np.float32)

    def test_outputs_are_those_of_the_model(
        self, computer: Computes, models: tuple[Path, Path], samples: Array
    ) -> None:
        outputs = computer.compute(models[0], [samples])
        expected = here(models[0], [samples])
        assert [output.shape for output in outputs] == [array.shape for array in expected]
        assert [output.dtype for output in outputs] == [array.dtype for array in expected]
        for output, array in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(output, array, rtol=1e-4, atol=1e-4)

    def test_order_is_kept_and_samples_do_not_mix(
        self, computer: Computes, models: tuple[Path, Path], samples: Array
    ) -> None:
        (there,) = computer.compute(models[0], [samples])
        (back,) = computer.compute(models[0], [samples[::-1].copy()])
        assert np.array_equal(there, back[::-1])

    def test_it_says_that_it_computes(self, computer: Computes) -> None:
        assert isinstance(computer, Computes)

    @pytest.mark.parametrize("wrong", ["type", "size", "number"])
    def test_inputs_that_do_not_fit_are_one_line(
        self, wrong: str, computer: Computes, models: tuple[Path, Path], samples: Array
    ) -> None:
        inputs = {"type": [samples.astype(np.int8)], "size": [samples[:, :10]], "number": [samples, samples]}
        with pytest.raises(MeasuringFailed, match="got") as caught:
            computer.compute(models[0], inputs[wrong])
        assert "\n" not in str(caught.value)

    def test_no_samples_are_refused(
        self, computer: Computes, models: tuple[Path, Path], samples: Array
    ) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            computer.compute(models[0], [samples[:0]])

    def test_a_file_that_is_no_model_is_one_line_with_its_name(
        self, computer: Computes, tmp_path: Path, samples: Array
    ) -> None:
        wrong = tmp_path / "wrong.tflite"
        wrong.write_bytes(b"this is no flatbuffer, whatever its name says")
        for path in (wrong, tmp_path / "gone.tflite"):
            with pytest.raises(DeviceError, match=path.name) as caught:
                computer.compute(path, [samples])
            assert "\n" not in str(caught.value)
