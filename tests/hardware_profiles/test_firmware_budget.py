"""What a firmware leaves for a model, against the linker's maps of firmware that was built."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hardware_profiles.anchor import anchor_path
from hardware_profiles.errors import DeviceError
from hardware_profiles.firmware import Budget, budget_of, human_bytes, left_for_model, runtime_flash_bytes
from hardware_profiles.graph import read_graph
from hardware_profiles.micro_ops import GROWTH, KERNELS, OPS, SIMPLE_KERNEL
from hardware_profiles.profile import load_profile

KIB = 1024
some_ops = st.sets(st.sampled_from(sorted(OPS)))
BOARD = Budget(
    flash_bytes=256 * KIB, ram_bytes=64 * KIB, reserve_flash_bytes=90 * KIB, reserve_ram_bytes=20 * KIB
)
# tensorflow/lite in the maps of MLPerf Tiny's firmware for the NUCLEO-L4R5ZI, text and data.
LINKED = {
    "image classification": (
        46_646 + 224,
        ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "AVERAGE_POOL_2D", "SOFTMAX", "RESHAPE"),
    ),
    "streaming wakeword": (
        40_410 + 192,
        ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "SOFTMAX", "RESHAPE"),
    ),
    "anomaly detection": (12_774 + 96, ("FULLY_CONNECTED", "QUANTIZE", "DEQUANTIZE")),
}


@pytest.mark.parametrize("name", LINKED)
def test_firmware_that_was_linked_lies_in_the_range(name: str) -> None:
    linked, kinds = LINKED[name]
    least, most = runtime_flash_bytes(kinds)
    assert least <= linked <= most
    assert least > 0.85 * linked, "the low end comes from these very maps"


def test_every_measured_kernel_is_of_a_known_operator() -> None:
    ops = [op for kernel in KERNELS for op in kernel.ops]
    assert set(ops) <= OPS and len(ops) == len(set(ops))


@given(kinds=some_ops)
def test_more_operators_take_more(kinds: set[str]) -> None:
    least, most = runtime_flash_bytes(kinds)
    assert 0 < least < most
    for op in sorted(OPS - kinds)[:5]:
        more = runtime_flash_bytes({*kinds, op})
        assert more[0] >= least and more[1] >= most
    assert runtime_flash_bytes([*kinds, *kinds]) == (least, most), "each kind is linked once"


def test_pools_share_a_kernel_and_others_are_taken_for_a_range() -> None:
    assert runtime_flash_bytes(["MAX_POOL_2D"]) == runtime_flash_bytes(["MAX_POOL_2D", "AVERAGE_POOL_2D"])
    none, one = runtime_flash_bytes([]), runtime_flash_bytes(["MEAN"])
    assert one[0] - none[0] == min(kernel.flash_bytes for kernel in KERNELS)
    assert one[1] - none[1] == round(GROWTH * SIMPLE_KERNEL[1])
    assert runtime_flash_bytes(["some-custom-op"])[1] > one[1]


@given(kinds=some_ops, code=st.integers(1, 10**6))
def test_an_interpreter_of_known_size_narrows_the_range(kinds: set[str], code: int) -> None:
    bare, known = runtime_flash_bytes([], code), runtime_flash_bytes(kinds, code)
    assert bare == (code, code)
    assert known[0] - code <= known[1] - code <= runtime_flash_bytes(kinds)[1]


def test_what_is_left_is_counted_with_the_middle_of_what_the_runtime_may_take() -> None:
    kinds = LINKED["image classification"][1]
    least, most = runtime_flash_bytes(kinds)
    left = left_for_model(BOARD, kinds)
    assert left.model_bytes == 166 * KIB - (least + most) // 2
    assert left.arena_bytes == 44 * KIB - 32 * len(kinds)
    told = (
        "256.0 KiB of flash less 90.0 KiB of yours and {} to {} of TensorFlow Lite Micro (estimated) leave {}"
    )
    assert left.sentence.startswith(told.format(*map(human_bytes, (least, most, left.model_bytes))))
    assert left.sentence.endswith(f"leave {human_bytes(left.arena_bytes)} for its arena")


@given(
    flash=st.integers(1, 2**22), ram=st.integers(1, 2**20), share=st.floats(0, 0.99), kinds=some_ops
)  # fmt: skip
def test_either_something_is_left_or_one_line_says_why_not(
    flash: int, ram: int, share: float, kinds: set[str]
) -> None:
    taken = (int(flash * share), int(ram * share))
    budget = Budget(
        flash_bytes=flash, ram_bytes=ram, reserve_flash_bytes=taken[0], reserve_ram_bytes=taken[1]
    )
    try:
        left = left_for_model(budget, kinds)
    except DeviceError as error:
        left, told = None, str(error)
    runtime = sum(runtime_flash_bytes(kinds)) // 2
    if left is None:
        assert flash - taken[0] <= runtime or ram - taken[1] <= 32 * len(kinds)
        assert told.startswith("nothing remains for a model: ") and "\n" not in told
    else:
        assert left.model_bytes == flash - taken[0] - runtime > 0
        assert left.arena_bytes == ram - taken[1] - 32 * len(kinds) > 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"flash_bytes": 100 * KIB}, "100.0 KiB of flash less 90.0 KiB of yours and .* raise --flash, lower"),
        (
            {"ram_bytes": 20 * KIB + 100},
            "20.1 KiB of RAM less 20.0 KiB of yours and 224 B of the runtime; raise --ram",
        ),
    ],
)
def test_nothing_left_is_refused_with_the_way_out(changes: dict[str, int], told: str) -> None:
    with pytest.raises(DeviceError, match=f"nothing remains for a model: {told}"):
        left_for_model(BOARD.model_copy(update=changes), LINKED["image classification"][1])


def test_what_is_reserved_is_less_than_there_is() -> None:
    with pytest.raises(ValidationError, match=r"90\.0 KiB of 64\.0 KiB of flash: lower --reserve-flash"):
        Budget(flash_bytes=64 * KIB, ram_bytes=64 * KIB, reserve_flash_bytes=90 * KIB)


def test_a_budget_is_what_the_user_says_else_what_the_profile_knows() -> None:
    esp, nano = load_profile("esp32-s3"), load_profile("arduino-nano-33-ble")
    assert budget_of(esp, flash_bytes=8 * KIB**2).ram_bytes == esp.memory.ram_bytes
    assert budget_of(nano, ram_bytes=64 * KIB).flash_bytes == 1024 * KIB
    with pytest.raises(DeviceError, match=r"how much flash 'esp32-s3' has .*: say it with --flash"):
        budget_of(esp)
    with pytest.raises(DeviceError, match=r"how much RAM 'corstone-300' has .* say it with --ram"):
        budget_of(load_profile("corstone-300"), flash_bytes=KIB)
    for wrong in ({"flash_bytes": 0}, {"reserve_ram_bytes": -1}, {"reserve_ram_bytes": 256 * KIB}):
        with pytest.raises(DeviceError, match="got") as caught:
            budget_of(nano, **wrong)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2 * KIB**2, "2.0 MiB"), (8 * KIB**3, "8.0 GiB")],
)
def test_sizes_as_people_read_them(count: int, told: str) -> None:
    assert human_bytes(count) == told


def test_the_operators_of_a_file_are_named_as_here() -> None:
    kinds = read_graph(anchor_path().read_bytes()).kinds
    assert set(kinds) <= OPS
    assert left_for_model(BOARD, kinds).model_bytes > 0
