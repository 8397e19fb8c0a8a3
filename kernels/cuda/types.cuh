// Numbers in memory and numbers in registers, the same for every element type.
//
// Activations may be stored in 16 bits; what is computed with them is float. `widen` and `narrow` go between the two,
// `Wide<T>` is the type to compute in (double for double). `Vector<T, N>` is N neighbours moved at once.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#ifndef INFINITY  // NVRTC has no standard headers
#define INFINITY __int_as_float(0x7f800000)
#endif

template <class T>
struct WideOf {
    using type = float;
};
template <>
struct WideOf<double> {
    using type = double;
};
template <class T>
using Wide = typename WideOf<T>::type;

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(__half x) { return __half2float(x); }
__device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
__device__ __forceinline__ T narrow(Wide<T> x) {
    return T(x);
}
template <>
__device__ __forceinline__ __half narrow<__half>(float x) {
    return __float2half_rn(x);
}
template <>
__device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float x) {
    return __float2bfloat16_rn(x);
}

template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
    T lanes[N];
};

template <int N, class T>
__device__ __forceinline__ Vector<T, N> load(const T* address) {
    return *reinterpret_cast<const Vector<T, N>*>(address);
}

template <class T, int N>
__device__ __forceinline__ void store(T* address, const Vector<T, N>& vector) {
    *reinterpret_cast<Vector<T, N>*>(address) = vector;
}

#ifndef EMULATED
// The shared memory whose size is given at the launch; one name and one type a kernel.
#define dynamic_shared(type, name)                                  \
    extern __shared__ __align__(1024) unsigned char dynamic_bytes[]; \
    type* const name = reinterpret_cast<type*>(dynamic_bytes)
#endif
