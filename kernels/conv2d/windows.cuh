// The windows of a convolution as a matrix that is never written down (implicit im2col).
//
// Row = target pixel, column = (tap, channel): the element that the tap meets, zero outside of the image. Channels lie
// next to each other in memory, so 16 bytes of a row are 16 bytes of one pixel. The forward reads it along
// the depth, the gradient of the filter across it, and the gradient of the input has the same matrix of gy with a
// geometry of its own (geometry.py).
#pragma once

#include "matmul/tiles.cuh"

// Division by a number that is the same for all threads, as a multiplication: T. Granlund and P. Montgomery, "Division by
// invariant integers using multiplication", PLDI 1994, figure 4.1. For 0 <= x < 2^31.
struct Divisor {
    int number;
    unsigned multiplier;
    int shift;
    __device__ __forceinline__ int quotient(int x) const {
        return int((__umulhi(unsigned(x), multiplier) + unsigned(x)) >> shift);
    }
};

// Tap (r, s) of target pixel (p, q) meets source pixel ((p, q) * stride + origin + (r, s) * dilation) / step, where that
// leaves no rest.
struct Gather {
    Divisor image, line;     // target pixels of an image, and of a line
    Divisor channels, taps;  // channels of one group; taps of a filter's line
    int height, width;       // of the source
    int stride_h, stride_w, origin_h, origin_w, dilation_h, dilation_w, step_h, step_w;
    int rows, columns;
};

struct Windows {
    const Real* data;
    int distance;  // from one source pixel to the next
    const Gather& gather;
    const int rows, columns;

    struct Row {
        int image;      // number of its first pixel
        int top, left;  // of the window
    };
    struct Column {
        int down, across, channel;
    };

    static constexpr int NOWHERE = -(1 << 30);  // so far outside that no tap comes back

    __device__ __forceinline__ Row row(int number, int stop) const {
        const int image = gather.image.quotient(number), pixel = number - image * gather.image.number;
        const int p = gather.line.quotient(pixel), q = pixel - p * gather.line.number;
        return {image * gather.height * gather.width,
                number < stop ? p * gather.stride_h + gather.origin_h : NOWHERE, q * gather.stride_w + gather.origin_w};
    }

    __device__ __forceinline__ Column column(int number, int stop) const {
        const int tap = gather.channels.quotient(number), r = gather.taps.quotient(tap);
        return {number < stop ? r * gather.dilation_h : NOWHERE, (tap - r * gather.taps.number) * gather.dilation_w,
                number - tap * gather.channels.number};
    }

    __device__ __forceinline__ const Real* find(Row row, Column column, bool& inside) const {
        int h = row.top + column.down, w = row.left + column.across;
        inside = h >= 0 && w >= 0;
        if (gather.step_h != 1 || gather.step_w != 1) {
            inside = inside && h % gather.step_h == 0 && w % gather.step_w == 0;
            h /= gather.step_h;
            w /= gather.step_w;
        }
        inside = inside && h < gather.height && w < gather.width;
        return inside ? data + (long long)(row.image + h * gather.width + w) * distance + column.channel : data;
    }
};
