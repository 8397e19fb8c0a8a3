// Mean and variance of each channel, of numbers that are seen in parts.
//
// Count, mean and sum of squared differences from the mean, merged as by Chan, Golub and LeVeque, "Updating formulae and
// a pairwise algorithm for computing sample variances" (1979): nothing cancels, however large the mean is.
#pragma once

#include "cuda/types.cuh"

template <class Number>
struct Moments {
    Number count, mean, squares;

    __device__ __forceinline__ void merge(const Moments& other) {
        if (other.count == 0) return;
        const Number total = count + other.count, distance = other.mean - mean;
        mean += distance * (other.count / total);
        squares += other.squares + distance * distance * (count * other.count / total);
        count = total;
    }
};
