// The matrix product: R x PANEL sums stay in registers while one row of b after the other is multiplied by R numbers of a.

namespace {

// c (R x PANEL) = a . b, or c += a . b, which adds a sum of its own: long sums are made of shorter ones, and err less. Element (r, k) of a lies at a[r * a_row + k * a_step], row k of b at b + k * b_row.
template <int R, bool ADD>
void product(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_row, float* c, int64_t c_row, int64_t depth) {
  Vec sum[R][VECTORS];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < VECTORS; ++v) sum[r][v] = Vec{};
  for (int64_t k = 0; k < depth; ++k) {
    Vec row[VECTORS];
    for (int v = 0; v < VECTORS; ++v) row[v] = load(b + k * b_row + v * LANES);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const float factor = a[r * a_row + k * a_step];
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; ++v) sum[r][v] += factor * row[v];
    }
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < VECTORS; ++v) {
      float* to = c + r * c_row + v * LANES;
      store(to, ADD ? load(to) + sum[r][v] : sum[r][v]);
    }
}

// The same for the first min(rows, ROWS) rows.
template <bool ADD, int R = ROWS, class... Args> void some_rows(int64_t rows, Args... args) {
  if (rows >= R) product<R, ADD>(args...);
  else if constexpr (R > 1) some_rows<ADD, R - 1>(rows, args...);
}

}  // namespace
