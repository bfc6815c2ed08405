// Vectors of channels: as wide as the machine has them, by the compiler's own vector type, so that the same text serves every CPU.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <omp.h>
#include <utility>
#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 12;
#elif defined(__AVX__)
constexpr int LANES = 8, ROWS = 6;
#else
constexpr int LANES = 4, ROWS = 6;
#endif
// A product holds ROWS x PANEL sums in registers: 24 of 32 registers, or 12 of 16.
constexpr int VECTORS = 2, PANEL = VECTORS * LANES;

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef float Loose __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

inline Vec load(const float* p) { return *reinterpret_cast<const Loose*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<Loose*>(p) = v; }
inline Vec load(const float* p, int64_t count) {
  Vec v = {};
  std::memcpy(&v, p, count * sizeof(float));
  return v;
}
inline void store(float* p, Vec v, int64_t count) { std::memcpy(p, &v, count * sizeof(float)); }

// Write past the cache, which need not first read what is overwritten whole; p is a multiple of the vector's size.
inline void stream(float* p, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX__)
  _mm256_stream_ps(p, (__m256)v);
#elif defined(__SSE__)
  _mm_stream_ps(p, (__m128)v);
#else
  store(p, v);
#endif
}

// Turn LANES vectors of LANES numbers, rows to columns: interleave the two halves of the list, log2(LANES) times.
template <int FROM, int... I> inline Vec interleaved(Vec a, Vec b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (FROM + I / 2 + (I % 2 ? LANES : 0))...);
}
inline void turn(Vec* rows) {
  constexpr auto lanes = std::make_integer_sequence<int, LANES>();
  for (int width = 1; width < LANES; width *= 2) {
    Vec next[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES / 2; ++i) {
      next[2 * i] = interleaved<0>(rows[i], rows[i + LANES / 2], lanes);
      next[2 * i + 1] = interleaved<LANES / 2>(rows[i], rows[i + LANES / 2], lanes);
    }
    std::copy(next, next + LANES, rows);
  }
}

inline int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Floats from one matrix to the next. An odd number of cache lines, so that the streams of a transform fall into different sets.
inline int64_t plane_size(int64_t pitch, int64_t rows) { return (round_up(pitch * rows, 16) / 16 | 1) * 16; }

// Who shares a block: all threads, which then wait for each other between the phases, or one thread alone.
struct Team {
  int rank, size;
  void wait() const {
    if (size > 1) {
#pragma omp barrier
    }
  }
};

}  // namespace
