// The filter of a convolution as the gradient of the input reads it: turned by 180 degrees, channels exchanged.
//
// Row = (tap, k) in the order of the windows of gy, column = c: the element (k, last tap - tap, c) of the filter, whose
// channels c lie next to each other. What is read by 16 bytes lies across the depth.
#pragma once

#include "conv2d/windows.cuh"

struct TurnedFilter {
    const Real* data;
    const Gather& gather;  // its channels are those of gy, those that are filled up with zeros included
    int taps, sources;     // channels of gy without them
    int rows, columns;

    using Row = int;  // where it starts, or -1 where there is none
    using Column = int;

    __device__ __forceinline__ Row row(int number, int stop) const {
        const int tap = gather.channels.quotient(number), k = number - tap * gather.channels.number;
        return number < stop && k < sources ? (k * taps + taps - 1 - tap) * columns : -1;
    }
    __device__ __forceinline__ Column column(int number, int stop) const { return number < stop ? number : -1; }
    __device__ __forceinline__ const Real* find(Row row, Column column, bool& inside) const {
        inside = row >= 0 && column >= 0;
        return inside ? data + row + column : data;
    }
};
