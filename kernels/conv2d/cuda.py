"""The CUDA variants, from naive to fast; implicit_gemm.cu says what each is meant to gain.

- `cuda_direct`                one thread an element, for reading;
- `implicit_gemm`              tiles in shared memory and registers;
- `implicit_gemm_tensor_core`  the same tiles, multiplied by tensor cores.

Their forwards also take `out=`, a channels-last array, whole or a slice of channels, that gets the result.
"""

from . import cuda_direct, cuda_implicit_gemm

__all__ = ["cuda_direct", "cuda_implicit_gemm"]
