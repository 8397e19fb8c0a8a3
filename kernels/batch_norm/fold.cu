// A normalisation by given statistics, folded into the filter that makes what is normalised: weight' = weight * scale,
// bias' = (bias - mean) * scale + shift, with scale = gamma / sqrt(variance + epsilon). A block an output channel.
//
// Definitions: REAL, the type of every number: float or double. Scale is computed in double, and rounded with the rest.

using Real = REAL;

extern "C" __global__ void __launch_bounds__(128, 4) fold(
    const Real* __restrict__ weight, const Real* __restrict__ bias, const Real* __restrict__ gamma,
    const Real* __restrict__ shift, const Real* __restrict__ mean, const Real* __restrict__ variance, double epsilon,
    int row, Real* __restrict__ folded_weight, Real* __restrict__ folded_bias) {
    const int channel = blockIdx.x;
    const double root = sqrt(double(variance[channel]) + epsilon);
    const double scale = (gamma == nullptr ? 1.0 : double(gamma[channel])) / root;
    const long long start = (long long)channel * row;
    for (int i = threadIdx.x; i < row; i += blockDim.x) {
        folded_weight[start + i] = Real(double(weight[start + i]) * scale);
    }
    if (threadIdx.x == 0) {
        const double centred = (bias == nullptr ? 0.0 : double(bias[channel])) - double(mean[channel]);
        folded_bias[channel] = Real(centred * scale + (shift == nullptr ? 0.0 : double(shift[channel])));
    }
}
