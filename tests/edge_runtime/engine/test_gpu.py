from __future__ import annotations

import ctypes.util
import threading

import pytest

from edge_runtime.engine.cuda import CudaError, find_gpu, open_cuda
from edge_runtime.engine.gpu import Gpu
from tests.contracts.fake_cuda import FakeCuda
from toolkit.errors import EngineError


def test_work_is_done_on_one_thread_with_the_context_and_what_it_raises_comes_back():
    cuda = FakeCuda()
    gpu = Gpu(lambda: cuda)
    threads = {gpu.call(threading.current_thread) for _ in range(3)}
    assert threads == {cuda.thread}
    with pytest.raises(ZeroDivisionError):
        gpu.call(lambda: 1 // 0)
    assert gpu.call(lambda: 7) == 7
    gpu.close()
    gpu.close()
    assert cuda.thread is None
    with pytest.raises(EngineError, match="has been closed"):
        gpu.call(lambda: 7)


@pytest.mark.parametrize("error", [CudaError("cuInit", 100, "no device"), EngineError("not installed")])
def test_a_gpu_that_does_not_open_is_the_error_of_who_asked(error):
    def connect():
        raise error

    with pytest.raises(type(error)):
        Gpu(connect)


def test_a_surprise_while_opening_is_an_error_of_the_engine():
    with pytest.raises(EngineError, match="cannot be opened: ZeroDivisionError"):
        Gpu(lambda: 1 // 0)


def test_a_start_that_never_finds_room_is_an_error_and_not_a_hang():
    gpu = Gpu(FakeCuda)
    with pytest.raises(EngineError, match="no room to fly"):
        gpu.fly(lambda: None).result(60)
    gpu.close()


def test_a_library_that_is_missing_or_another_one_is_no_gpu():
    assert "libcuda-of-nobody.so.1) is not on this machine" in find_gpu("libcuda-of-nobody.so.1")
    other = ctypes.util.find_library("c")
    assert other is not None
    assert "is not on this machine" in find_gpu(other)


def test_a_door_that_is_not_there_is_named():
    with pytest.raises(EngineError, match=r"there is no door to CUDA that is called 'window'"):
        open_cuda("window")


@pytest.mark.parametrize(("code", "lost"), [(2, False), (801, False), (700, True), (719, True)])
def test_errors_that_cost_the_context_say_so(code, lost):
    error = CudaError("cuEventSynchronize", code, "text")
    assert error.lost is lost
    assert bool(error.hint) is lost
