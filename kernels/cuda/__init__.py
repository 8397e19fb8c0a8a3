"""What all CUDA kernels share, and how to write one.

An op's kernels stand in its own folder: `kernels/OP/NAME.cu` holds the kernels, `kernels/OP/cuda.py` the
launches, registered as variants with device="cuda". Such a variant gets arrays of the device "cuda" (CuPy's; NVRTC
compiles the kernel) or "emulated" (those of `emulated_array.py`; g++ does), and the same lines serve both.

    // kernels/scale/scale.cu - y = factor * x. Definition: REAL.
    #include "cuda/types.cuh"
    using Real = REAL;

    extern "C" __global__ void __launch_bounds__(256) scale(
        const Real* __restrict__ x, Real* __restrict__ y, Wide<Real> factor, int count) {
        const int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < count) y[i] = narrow<Real>(factor * widen(x[i]));
    }

    # kernels/scale/cuda.py
    SOURCE = CudaSource("scale/scale.cu", REAL=tuple(REAL.values()))     # every value a definition may have

    @forward.variant("simple", device="cuda", priority=10, refuses=refuses)
    def forward_simple(problem, x):
        y = empty(x.shape, x.dtype, like=x)
        factor = np.float64(problem.factor) if problem.dtype == "float64" else np.float32(problem.factor)
        scale = SOURCE.kernel("scale", REAL=REAL[problem.dtype])
        scale((-(-x.size // 256),), (256,), x, y, factor, np.int32(x.size))
        return y

What there is
    launch.py       CudaSource, its kernels, `struct` for arguments of several ints
    buffers.py      empty, empty_channels_last, channels_last (all on the device of an array), pixel_distance,
                    vector_width
    types.cuh       widen, narrow, Wide<T>, Vector<T, N>, load, store, dynamic_shared
    ptx.cuh         cp_async, ldmatrix, mma: one function an instruction, with a twin for the emulator
    emulation.py    the emulator's launch; `thread_order(seed)`
    resources.py    `python -m minigrad.kernels.cuda.resources`: registers and spills, without a GPU
    emulator/       CUDA C++ for g++: runtime.h, worker.h (fibers), emulator.h (what a kernel sees)

Rules
    - Kernels are declared `extern "C" __global__ void [__launch_bounds__(...)] name(`. A definition whose
      value has two words (unsigned char) needs a `using` before it can be called like a function.
    - Scalars are NumPy scalars of the parameter's very type: np.int32 for int, np.int64 for long long. Structs of
      ints come from `struct(...)`. The emulator compares number, sizes and constness of all arguments.
    - A parameter that is only read is `const T*`. A pointer that is not const is an output, and every element of
      the array given for it must be written: pass the slice that is written, not the buffer around it.
    - Nothing from the standard library: NVRTC has no headers but CUDA's. No <cstdint>; write `unsigned char`.
    - Dynamic shared memory: `dynamic_shared(float, tile);` and `shared_bytes=` at the launch. Static as usual.
    - Compute with `widen`ed numbers and `narrow` the result: 16-bit operators do not mean the same everywhere.
    - 16-byte accesses only where `vector_width` says so: others are errors here and faults on a GPU.
    - Few definitions with few values: a test compiles every combination for every GPU. Where the compiler spills,
      name the blocks a multiprocessor in the launch bounds, `__launch_bounds__(256, 3)`: it takes more registers.
    - Sums go in one order, without floating atomics: two calls, and any two orders of threads, give the same bits.

What the emulator finds: writes up to 4096 bytes before or behind a buffer or its dynamic shared memory; indices
outside of arrays whose size is known; misaligned vectors; outputs not written; shared memory read before it was
set (it holds NaN); barriers and warp operations that not all reach; cp.async without its wait; and races, as
results that depend on the order of threads. The message names kernel, block and thread where it can.
What it cannot find: reads outside of a buffer that meet other memory of the process, and races between blocks.

A kernel under gdb, in which a thread is an ordinary call and blocks take turns with one thread of the machine:

    MINIGRAD_EMULATOR_DEBUG=1 OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 gdb --args python script.py
    (gdb) set breakpoint pending on
    (gdb) break scale.cu:8
    (gdb) run
    (gdb) print emulator::thread->index       threadIdx; emulator::block->index is blockIdx
    (gdb) info locals                         then next, step, up as anywhere

The variable has kernels compiled, and kept, with every variable and without optimisation.
"""
