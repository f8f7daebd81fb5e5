// The memory that TensorFlow Lite Micro works in. Made by edgesearch.
#ifndef EDGESEARCH_ARENA_BYTES_H_
#define EDGESEARCH_ARENA_BYTES_H_

#include <cstddef>

// The smallest arena that this model starts in, found by trying on a 64-bit host with the reference kernels
// of $runtime. In use afterwards: $head_bytes bytes of activations, as many on the
// device, and $tail_bytes bytes of bookkeeping, at most as many there, for its pointers are half as long.
constexpr std::size_t kMeasuredArenaBytes = $arena_bytes;

// Kernels made for a processor (CMSIS-NN, ESP-NN) may ask for scratch on top. If the arena turns out too
// small, TensorFlow Lite Micro says by how much: put it here. main.cc prints what is in use.
constexpr std::size_t kScratchBytes = 0;

constexpr std::size_t kArenaBytes = (kMeasuredArenaBytes + kScratchBytes + 15) / 16 * 16;

#endif  // EDGESEARCH_ARENA_BYTES_H_
